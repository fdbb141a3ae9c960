"""What the REST API does with calls: it asks the orchestrator, and reads what stands in the log."""

import asyncio
from dataclasses import dataclass
from uuid import UUID

from chassis.event_log import StoredEvent
from contracts import Call, CallCreated, CallEvent, CallRequested, CampaignStatistics, call_id_of
from contracts.event import CallDecision
from contracts.streams import call_filters, call_state_filter
from edge.application.errors import KeyReused, Refused, UnknownCall
from edge.ports import Facts, Requests, Statistics


@dataclass(frozen=True, slots=True)
class Placed:
    """A request that is stored; `call` is none as long as nobody has decided about it."""

    call_id: UUID
    call: Call | None


async def state(facts: Facts, call_id: UUID) -> StoredEvent:
    """The newest decision about a call. Raises UnknownCall."""
    newest = await facts.last(call_state_filter(call_id))
    if newest is None:
        raise UnknownCall(call_id)
    return newest


def call_in(recorded: StoredEvent) -> Call:
    """The call as it stands after a decision."""
    assert isinstance(recorded.event, CallDecision)  # noqa: S101  the filter of `call_state_filter` matches nothing else
    return recorded.event.call


class Calls:
    """Requests, commands and questions about calls. Everything raises Unavailable when the bus is not there."""

    def __init__(self, facts: Facts, requests: Requests, statistics: Statistics) -> None:
        self._facts = facts
        self._requests = requests
        self._statistics = statistics

    async def place(self, request: CallRequested, request_id: str) -> Placed:
        """Asks for a call; the same request again is the same call. Raises KeyReused, Refused and TooLarge."""
        call_id = call_id_of(request_id)
        created = await self._created(call_id)
        if created is None:
            outcome = await self._requests.ask(request.model_copy(update={"request_id": request_id}))
            if outcome and not outcome.accepted:
                raise Refused(outcome.reasons)
            created = await self._created(call_id)
        if created is None:
            return Placed(call_id, None)
        if different := _unmet(request, created):
            raise KeyReused(different)
        return Placed(call_id, await self.get(call_id))

    async def command(self, command: CallEvent) -> tuple[Call, bool]:
        """Asks for a change; the call as it then stands, and whether it is decided. Raises UnknownCall and Refused."""
        await state(self._facts, command.call_id)
        outcome = await self._requests.ask(command)
        if outcome and not outcome.accepted:
            raise Refused(outcome.reasons)
        return await self.get(command.call_id), outcome is not None

    async def get(self, call_id: UUID) -> Call:
        """The call as it stands. Raises UnknownCall."""
        return call_in(await state(self._facts, call_id))

    async def log(self, call_id: UUID) -> list[StoredEvent]:
        """Everything that is known of the call, in the order of the log. Raises UnknownCall."""
        _, log = await asyncio.gather(state(self._facts, call_id), self._facts.read(call_filters(call_id)))
        return log

    async def statistics(self, campaign_id: str | None) -> CampaignStatistics:
        """A campaign's counters, or those of all."""
        return await self._statistics.of(campaign_id)

    async def _created(self, call_id: UUID) -> Call | None:
        created = await self._facts.last(f"{CallCreated.event_name}.{call_id}.*")
        return call_in(created) if created else None


def _unmet(request: CallRequested, call: Call) -> list[str]:
    """The fields in which the call, as it was created, is not what the request asks for.

    What the request leaves open is met by anything; ``scheduled_at`` means not before, so a later time meets it.
    """
    asked = request.model_dump(exclude={"request_id", "scheduled_at"}, exclude_none=True)
    unmet = [name for name, value in asked.items() if getattr(call, name) != value]
    if request.scheduled_at and request.scheduled_at > max(call.due_at or call.created_at, call.created_at):
        unmet.append("scheduled_at")
    return unmet
