"""Replicas of call-orchestrator on simulated streams, in virtual time.

The application is the real one: requests, commands, facts, timers, admission, number claims and lists. Only the
streams and the telephone network are simulated. Messages reach a random replica, some of them twice.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from tests.fakes.simulated_contacts import SimulatedContacts
from tests.fakes.simulated_streams import (
    Server,
    SimulatedFeeds,
    SimulatedLog,
    SimulatedQueue,
    SimulatedRequests,
    SimulatedTimers,
)
from tests.fakes.telephone_network import Line, TelephoneNetwork

from call_orchestrator.application.admission import Admission
from call_orchestrator.application.call_inputs import AttemptEvent, call_input
from call_orchestrator.application.call_terms import Policy
from call_orchestrator.application.calls import CallService
from call_orchestrator.application.campaigns import CampaignService
from call_orchestrator.application.contacts import ContactTaker
from call_orchestrator.application.do_not_call import DoNotCall
from call_orchestrator.application.effects import Effects
from call_orchestrator.application.finished_campaigns import FinishedCampaigns
from call_orchestrator.application.grants import Grants
from call_orchestrator.application.immediate_grants import ImmediateGrants
from call_orchestrator.application.new_contacts import NewContacts
from call_orchestrator.application.number_claims import NumberClaims
from call_orchestrator.application.numbers import Numbers
from call_orchestrator.application.open_campaigns import OpenCampaigns
from call_orchestrator.domain.calling_policy import CallingPolicy
from call_orchestrator.domain.limits import Limits
from call_orchestrator.domain.slots import Slots
from chassis.event_log import Conflict, StoredEvent
from chassis.retry_later import RetryLater
from contracts import (
    AdmissionGranted,
    CallRequested,
    CampaignCommand,
    CampaignFinished,
    CommandOutcome,
    ContactRequested,
    ConversationEnded,
    Event,
    NumberCommand,
    TimerDue,
)
from contracts.number_digests import NumberDigests

DIGESTS = NumberDigests(b"test")
RULES = CallingPolicy.shipped()
ACK_WAIT_SECONDS = 5.0
"""After which time the message of a replica that stopped is delivered again."""


@dataclass(frozen=True)
class Installation:
    """The settings of all replicas."""

    replicas: int
    limits: Limits
    policy: Policy
    has_contacts: bool
    """Without contacts, replicas do not look for them: that spares the simulation wake-ups."""


class Replica:
    """One process of the service. `tasks`: the messages that it handles now, in an order that is the same each time."""

    def __init__(self, system: "System") -> None:
        server, log, policy = system.server, system.log, system.installation.policy
        slots = Slots(system.installation.limits)
        campaigns = OpenCampaigns(slots, server.now)
        numbers = Numbers(system.numbers, DIGESTS, RULES.longest_cap)
        claims = NumberClaims(numbers, log, system.timers, RULES)
        self._immediate_grants = ImmediateGrants(slots, campaigns, log, server.now)
        effects = Effects(system.timers, system.queue, claims, self._immediate_grants)
        self.calls = CallService(log, system.requests, effects, policy, server.now, campaigns=campaigns, claims=claims)
        self.grants = Grants(self.calls, log, system.timers, server.now, campaigns)
        self.campaigns = CampaignService(log, server.now)
        self.do_not_call = DoNotCall(numbers, log)
        self.finished_campaigns = FinishedCampaigns(log, system.timers, server.now)
        self.new_contacts = NewContacts(log, system.contacts, claims, policy, DIGESTS, server.now)
        feeds = SimulatedFeeds(log, system.queue)
        self._taker = ContactTaker(log, system.contacts, self.calls, campaigns, slots, policy, server.now)
        self._admission = Admission(slots, campaigns, log, system.queue, feeds, server.now, on_change=self._note_change)
        self._has_contacts = system.installation.has_contacts
        self.tasks: dict[asyncio.Task[None], None] = {}
        self._running = asyncio.create_task(self._run())

    def _note_change(self) -> None:
        self._taker.note_change()
        self._immediate_grants.note_change()

    async def _run(self) -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._admission.running())
            if self._has_contacts:
                await stack.enter_async_context(self._taker.running())
            await asyncio.Event().wait()

    def end_task(self, task: asyncio.Task[None]) -> None:
        """Forgets a task that has ended, and reports its error to the event loop."""
        self.tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()):
            raise error

    async def stop(self) -> None:
        """Stops in the middle of everything."""
        tasks = [self._running, *self.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class System:
    """The streams, the telephone network and the replicas."""

    def __init__(
        self, installation: Installation, begins_at: datetime, random: Random, outcomes: Iterator[str]
    ) -> None:
        self.installation = installation
        self.server = Server(begins_at, random)
        self.log, self.numbers = SimulatedLog(self.server), SimulatedLog(self.server)
        self.requests = SimulatedRequests(self.server)
        self.contacts = SimulatedContacts(self.server)
        self.timers, self.queue = SimulatedTimers(self.log), SimulatedQueue(self.server)
        self.crossed: list[Line] = []
        """Attempts that reached the network while another one was connected with the same number."""
        self.network = TelephoneNetwork(self.log, outcomes, self._note_dial)
        self.fatal_grants = 0
        """So many of the next deliveries of grants kill their replicas before these do anything."""
        self._restarts: list[asyncio.Task[None]] = []
        self.errors: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self.errors.append(context))
        self.outcomes: dict[int, CommandOutcome] = {}
        """Of the requests and commands, by their positions."""
        self.log.listeners.append(self._deliver_fact)
        self._campaign_commands: asyncio.Queue[StoredEvent[Any]] = asyncio.Queue()
        self.replicas = [Replica(self) for _ in range(installation.replicas)]
        self._worker = asyncio.create_task(self._handle_campaign_commands())

    async def stop(self) -> None:
        """Stops all replicas."""
        self._worker.cancel()
        await asyncio.gather(*(replica.stop() for replica in self.replicas))

    async def restart_replica(self) -> None:
        """Kills a replica and starts another one."""
        await self._restart(self.server.random.randrange(len(self.replicas)))

    async def _restart(self, number: int) -> None:
        await self.replicas[number].stop()
        self.replicas[number] = Replica(self)

    def send(self, event: Event) -> StoredEvent:
        """Stores a request or a command, which a replica will handle."""
        stored = self.requests.store(event)
        if isinstance(event, CampaignCommand):
            self._campaign_commands.put_nowait(stored)
        else:
            self._deliver(stored, self._handler_of(event))
        return stored

    def _handler_of(self, event: Event) -> Callable[[Replica, StoredEvent[Any]], Awaitable[None]]:
        if isinstance(event, CallRequested):
            return self._handle_request
        if isinstance(event, ContactRequested):
            return self._handle_contact
        return self._handle_number_command if isinstance(event, NumberCommand) else self._handle_command

    def _note_dial(self, line: Line) -> None:
        same = [one for one in self.network.open_lines if one.call.phone_number == line.call.phone_number]
        if len(same) > 1:
            self.crossed.append(line)

    def _deliver_fact(self, stored: StoredEvent[Any]) -> None:
        if isinstance(stored.event, AdmissionGranted):
            self._deliver(stored, self._handle_grant)
        elif isinstance(stored.event, AttemptEvent | TimerDue):
            self._deliver(stored, self._handle_fact)
        elif isinstance(stored.event, CampaignFinished):
            self._deliver(stored, self._handle_finish)

    def _deliver(
        self, stored: StoredEvent[Any], handle: Callable[[Replica, StoredEvent[Any]], Awaitable[None]], after: float = 0
    ) -> None:
        delay = after + self.server.random.random() * 0.1
        asyncio.get_running_loop().call_later(delay, self._begin, stored, handle)

    def _begin(self, stored: StoredEvent[Any], handle: Callable[[Replica, StoredEvent[Any]], Awaitable[None]]) -> None:
        replica = self.server.random.choice(self.replicas)
        task = asyncio.get_running_loop().create_task(self._handle(replica, stored, handle))
        replica.tasks[task] = None
        task.add_done_callback(replica.end_task)

    async def _handle(
        self, replica: Replica, stored: StoredEvent[Any], handle: Callable[[Replica, StoredEvent[Any]], Awaitable[None]]
    ) -> None:
        again = StoredEvent(
            stored.event, stored.envelope, stored.sequence, stored.deliveries + 1, stored_at=stored.stored_at
        )
        try:
            await handle(replica, stored)
        except RetryLater as error:
            self._deliver(again, handle, error.delay)
        except Conflict:
            self._deliver(again, handle, 1)
        except asyncio.CancelledError:
            self._deliver(again, handle, ACK_WAIT_SECONDS)
            raise
        else:
            if self.server.random.random() < 0.05:  # the acknowledgement was lost
                self._deliver(again, handle, ACK_WAIT_SECONDS)

    async def _handle_request(self, replica: Replica, stored: StoredEvent[Any]) -> None:
        given = call_input(
            stored.event, stored.envelope, is_redelivered=stored.deliveries > 1, sequence=stored.sequence
        )
        outcome = await replica.calls.handle(given)
        self.requests.undecided.discard(stored.sequence)
        self.outcomes.setdefault(stored.sequence, outcome)

    async def _handle_command(self, replica: Replica, stored: StoredEvent[Any]) -> None:
        self.outcomes.setdefault(stored.sequence, await replica.calls.handle_command(stored))

    async def _handle_contact(self, replica: Replica, stored: StoredEvent[Any]) -> None:
        outcome = await replica.new_contacts.handle(stored)
        self.outcomes.setdefault(stored.sequence, outcome)

    async def _handle_number_command(self, replica: Replica, stored: StoredEvent[Any]) -> None:
        assert stored.stored_at
        outcome = await replica.do_not_call.handle(stored.event, stored.stored_at, stored.envelope)
        self.outcomes.setdefault(stored.sequence, outcome)

    async def _handle_grant(self, replica: Replica, stored: StoredEvent[Any]) -> None:
        if self.fatal_grants:
            self.fatal_grants -= 1
            self._restarts.append(asyncio.create_task(self._restart(self.replicas.index(replica))))
            await asyncio.Event().wait()  # until the replica is stopped
        await replica.grants.carry_out(
            stored.event,
            sequence=stored.sequence,
            cause=stored.envelope,
            is_redelivered=stored.deliveries > 1,
        )

    async def _handle_fact(self, replica: Replica, stored: StoredEvent[Any]) -> None:
        if isinstance(stored.event, ConversationEnded):
            await replica.do_not_call.note_opt_out(stored)
        await replica.calls.handle(call_input(stored.event, stored.envelope, is_redelivered=stored.deliveries > 1))

    async def _handle_finish(self, replica: Replica, stored: StoredEvent[Any]) -> None:
        await replica.finished_campaigns.end_waiting(stored.event, stored.envelope)

    async def _handle_campaign_commands(self) -> None:
        """Handles commands about campaigns in their order, one at a time."""
        while True:
            stored = await self._campaign_commands.get()
            await self.server.wait(0.1)
            while True:
                replica = self.server.random.choice(self.replicas)
                try:
                    outcome = await replica.campaigns.handle(stored.event, stored.envelope)
                except Conflict:
                    continue
                self.outcomes.setdefault(stored.sequence, outcome)
                break


def the_policy(dial_within: timedelta, max_retries: int, retry_delay: timedelta) -> Policy:
    """Returns the policy of an installation that may call all countries of the test."""
    return Policy(
        call_timeout=timedelta(seconds=30),
        max_retries=max_retries,
        retry_delay=retry_delay,
        max_talk=timedelta(minutes=5),
        dial_within=dial_within,
        allowed_countries=frozenset({"US", "ES", "FR", "IT", "CO", "CL", "GB", "IN", "AU", "RE"}),
        calling_policy=RULES,
    )
