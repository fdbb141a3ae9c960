"""``python -m centralita.monitoring.trace``: makes one call and prints its whole trace."""

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
from centralita.monitoring.spans import Span, TraceReceiver, receive_traces, tree
from contracts import CallRequested, call_id_of

SPEED = 20.0
_MAX_CALL_SECONDS = 60


async def traced_call(folder: Path, *, seed: int = 1) -> tuple[UUID, str, TraceReceiver]:
    """Makes one answered call. Returns its id, the trace id of its request, and the received spans.

    Raises CannotStart and TimeoutError.
    """
    request = requests(run="trace", count=1)[0]
    call_id, trace_id = call_id_of(request.request_id or ""), secrets.token_hex(16)
    with receive_traces() as receiver:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
        async with running(folder, seed=seed, speed=SPEED, behaviours="human=1", settings=settings) as system:
            client = await nats.connect(system.nats_url)
            try:
                headers = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}
                await client.jetstream().publish(CallRequested.event_name, request.body(), headers=headers)
                await wait_until_projected(system.mongo_url, [call_id], timeout=_MAX_CALL_SECONDS)
            finally:
                await client.close()
        # The services have stopped and have sent their last spans.
    return call_id, trace_id, receiver


def is_complete(spans: list[Span]) -> bool:
    """Returns whether the spans are one trace with spans of every service."""
    return len({span.trace_id for span in spans}) == 1 and len({span.service for span in spans}) == 5


def main() -> int:
    """Prints the tree. Returns the exit code: 1 if the trace is not complete."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="centralita-trace-") as folder:
        try:
            call_id, _, receiver = asyncio.run(traced_call(Path(folder)))
        except (CannotStart, TimeoutError) as error:
            console.print(f"[red]No trace was received:[/red] {error or type(error).__name__}")
            return 1
    spans = receiver.trace_of(call_id)
    if spans:
        console.print(tree(spans), soft_wrap=True)
    return 0 if is_complete(spans) else 1


if __name__ == "__main__":
    sys.exit(main())
