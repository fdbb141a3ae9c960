"""``centralita demo``: a campaign of twenty-five calls, from the bus to MongoDB, on this machine."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from rich.console import Console
from rich.live import Live

from centralita.demo import faults as failing
from centralita.demo import views
from centralita.demo.campaign import CAMPAIGN_ID, publish, requests
from centralita.demo.documents import campaign_document, wait_until_projected
from centralita.demo.fallbacks import ladder
from centralita.demo.reconciliation import reconcile
from centralita.embedded.system import System, running
from centralita.embedded.vendors import real_vendors
from centralita.embedded.views import started
from contracts import Call, CallDecision, CallRequested, CallStatus, call_id_of, decode
from contracts.streams import CALLS, call_state_filter

SEED = 363
"""Of the simulated callees: this one has somebody of every behaviour among twenty-five."""

SPEED = 20.0
MAX_CALLS = 100


class DemoFailed(RuntimeError):
    """The demo did not come to its end as promised; the message says why."""


@dataclass
class Progress:
    """The calls as the log has shown them so far."""

    calls: dict[UUID, Call | None] = field(default_factory=dict)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def expect(self, ids: Iterable[UUID]) -> None:
        """These calls have been asked for."""
        self.calls |= dict.fromkeys(ids)
        self.ended.clear()

    @property
    def open_calls(self) -> list[UUID]:
        """Those that have not ended."""
        return [id for id, call in self.calls.items() if not call or not call.status.is_final]

    @property
    def under_way(self) -> int:
        """How many have not ended."""
        return len(self.open_calls)

    def see(self, call: Call) -> None:
        """Takes a newer snapshot of a call."""
        if call.call_id not in self.calls:
            return
        self.calls[call.call_id] = call
        if not self.open_calls:
            self.ended.set()


async def demo(console: Console, *, count: int, timeout: float, keep: bool, faults: bool = False) -> None:
    """Runs the demo. Raises DemoFailed or CannotStart; the folder with the logs is kept then.

    `faults`: vendors fail in the middle of it; the campaign goes on, `count` calls after `count` calls, until they have
    failed in every way and are well again.
    """
    if faults and (real := real_vendors(os.environ)):
        raise DemoFailed(f"only simulated vendors can be made to fail: unset the settings of {', '.join(real)}")
    folder = Path(tempfile.mkdtemp(prefix="centralita-demo-"))
    settings = {**SETTINGS, **failing.SETTINGS} if faults else SETTINGS
    try:
        async with running(folder, seed=SEED, speed=SPEED, settings=settings) as system:
            console.print(started(system))
            await _campaign(console, system, count, timeout, faults=faults)
    except BaseException:
        console.print(f"[red]The logs are kept in {folder}[/red]")
        raise
    if keep:
        console.print(f"The logs are kept in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)


SETTINGS: Mapping[str, str] = {"LOG_LEVEL": "INFO", "MAX_CONCURRENT_CALLS": "50"}


async def _campaign(console: Console, system: System, count: int, timeout: float, *, faults: bool) -> None:
    client = await nats.connect(system.nats_url)
    try:
        progress = await _watch(client)
        if faults:
            await _with_faults(console, client, system, progress, count, timeout)
        else:
            await _ask(client, progress, requests(run="demo", count=count))
            with Live(views.progress(progress.calls), console=console, refresh_per_second=4, transient=True) as live:
                await _until_ended(progress, live, timeout)
        console.print(views.progress(progress.calls))
        last = (await client.jetstream().stream_info(CALLS.name)).state.last_seq
        await wait_until_projected(system.mongo_url, progress.calls, timeout=30)
        console.print(views.statistics(await campaign_document(system.mongo_url, CAMPAIGN_ID)))
        findings = await reconcile(client, system, list(progress.calls))
        console.print(views.agreement(findings, last))
        if findings.problems:
            raise DemoFailed("; ".join(findings.problems))
        await _transcript(console, client, progress)
        if faults:
            await _ladder(console, client, system, progress)
    finally:
        await client.close()


async def _with_faults(
    console: Console, client: Client, system: System, progress: Progress, count: int, timeout: float
) -> None:
    """Asks for more calls as long as the vendors have not failed in every way; at most `MAX_CALLS` in all."""
    faults = failing.Faults(system, client)
    await faults.watch()
    wanted = failing.with_script_lines(requests(run="demo", count=MAX_CALLS))
    extend_ack_deadline = asyncio.create_task(faults.run())
    try:
        async with asyncio.timeout(timeout):
            with Live(console=console, refresh_per_second=4, transient=True) as live:
                while not (extend_ack_deadline.done() and progress.ended.is_set()):
                    if wanted and not extend_ack_deadline.done() and progress.under_way < count:
                        await _ask(client, progress, [wanted.pop(0)])
                    live.update(views.progress(progress.calls, faults.phase.title if faults.phase else None))
                    await asyncio.sleep(0.05)
        extend_ack_deadline.result()
    except TimeoutError as error:
        waiting = f"; {faults.phase.title}: {', '.join(faults.missing)}" if faults.phase else ""
        raise DemoFailed(f"{len(progress.open_calls)} calls are open after {timeout:.0f} s{waiting}") from error
    finally:
        extend_ack_deadline.cancel()
        await asyncio.gather(extend_ack_deadline, return_exceptions=True)


async def _ladder(console: Console, client: Client, system: System, progress: Progress) -> None:
    used = await ladder(client, system, list(progress.calls))
    console.print(views.ladder(used))
    if used.problems:
        raise DemoFailed("; ".join(used.problems))


async def _ask(client: Client, progress: Progress, wanted: list[CallRequested]) -> None:
    progress.expect(call_id_of(request.request_id or "") for request in wanted)
    await publish(client, wanted)


async def _watch(client: Client) -> Progress:
    progress = Progress()

    async def see(message: Msg) -> None:
        event = decode(message.subject, message.data)
        if isinstance(event, CallDecision):
            progress.see(event.call)

    await client.subscribe(call_state_filter("*"), cb=see)
    return progress


async def _until_ended(progress: Progress, live: Live, timeout: float) -> None:
    try:
        async with asyncio.timeout(timeout):
            while not progress.ended.is_set():
                live.update(views.progress(progress.calls))
                await asyncio.sleep(0.25)
    except TimeoutError as error:
        open_calls = [str(call_id) for call_id in progress.open_calls]
        message = f"{len(open_calls)} calls have not ended within {timeout:.0f} s: {', '.join(open_calls[:5])}"
        raise DemoFailed(message) from error


async def _transcript(console: Console, client: Client, progress: Progress) -> None:
    completed = [call for call in progress.calls.values() if call and call.status is CallStatus.COMPLETED]
    shown = max(completed, key=lambda call: bool(call.disposition), default=None)
    if shown is None:
        raise DemoFailed("no call was completed, so there is no transcript to show")
    console.print(await views.transcript(client, shown))
