"""Reading calls and sending commands about them, for the REST API and for requests over NATS."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import structlog
import uuid_utils

from chassis.event_log import StoredEvent, UnreadableEvent
from contracts import (
    Call,
    CallCancelRequested,
    CallChangeRequested,
    CallCreated,
    CallDecision,
    CallEvent,
    CallRequested,
    CallRetryRequested,
    CampaignStatistics,
    CommandOutcome,
    ContactRefused,
    DialPlaced,
    Event,
    TelephonyStatusReported,
    call_id_of,
)
from contracts.contacts import request_id_of_contact, request_id_of_other_number
from contracts.filters import call_filters, call_state_filter
from contracts.streams import DUE_SOON
from contracts.vocabulary import RefusalCode
from edge.application.errors import KeyReused, Refused, RetriesExhausted, Unacceptable, UnknownCall
from edge.ports import Backlog, BacklogFull, CallLog, DisplayedLog, OnOutcome, Requests, Statistics, Unreadable

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CallDetails:
    """A call, the time of its last event, and the provider's id of the latest attempt that has one."""

    call: Call
    updated_at: datetime
    provider_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request that is stored; `details` is None until the orchestrator has decided it."""

    call_id: UUID
    details: CallDetails | None


async def last_decision(log: CallLog, call_id: UUID) -> StoredEvent:
    """Returns the newest decision about a call. Raises UnknownCall."""
    newest = await log.last(call_state_filter(call_id))
    if newest is None:
        raise UnknownCall(call_id)
    return newest


def call_in(stored: StoredEvent) -> Call:
    """Returns the call after a decision."""
    assert isinstance(stored.event, CallDecision)  # noqa: S101  `call_state_filter` matches no other event
    return stored.event.call


def raise_if_refused(outcome: CommandOutcome | None) -> None:
    """Raises Refused, RetriesExhausted or BacklogFull if the orchestrator refused a request or command."""
    if outcome and not outcome.accepted:
        if outcome.code is RefusalCode.BACKLOG_FULL:
            raise BacklogFull("; ".join(outcome.reasons))
        raise (RetriesExhausted if outcome.code is RefusalCode.RETRIES_EXHAUSTED else Refused)(outcome.reasons)


def raise_if_unacceptable(event: Event) -> None:
    """Raises Unacceptable if a request or command is not acceptable now."""
    if refusals := event.refusals(datetime.now(UTC)):
        raise Unacceptable(tuple(refusals))


class Calls:
    """Requests, commands and queries about calls. Every method raises Unavailable without a connection to NATS."""

    def __init__(self, log: DisplayedLog, requests: Requests, statistics: Statistics, backlog: Backlog) -> None:
        self._log = log
        self._requests = requests
        self._statistics = statistics
        self._backlog = backlog

    async def create(
        self,
        request: CallRequested,
        request_id: str,
        reserve: Callable[[], Awaitable[None]] | None = None,
        on_late_outcome: OnOutcome | None = None,
    ) -> StoredRequest:
        """Requests a call. A repeated request returns the same call.

        `reserve` runs before an acceptable request of no known call is sent. `on_late_outcome` is called with an
        outcome that comes after this method has returned. Raises the errors of `reserve`, BacklogFull, KeyReused,
        Refused and TooLarge.
        """
        raise_if_unacceptable(request)
        call_id, message_id = call_id_of(request_id), str(uuid_utils.uuid7())
        newest = await self._log.last(call_state_filter(call_id))
        if newest is None:
            if _is_due(request.scheduled_at):
                await self._backlog.check()
            if reserve:
                await reserve()

            async def report(late: CommandOutcome) -> None:
                if not late.accepted:
                    logger.warning("stored_request_refused", call_id=str(call_id), reasons=list(late.reasons))
                if on_late_outcome:
                    await on_late_outcome(late)

            named = request.model_copy(update={"request_id": request_id})
            raise_if_refused(await self._requests.send(named, message_id, on_late_outcome=report))
            newest = await self._log.last(call_state_filter(call_id))
        if newest is None:
            return StoredRequest(call_id, None)
        if _differences(request, call_in(newest)):
            created = await self._log.last(CallCreated.subject_for(call_id)) or newest
            different = _differences(request, call_in(created))
            if different and created.envelope.causation_id != message_id:  # this request has not created the call
                raise KeyReused(different)
        return StoredRequest(call_id, await self._details(newest))

    async def command(
        self, before: Call, command: CallEvent, reserve: Callable[[], Awaitable[None]]
    ) -> tuple[CallDetails, bool]:
        """Sends a command about a known call. Returns the call after it, and whether the command is decided.

        `before`: the call as the caller knows it. `reserve` runs before an acceptable command is sent. Raises its
        errors, BacklogFull, Refused and TooLarge.
        """
        raise_if_unacceptable(command)
        if _may_join_queue(command, before):
            await self._backlog.check()
        await reserve()
        outcome = await self._requests.send(command, person=before.number_digest)
        raise_if_refused(outcome)
        return await self.get(command.call_id), outcome is not None

    async def cancel(self, command: CallCancelRequested) -> tuple[CallDetails | None, bool]:
        """Sends a cancel. Returns the call after it, and whether the cancel is decided.

        The request of the call may still be queued: then the cancel takes effect before any dial, and there may be no
        call to return yet. Raises UnknownCall if no earlier request created the call, and Refused.
        """
        outcome = await self._requests.send(command)
        if outcome and outcome.code is RefusalCode.NO_SUCH_CALL:
            raise UnknownCall(command.call_id)
        raise_if_refused(outcome)
        try:
            return await self.get(command.call_id), outcome is not None
        except UnknownCall:
            return None, False

    async def get(self, call_id: UUID) -> CallDetails:
        """Returns the call and its details. Raises UnknownCall."""
        return await self._details(await last_decision(self._log, call_id))

    async def state(self, call_id: UUID) -> Call:
        """Returns the call alone, by one read. Raises UnknownCall."""
        return call_in(await last_decision(self._log, call_id))

    async def _details(self, newest: StoredEvent) -> CallDetails:
        call = call_in(newest)
        provider_call_id = await self._provider_call_id(call.call_id) if call.attempt else None
        return CallDetails(call, newest.envelope.time, provider_call_id)

    async def campaign_of(self, call_id: UUID) -> str:
        """Returns the id of the call's campaign, which never changes. Raises UnknownCall."""
        return (await self.state(call_id)).campaign_id

    async def events(self, call_id: UUID) -> list[StoredEvent | UnreadableEvent]:
        """Returns every event of the call, or why its contact was refused, in log order. Raises UnknownCall."""
        events = await self._log.read_all(call_filters(call_id))
        if not any(_subject_of(event).startswith(("call.", "contact.refused.")) for event in events):
            raise UnknownCall(call_id)
        return events

    async def decisions(self, call_id: UUID) -> list[StoredEvent]:
        """Returns the orchestrator's decisions about the call, in log order. Raises UnknownCall and Unreadable.

        A contact without a call has one, why it was refused.
        """
        if decisions := await self._log.read([call_state_filter(call_id)]):
            return decisions
        if refused := await self._log.last(ContactRefused.subject_for(call_id)):
            return [refused]
        raise UnknownCall(call_id)

    async def decisions_on_contact(self, campaign_id: str, contact_id: str) -> list[StoredEvent]:
        """As `decisions`, for the call of a contact, and why another number with the same contact id was refused."""
        call_id = call_id_of(request_id_of_contact(campaign_id, contact_id))
        other_number = call_id_of(request_id_of_other_number(campaign_id, contact_id))
        try:
            decisions = await self.decisions(call_id)
        except UnknownCall:
            reason = f"nothing is decided about the contact {contact_id}: it waits, or the campaign never had it"
            raise UnknownCall(call_id, reason) from None
        refused = await self._log.last(ContactRefused.subject_for(other_number))
        return sorted([*decisions, refused], key=lambda stored: stored.sequence) if refused else decisions

    async def statistics(self, campaign_id: str | None) -> CampaignStatistics:
        """Returns the counters of one campaign, or of all."""
        return await self._statistics.of(campaign_id)

    async def _provider_call_id(self, call_id: UUID) -> str | None:
        """Returns the provider's id of the latest attempt that has one; none if an event cannot be decoded.

        Reads callbacks too: they carry the id when the answer to the dial request was lost.
        """
        try:
            stored = await asyncio.gather(
                self._log.last_of_any_node(DialPlaced.subject_for(call_id)),
                self._log.last_of_any_node(TelephonyStatusReported.subject_for(call_id)),
            )
        except Unreadable:  # the call must be readable, and cancellable, without this detail
            return None
        events = [entry.event for entry in stored if entry]
        known = [event for event in events if isinstance(event, DialPlaced | TelephonyStatusReported)]
        latest = max(known, key=lambda event: event.attempt, default=None)
        return latest.provider_call_id if latest else None


def _is_due(scheduled_at: datetime | None) -> bool:
    return scheduled_at is None or scheduled_at <= datetime.now(UTC) + DUE_SOON


def _may_join_queue(command: CallEvent, before: Call) -> bool:
    """Whether the call may wait for a slot because of the command, and does not wait yet."""
    if isinstance(command, CallChangeRequested):
        return not before.is_queued and command.scheduled_at is not None and _is_due(command.scheduled_at)
    return isinstance(command, CallRetryRequested)


def _subject_of(event: StoredEvent | UnreadableEvent) -> str:
    return event.subject if isinstance(event, UnreadableEvent) else event.event.subject


def _differences(request: CallRequested, call: Call) -> list[str]:
    """Returns the fields in which the call, as it was created, differs from the request.

    Fields that the request leaves out do not differ: they are those of its campaign. To variables without a script,
    the campaign adds its own. ``scheduled_at`` means "not before", so a later time matches. Nothing else is compared
    with a call of another campaign: the key may be limited to campaigns. Any key may repeat a request.
    """
    if request.campaign_id != call.campaign_id:
        return ["campaign_id"]
    given = request.model_fields_set - {"request_id", "scheduled_at", "key_name"}
    wanted = request.model_dump(include=given, exclude_none=True)
    known = call.model_dump(include=set(wanted), exclude_none=True)
    if "variables" in wanted and request.script_template is None:
        wanted["variables"] = {**call.variables, **request.variables}
    different = [name for name, value in wanted.items() if known.get(name) != value]
    if request.scheduled_at and request.scheduled_at > max(call.due_at or call.created_at, call.created_at):
        different.append("scheduled_at")
    return different
