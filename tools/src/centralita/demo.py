"""``centralita demo``: a campaign of twenty-five calls, from the bus to MongoDB, on this machine."""

import asyncio
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from rich.console import Console
from rich.live import Live

from centralita import views
from centralita.audit import audit
from centralita.campaign import CAMPAIGN_ID, requests
from centralita.projected import campaign_document, until_projected
from centralita.system import System, running
from contracts import FINAL_STATUSES, Call, CallEvent, CallRequested, CallStatus, call_id_of, decode
from contracts.streams import CALLS, state_of

SEED = 363
"""Of the simulated callees: this one has somebody of every behaviour among twenty-five."""

SPEED = 20.0


class DemoFailed(RuntimeError):
    """The demo did not come to its end as promised; the message says why."""


@dataclass
class Progress:
    """The calls as the log has shown them so far."""

    calls: dict[UUID, Call | None] = field(default_factory=dict)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def see(self, call: Call) -> None:
        """Takes a newer snapshot of a call."""
        if call.call_id not in self.calls:
            return
        self.calls[call.call_id] = call
        if all(known and known.status in FINAL_STATUSES for known in self.calls.values()):
            self.ended.set()


async def demo(console: Console, *, count: int, timeout: float, keep: bool) -> None:
    """Runs the demo. Raises DemoFailed or CannotStart; the folder with the logs is kept then."""
    folder = Path(tempfile.mkdtemp(prefix="centralita-demo-"))
    try:
        async with running(folder, seed=SEED, speed=SPEED, settings=SETTINGS) as system:
            console.print(views.started(system))
            await _campaign(console, system, count, timeout)
    except BaseException:
        console.print(f"[red]The logs are kept in {folder}[/red]")
        raise
    if keep:
        console.print(f"The logs are kept in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)


SETTINGS: Mapping[str, str] = {"LOG_LEVEL": "INFO"}


async def _campaign(console: Console, system: System, count: int, timeout: float) -> None:
    client = await nats.connect(system.nats_url)
    try:
        wanted = requests(run="demo", count=count)
        progress = await _watch(client, wanted)
        await publish(client, wanted)
        with Live(views.progress(progress.calls), console=console, refresh_per_second=4, transient=True) as live:
            await _until_ended(progress, live, timeout)
        console.print(views.progress(progress.calls))
        last = (await client.jetstream().stream_info(CALLS.name)).state.last_seq
        await until_projected(system.mongo_url, progress.calls, timeout=30)
        console.print(views.statistics(await campaign_document(system.mongo_url, CAMPAIGN_ID)))
        findings = await audit(client, system, list(progress.calls))
        console.print(views.agreement(findings, last))
        if findings.problems:
            raise DemoFailed("; ".join(findings.problems))
        await _transcript(console, client, progress)
    finally:
        await client.close()


async def publish(client: Client, wanted: list[CallRequested]) -> None:
    """Publishes requests as any upstream system would: a JSON body on a subject, acknowledged by the stream."""
    js = client.jetstream()
    for request in wanted:
        await js.publish(CallRequested.fact, request.model_dump_json().encode())


async def _watch(client: Client, wanted: list[CallRequested]) -> Progress:
    progress = Progress({call_id_of(request.request_id or ""): None for request in wanted})

    async def see(message: Msg) -> None:
        event = decode(message.subject, message.data)
        if isinstance(event, CallEvent):
            progress.see(event.call)

    await client.subscribe(state_of("*"), cb=see)
    return progress


async def _until_ended(progress: Progress, live: Live, timeout: float) -> None:
    try:
        async with asyncio.timeout(timeout):
            while not progress.ended.is_set():
                live.update(views.progress(progress.calls))
                await asyncio.sleep(0.25)
    except TimeoutError as error:
        open_calls = [str(i) for i, call in progress.calls.items() if not call or call.status not in FINAL_STATUSES]
        message = f"{len(open_calls)} calls have not ended within {timeout:.0f} s: {', '.join(open_calls[:5])}"
        raise DemoFailed(message) from error


async def _transcript(console: Console, client: Client, progress: Progress) -> None:
    completed = [call for call in progress.calls.values() if call and call.status is CallStatus.COMPLETED]
    shown = max(completed, key=lambda call: bool(call.disposition), default=None)
    if shown is None:
        raise DemoFailed("no call was completed, so there is no transcript to show")
    console.print(await views.transcript(client, shown))
