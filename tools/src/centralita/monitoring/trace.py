"""``python -m centralita.monitoring.trace``: one call, and its trace from the request to the projection."""

import asyncio
import secrets
import sys
import tempfile
from pathlib import Path
from uuid import UUID

import nats
from rich.console import Console

from centralita.demo.campaign import requests
from centralita.demo.documents import wait_until_projected
from centralita.embedded.servers import CannotStart
from centralita.embedded.system import running
from centralita.monitoring.spans import Received, Span, receiving, tree
from contracts import CallRequested, call_id_of

SPEED = 20.0
_ENDS_SECONDS = 60


async def traced_call(folder: Path, *, seed: int = 1) -> tuple[UUID, str, Received]:
    """One answered call from start to end: its id, the trace id that its request brought along, and what was received.

    Raises CannotStart and TimeoutError.
    """
    request = requests(run="trace", count=1)[0]
    call_id, trace_id = call_id_of(request.request_id or ""), secrets.token_hex(16)
    with receiving() as received:
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": received.url}
        async with running(folder, seed=seed, speed=SPEED, behaviours="human=1", settings=told) as system:
            client = await nats.connect(system.nats_url)
            try:
                headers = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}
                await client.jetstream().publish(
                    CallRequested.event_name, request.model_dump_json().encode(), headers=headers
                )
                await wait_until_projected(system.mongo_url, [call_id], timeout=_ENDS_SECONDS)
            finally:
                await client.close()
        # The services have ended, and sent the last of their spans.
    return call_id, trace_id, received


def whole(spans: list[Span]) -> bool:
    """Whether it is one trace, and every service has its part in it."""
    return len({span.trace_id for span in spans}) == 1 and len({span.service for span in spans}) == 5


def main() -> int:
    """Prints the tree. Exit code 1: the trace is not whole."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="centralita-trace-") as folder:
        try:
            call_id, _, received = asyncio.run(traced_call(Path(folder)))
        except (CannotStart, TimeoutError) as error:
            console.print(f"[red]There is no trace:[/red] {error or type(error).__name__}")
            return 1
    spans = received.trace_of(call_id)
    if spans:
        console.print(tree(spans), soft_wrap=True)
    return 0 if whole(spans) else 1


if __name__ == "__main__":
    sys.exit(main())
