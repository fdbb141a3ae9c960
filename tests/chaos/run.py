"""One chaos run: campaigns with commands, faults meanwhile, and the comparison of all records at the end."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from nats.aio.client import Client
from tests.chaos import campaign_checks, campaigns, checks
from tests.chaos.campaigns import Campaigns
from tests.chaos.injection import USUAL_CALLBACK_FAULTS, Injector, until_answered
from tests.chaos.report import Report
from tests.chaos.schedule import draw_faults
from tests.chaos.upstream import Upstream, connect, draw_command, draw_commands, draw_request
from tests.chaos.watching import Watcher, watching

from centralita.demo import faults as demo_faults
from centralita.demo.documents import DATABASE, wait_until_projected
from centralita.demo.reconciliation import reconcile
from centralita.embedded.system import System
from centralita.operations.rest_api import RestApi
from centralita.replay.decisions import read_calling_policy
from centralita.replay.rebuilding import rebuild
from centralita.replay.record import export, from_streams
from centralita.replay.scope import Scope
from centralita.replay.verifying import verify
from chassis.dead_letters import read_dead_letters
from chassis.stream_api import jetstream_of
from contracts import Service, call_id_of
from contracts.accounts import ADMIN
from contracts.consumers import CONSUMERS
from contracts.streams import QUEUE, REQUESTS

SPEED = 20
BEHAVIOURS = "human=0.25,busy=0.2,no_answer=0.15,invalid=0.05,refused=0.03,hangs_up=0.15,silent=0.02,voicemail=0.15"
SETTINGS: Mapping[str, str] = {
    **demo_faults.SETTINGS,
    "MAX_CONCURRENT_CALLS": "40",
    "MAX_CALL_SECONDS": "60",
    "TWILIO_CALLS_PER_SECOND": str(SPEED),
    "API_KEYS": campaigns.API_KEY,
}
REPLICAS = {"call-orchestrator": 2, "voice": 2}
LOG_FILE = "log.jsonl.gz"
"""The exported log, for ``centralita replay show --file``."""
RULES_FILE = "rules.csv"
"""The calling rules of the run, in its folder."""
MAX_OPEN_CALLS = 100
"""New calls are requested while fewer are open, without those that wait for another day."""
_MAX_FAULTS_AT_ONCE = 3
_COMMANDS_PER_REQUEST = 0.2
_RECENT_CALLS = 40
_MAX_PAUSE_SECONDS = 0.1
_PROJECTION_SECONDS = 120
_POLL_SECONDS = 0.2
_SETTLED_POLLS = 5


@dataclass
class ChaosRun:
    """A run of `calls` requests and `faults` faults, drawn from `seed`."""

    system: System
    seed: int
    calls: int
    faults: int
    log_line: Callable[[str], None]
    clock: str

    async def run(self, settle_seconds: float) -> Report:
        """Runs the campaign, waits until all is settled or for `settle_seconds`, and compares the records."""
        report, started_at = Report(self.seed, self.clock), time.monotonic()
        admin = await connect(self.system.access.url(self.system.nats_url, ADMIN))
        upstream = await Upstream.connect(self.system.access.url(self.system.nats_url, Service.UPSTREAM), self.seed)
        try:
            async with watching(admin) as watcher:
                injector = Injector(
                    self.system, admin, upstream, watcher, random.Random(f"{self.seed}:timers"), self.log_line
                )
                await injector.set_callback_faults(USUAL_CALLBACK_FAULTS)
                declared = await self._campaigns(injector)
                report.add("calls that did not settle", await self._settle(injector, declared, settle_seconds))
                report.faults = injector.done
            report.duration_seconds = time.monotonic() - started_at
            await self._compare(injector, declared, report)
        finally:
            await upstream.client.close()
            await admin.close()
        return report

    async def _campaigns(self, injector: Injector) -> Campaigns:
        """Requests all calls and adds all contacts; faults and commands happen meanwhile."""
        draw, upstream = random.Random(f"{self.seed}:requests"), injector.upstream
        faults = draw_faults(self.seed, self.faults, calls=self.calls, services=list(self.system.services))
        at_once = asyncio.Semaphore(_MAX_FAULTS_AT_ONCE)
        async with RestApi(self.system.edge_url, campaigns.API_KEY) as api, asyncio.TaskGroup() as tasks:
            declared = self._declared(api, upstream, tasks)
            declared.begin()
            for number in range(self.calls):
                while _in_work(upstream, injector.watcher) >= MAX_OPEN_CALLS:
                    await asyncio.sleep(_POLL_SECONDS)
                for fault in (fault for fault in faults if fault.after_requests == number):
                    await at_once.acquire()
                    tasks.create_task(injector.inject(fault)).add_done_callback(lambda _: at_once.release())
                declared.act(number / self.calls)
                if draw.random() >= campaigns.SHARE or not await declared.add_contact():
                    self._request(draw, upstream, number)
                await asyncio.sleep(draw.uniform(0, _MAX_PAUSE_SECONDS))
            declared.import_remaining()
        return declared

    def _declared(self, api: RestApi, upstream: Upstream, tasks: asyncio.TaskGroup) -> Campaigns:
        control, draw = self.system.vendors.control, random.Random(f"{self.seed}:contacts")
        assert control
        return Campaigns(api, upstream, tasks, control, self.system.folder, draw, self.log_line)

    def _request(self, draw: random.Random, upstream: Upstream, number: int) -> None:
        request = draw_request(draw, f"chaos{self.seed}", number)
        upstream.request(request, draw_commands(draw, call_id_of(request.request_id or "")))
        if draw.random() < _COMMANDS_PER_REQUEST:
            upstream.command(draw_command(draw, draw.choice(upstream.call_ids[-_RECENT_CALLS:])))

    async def _settle(self, injector: Injector, declared: Campaigns, seconds: float) -> list[str]:
        """Waits until no call is open and no consumer has work; returns what is open after `seconds`."""
        deadline, calm_polls = time.monotonic() + seconds, 0
        admin, upstream, watcher = injector.admin, injector.upstream, injector.watcher
        while calm_polls < _SETTLED_POLLS:
            declared.cancel_held(watcher.open_calls)
            waiting = await until_answered(lambda: campaigns.waiting_contacts(admin))
            open_work = [*await self._open_work(admin), *declared.open_contacts(waiting)]
            open_work += _open_calls(upstream, watcher)
            calm_polls = 0 if open_work else calm_polls + 1
            if time.monotonic() > deadline:
                return open_work
            await asyncio.sleep(_POLL_SECONDS)
        return []

    async def _open_work(self, admin: Client) -> list[str]:
        js = admin.jetstream(timeout=5)
        infos = [
            await until_answered(lambda one=one: js.consumer_info(one.stream.name, one.name))  # type: ignore[misc]
            for one in CONSUMERS
        ]
        return [
            f"consumer {info.name}: {info.num_pending} pending, {info.num_ack_pending} not acknowledged"
            for info in infos
            if info.num_pending or info.num_ack_pending
        ]

    async def _left_in_queue(self, admin: Client) -> list[str]:
        """Returns the entries of the queue that remain although an orchestrator has started after all faults.

        A nats-server that is killed shows a message again that it had replaced, if the newer one was deleted. An
        orchestrator that starts reads the whole queue and deletes such entries.
        """
        self.system.services["call-orchestrator"].kill()
        deadline = time.monotonic() + _PROJECTION_SECONDS
        while True:
            info = await jetstream_of(admin, QUEUE.name, timeout=5).stream_info(QUEUE.name, subjects_filter=">")
            left = sorted(info.state.subjects or {})
            if not left or time.monotonic() > deadline:
                return left
            await asyncio.sleep(_POLL_SECONDS)

    async def _compare(self, injector: Injector, declared: Campaigns, report: Report) -> None:
        admin, upstream = injector.admin, injector.upstream
        await export(admin, self.system.folder / LOG_FILE)
        record = await from_streams(admin, Scope())
        log = checks.Log(record)
        calls = {call_id: call for call_id in log.histories if (call := log.last(call_id))}
        ended = [call_id for call_id, call in calls.items() if call.status.is_final]
        report.statuses = checks.counts(log)
        report.restarts = sum(service.restarts for service in self.system.services.values())
        report.sent = Counter(one.event.event_name for one in upstream.sent.values() if one.sequence)
        report.refusals, report.outcomes = upstream.refusals, len(upstream.outcomes)
        await wait_until_projected(self.system.mongo_url, ended, timeout=_PROJECTION_SECONDS)
        await self._compare_records(admin, list(calls), report)
        report.add("messages that the stream lost", checks.lost_messages(log, upstream.sent))
        report.add("requests in clear", checks.requests_in_clear(log))
        report.add("lost requests", checks.lost_requests(log, upstream.requested))
        report.add("calls without an end", checks.calls_without_end(log))
        report.add("leaked slots", checks.leaked_slots(log))
        report.add("calls left in the queue", await self._left_in_queue(admin))
        report.add("lost commands", checks.lost_commands(log, upstream.sent, upstream.outcomes))
        report.add("commands out of order", checks.commands_out_of_order(log, upstream.sent))
        report.add("inputs decided twice", checks.repeated_decisions(log))
        report.add("provider calls of two attempts", checks.shared_provider_calls(log))
        report.add("early timers obeyed", checks.early_timers(log))
        report.add("dead letters", [str(one.dead_letter) async for one in read_dead_letters(admin)])
        await self._compare_campaigns(log, injector, declared, report)
        policy = read_calling_policy(self.system.folder / RULES_FILE)
        report.verification = await verify(record, calling_policy=policy)
        lost = (f"{REQUESTS.name} {first} to {last}" for first, last in report.verification.lost_requests)
        report.add("requests of which the log shows nothing", lost)
        report.add("drifts", (f"{one.call_id}: {one.reason}" for one in report.verification.drifts))

    async def _compare_campaigns(
        self, log: checks.Log, injector: Injector, declared: Campaigns, report: Report
    ) -> None:
        listed_at, waiting = injector.watcher.listed_at, await campaigns.waiting_contacts(injector.admin)
        cap = campaign_checks.Cap(campaigns.CAPPED_REGION, campaigns.MAX_CAPPED_DIALS)
        report.contacts = campaign_checks.counts(log, declared.added, waiting, listed_at)
        report.add("contacts lost", campaign_checks.lost_contacts(log, declared.added, waiting))
        report.add("contacts called twice", campaign_checks.contacts_called_twice(log))
        report.add("dials against the policy", campaign_checks.dials_against_the_policy(log, listed_at, cap))
        report.add("dials while paused", campaign_checks.dials_while_paused(log))
        report.add("opt-outs without an entry", campaign_checks.opt_outs_without_an_entry(log, listed_at))

    async def _compare_records(self, admin: Client, existing: list[UUID], report: Report) -> None:
        result = report.reconciliation = await reconcile(admin, self.system, existing)
        report.add("double dials", (problem for problem in result.problems if "was dialled" in problem))
        report.add("differences of log, ledger and MongoDB", result.problems)
        rebuilt = await rebuild(admin, self.system.mongo_url, DATABASE, check=True)
        report.add("documents that a rebuild changes", rebuilt.different)


def _in_work(upstream: Upstream, watcher: Watcher) -> int:
    """Returns how many calls were requested or created for contacts, and neither have ended nor wait for another day.

    Abandoned requests lead to no call.
    """
    requested = len(upstream.call_ids) - len(upstream.abandoned) + watcher.calls_of_contacts
    return requested - watcher.ended - watcher.put_off(datetime.now(UTC))


def _open_calls(upstream: Upstream, watcher: Watcher) -> list[str]:
    missing = upstream.requested - watcher.call_ids
    waiting = [f"{len(upstream.tasks)} messages are not acknowledged"] if upstream.tasks else []
    return [
        *waiting,
        *(f"{call.call_id}: {call.status}, deadline {call.deadline_at}" for call in watcher.open_calls),
        *(f"{call_id}: requested, and not in the log" for call_id in missing),
    ]
