"""``centralita demo``: a campaign from its first request to its counters in MongoDB, on this machine."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import SecretStr
from rich.console import Console
from rich.live import Live

from centralita.demo import faults, live, tool_call, views
from centralita.demo.callees import Callees
from centralita.demo.campaign import publish, requests
from centralita.demo.documents import campaign_document, wait_until_projected
from centralita.demo.failure import DemoFailed
from centralita.demo.fallbacks import fallback_usage
from centralita.demo.reconciliation import reconcile
from centralita.demo.stay import Stay
from centralita.embedded.system import System, running
from centralita.embedded.vendors import real_vendors
from centralita.embedded.views import started
from chassis.direct_get import stored_message
from chassis.event_log import EventLog
from chassis.keyring import Keyring
from chassis.settings import key_bytes
from chassis.stream_api import jetstream_of
from contracts import Call, CallDecision, CallRequested, CallStatus, ConversationMode, call_id_of, decode
from contracts.filters import call_filters, call_state_filter
from contracts.personal import without_keys
from contracts.streams import CALLS
from sealing import MasterKey

SEED = 363
"""The seed of the simulated callees: with this one, 25 callees show every behaviour."""

TURN_BASED = Callees(ConversationMode.TURN_BASED, speed=20.0)
MAX_CALLS = 100


@dataclass
class Progress:
    """The newest snapshot of each call. `ended` is set while no requested call is open."""

    calls: dict[UUID, Call | None] = field(default_factory=dict)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def expect(self, ids: Iterable[UUID]) -> None:
        """Adds requested calls."""
        self.calls |= dict.fromkeys(ids)
        self.ended.clear()

    @property
    def open_calls(self) -> list[UUID]:
        """The calls that have not ended."""
        return [id for id, call in self.calls.items() if not call or not call.status.is_final]

    def update(self, call: Call) -> None:
        """Stores a newer snapshot of a call."""
        if call.call_id not in self.calls:
            return
        self.calls[call.call_id] = call
        if not self.open_calls:
            self.ended.set()


async def demo(
    console: Console,
    *,
    count: int,
    timeout: float,
    keep: bool,
    stay: Stay,
    with_faults: bool = False,
    is_live: bool = False,
) -> None:
    """Runs the demo. Raises DemoFailed or CannotStart, and then keeps the folder with the logs.

    `is_live`: the conversations are live, at the speed of real ones, and each is recorded in the folder, which is kept.
    `with_faults`: vendors fail meanwhile. New calls are requested, at most `count` at a time, until every fallback
    was used and all vendors have recovered.
    """
    if with_faults and (real := real_vendors(os.environ)):
        raise DemoFailed(f"only simulated vendors can be made to fail: unset the settings of {', '.join(real)}")
    folder = Path(tempfile.mkdtemp(prefix="centralita-demo-"))
    settings = {**SETTINGS, **(faults.SETTINGS if with_faults else {}), **stay.settings}
    key = tool_call.key_of(stay.key)
    if is_live:
        settings |= {**tool_call.SETTINGS, **key.settings}
    callees = live.CALLEES if is_live else TURN_BASED
    recordings = folder / "recordings" if is_live else None
    system_of_demo = running(
        folder,
        seed=SEED,
        speed=callees.speed,
        behaviours=callees.behaviours,
        recordings=recordings,
        settings=settings,
        replicas={"voice": len(live.VOICES)} if is_live else 1,
        console=stay.login,
    )
    try:
        async with system_of_demo as system:
            console.print(started(system))
            stay.announce(console, system)
            wanted = requests(run="demo", count=count, mode=callees.mode)
            async with tool_call.offered(system, key) if is_live else nullcontext() as receiver:
                if receiver:
                    wanted[live.ASKING] = tool_call.asking(wanted[live.ASKING])
                live_records = (recordings, receiver) if recordings and receiver else None
                await _campaign(console, system, wanted, timeout, with_faults=with_faults, live_records=live_records)
            await stay.until_stopped(console)
    except BaseException:
        console.print(f"[red]The logs are kept in {folder}[/red]")
        raise
    if keep or is_live:
        console.print(f"The logs are kept in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)


SETTINGS: Mapping[str, str] = {"LOG_LEVEL": "INFO", "MAX_CONCURRENT_CALLS": "50", "ALLOWED_COUNTRIES": "US"}
"""They override exported settings. All numbers of the demo are in the United States."""


async def _campaign(
    console: Console,
    system: System,
    wanted: list[CallRequested],
    timeout: float,
    *,
    with_faults: bool,
    live_records: tuple[Path, tool_call.Receiver] | None,
) -> None:
    """Requests the calls, waits for their ends, and shows what the records say.

    `live_records`: of live calls, their recordings and the receiver of the tool.
    """
    client = await nats.connect(system.nats_url)
    try:
        progress = await _watch(client)
        if with_faults:
            await _request_during_faults(console, client, system, progress, len(wanted), timeout)
        else:
            killing = None
            if live_records:
                await live.assign_callees(system, wanted)
                killing = asyncio.create_task(live.kill_in_a_sentence(client, system))
            await _request(client, progress, wanted)
            with Live(views.progress(progress.calls), console=console, refresh_per_second=4, transient=True) as shown:
                await _wait_until_ended(progress, shown, timeout)
            if killing and not killing.done():
                killing.cancel()
                await asyncio.gather(killing, return_exceptions=True)
                raise DemoFailed("no stream was lost, though the processes of voice were killed")
        console.print(views.progress(progress.calls))
        last = (await jetstream_of(client, CALLS.name).stream_info(CALLS.name)).state.last_seq
        await wait_until_projected(system.mongo_url, progress.calls, timeout=30)
        for campaign_id in dict.fromkeys(request.campaign_id for request in wanted):
            console.print(views.statistics(await campaign_document(system.mongo_url, campaign_id)))
        result = await reconcile(client, system, list(progress.calls))
        console.print(views.agreement(result, last))
        if result.problems:
            raise DemoFailed("; ".join(result.problems))
        async with _log(client, system) as log:
            await _transcript(console, log, progress)
            if live_records:
                recordings, receiver = live_records
                calls = list(progress.calls)
                await live.show_agreement(console, system, log, calls, recordings, dict(SETTINGS))
                await tool_call.show_tool_call(console, system, log, calls[live.ASKING], receiver)
        if with_faults:
            await _print_fallbacks(console, client, system, progress)
    finally:
        await client.close()


async def _request_during_faults(
    console: Console, client: Client, system: System, progress: Progress, count: int, timeout: float
) -> None:
    """Requests calls, at most `MAX_CALLS`, until all phases are complete and all calls have ended."""
    phases = faults.Faults(system, client)
    await phases.watch()
    wanted = faults.with_script_lines(requests(run="demo", count=MAX_CALLS))
    running = asyncio.create_task(phases.run())
    try:
        async with asyncio.timeout(timeout):
            with Live(console=console, refresh_per_second=4, transient=True) as shown:
                while not (running.done() and progress.ended.is_set()):
                    if wanted and not running.done() and len(progress.open_calls) < count:
                        await _request(client, progress, [wanted.pop(0)])
                    shown.update(views.progress(progress.calls, phases.phase.title if phases.phase else None))
                    await asyncio.sleep(0.05)
        running.result()
    except TimeoutError as error:
        waiting = f"; {phases.phase.title}: {', '.join(phases.missing)}" if phases.phase else ""
        raise DemoFailed(f"{len(progress.open_calls)} calls are open after {timeout:.0f} s{waiting}") from error
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _print_fallbacks(console: Console, client: Client, system: System, progress: Progress) -> None:
    usage = await fallback_usage(client, system, list(progress.calls))
    console.print(views.fallbacks(usage))
    if usage.problems:
        raise DemoFailed("; ".join(usage.problems))


async def _request(client: Client, progress: Progress, wanted: list[CallRequested]) -> None:
    progress.expect(call_id_of(request.request_id or "") for request in wanted)
    await publish(client, wanted)


async def _watch(client: Client) -> Progress:
    progress = Progress()

    async def update(message: Msg) -> None:
        stored = stored_message(message)
        event = decode(stored.subject, stored.data, without_keys(stored.headers))
        if isinstance(event, CallDecision):
            progress.update(event.call)

    await client.subscribe(CALLS.live(call_state_filter("*")), cb=update)
    return progress


async def _wait_until_ended(progress: Progress, shown: Live, timeout: float) -> None:
    try:
        async with asyncio.timeout(timeout):
            while not progress.ended.is_set():
                shown.update(views.progress(progress.calls))
                await asyncio.sleep(0.25)
    except TimeoutError as error:
        open_calls = [str(call_id) for call_id in progress.open_calls]
        message = f"{len(open_calls)} calls have not ended within {timeout:.0f} s: {', '.join(open_calls[:5])}"
        raise DemoFailed(message) from error


async def _transcript(console: Console, log: EventLog, progress: Progress) -> None:
    completed = [call for call in progress.calls.values() if call and call.status is CallStatus.COMPLETED]
    shown = max(completed, key=lambda call: bool(call.disposition), default=None)
    if shown is None:
        raise DemoFailed("no call was completed, so there is no transcript to show")
    console.print(views.transcript(await log.read(call_filters(shown.call_id))))


@asynccontextmanager
async def _log(client: Client, system: System) -> AsyncIterator[EventLog]:
    """Yields the log with the keys of the demo."""
    master_key = MasterKey(key_bytes(SecretStr(system.master_key)))
    async with Keyring(client, master_key).is_current() as keyring:
        yield EventLog(client, CALLS.name, source="demo", keyring=keyring)
