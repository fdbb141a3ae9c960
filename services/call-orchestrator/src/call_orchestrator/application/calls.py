"""Carries out inputs of calls: load, decide, append, effects.

Any input may arrive twice, late or out of order (law 6). The append is guarded by the sequence that was loaded. If two
replicas decide at once, one of them gets a conflict, loads what the other appended, and decides again. The causation id
of an event shows that a message was decided before. Only its effects are repeated then, and each is idempotent.

An input that was not delivered before is decided on what this replica appended last, if it knows the call
(`recent_calls`). That counts only if an event follows and its append succeeds. Otherwise the call is loaded.

The module `commands` decides the commands of existing calls. A request is decided here, and then the commands that were
stored after it.
"""

from collections.abc import Callable
from datetime import datetime

import structlog

from call_orchestrator.application.backlog import Backlog
from call_orchestrator.application.call_decisions import PERSON_ERASED, decide_call
from call_orchestrator.application.call_inputs import CallInput
from call_orchestrator.application.call_outcomes import MAX_CONFLICTS, accepted, refused, too_many_conflicts
from call_orchestrator.application.call_terms import Policy
from call_orchestrator.application.commands import CommandService
from call_orchestrator.application.effects import Effects
from call_orchestrator.application.known_campaigns import UNDECLARED, KnownCampaign, KnownCampaigns
from call_orchestrator.application.number_claims import NumberClaims
from call_orchestrator.application.open_campaigns import OpenCampaigns
from call_orchestrator.application.recent_calls import RecentCalls
from call_orchestrator.application.stored import StoredCall, append_decision, load_call, load_pauses
from call_orchestrator.domain.decisions import Ignored, Refused
from call_orchestrator.domain.inputs import TimerDue
from call_orchestrator.domain.number_use import UNUSED, NumberUse
from call_orchestrator.ports import Log, Requests
from chassis.event_log import Conflict, StoredEvent
from contracts import (
    Call,
    CallCommand,
    CallCreated,
    CallDecision,
    CallStatus,
    CommandOutcome,
)
from contracts.filters import call_state_filter
from contracts.personal import PLACEHOLDERS
from contracts.streams import DUE_SOON
from contracts.vocabulary import RefusalCode

logger = structlog.get_logger()


class CallService:
    """Decides the inputs of calls."""

    def __init__(
        self,
        log: Log,
        requests: Requests,
        effects: Effects,
        policy: Policy,
        now: Callable[[], datetime],
        backlog: Backlog | None = None,
        campaigns: OpenCampaigns | None = None,
        reconnections: Callable[[], int] = lambda: 0,
        claims: NumberClaims | None = None,
    ) -> None:
        """`reconnections`: how often the connection to the log was restored."""
        self._log = log
        self._effects = effects
        self._policy = policy
        self._now = now
        self._backlog = backlog or Backlog()
        self._campaigns = KnownCampaigns(log, campaigns)
        self._claims = claims
        self._recent = RecentCalls(reconnections)
        self._commands = CommandService(log, requests, effects, policy, now, self._campaigns, claims)

    async def handle(self, call_input: CallInput) -> CommandOutcome:
        """Decides a request, a fact or a timer, and applies its effects. Raises Conflict after `MAX_CONFLICTS`."""
        handled = await self.carry_out(call_input)
        if isinstance(handled, Refused):
            if handled.code is RefusalCode.BACKLOG_FULL:
                self._backlog.report_refusal(call_input.sequence)
            return refused(call_input.call_id, handled)
        return accepted(handled.call)

    async def carry_out(self, call_input: CallInput, loaded: StoredCall | None = None) -> StoredCall | Refused:
        """As `handle`; returns the call after it. `loaded`: the call, if the caller has just loaded it.

        A new request is decided as if there were no such call, without a read: the guard of the append shows whether
        that is so. If it is not, or if the request is refused, it is decided again on what the log has.
        """
        if loaded is None and (decided := await self.decide_recent(call_input)):
            return decided
        for tries in range(MAX_CONFLICTS):
            is_unread = tries == 0 and call_input.is_new_request
            stored = loaded if tries == 0 else None
            if stored is None and not is_unread:
                stored = await load_call(self._log, call_input.call_id)
            try:
                handled = await self._handle(stored, call_input, is_repeated=tries > 0)
            except Conflict:
                continue
            if not (is_unread and isinstance(handled, Refused)):
                return handled
        raise too_many_conflicts(call_input.call_id)

    async def decide_recent(self, call_input: CallInput) -> StoredCall | None:
        """Appends the event that follows from a first delivery, decided without a read, and applies its effects.

        Returns the call after it. Returns None if nothing was appended: load the call and decide on that.
        """
        stored = self._recent.get(call_input.call_id, self._now())
        if stored is None or call_input.is_redelivered or call_input.request:
            return None
        if stored.cause_id == call_input.cause.id:
            return None
        try:
            decision = await self._decision(stored, call_input)
            if not isinstance(decision, CallDecision):
                return None
            appended = await self._append(decision, stored, call_input)
        except Conflict:
            self._recent.note_conflict(stored, self._now())
            return None
        await self._effects.apply(appended, call_input.cause, previous=stored.call)
        return appended

    async def handle_command(self, command: StoredEvent[CallCommand]) -> CommandOutcome:
        """Decides a command and the earlier undecided ones of its call. See `CommandService`."""
        try:
            return await self._commands.handle(command)
        finally:
            self._recent.forget(command.event.call_id)

    async def _handle(
        self, stored: StoredCall | None, call_input: CallInput, *, is_repeated: bool
    ) -> StoredCall | Refused:
        previous, timer_at = None, None
        if stored is None or not await self._is_decided(stored, call_input):
            decision = await self._decision(stored, call_input)
            if isinstance(decision, Refused):
                return decision
            if isinstance(decision, CallDecision):
                previous = stored.call if stored else None
                stored = await self._append(decision, stored, call_input)
            else:
                timer_at = decision.timer_at
                is_timer_set = not (is_repeated or _may_lack_timer(call_input))
                previous = stored.call if stored and is_timer_set else None
                logger.debug("input_ignored", input=type(call_input.input).__name__, reason=decision.reason)
        assert stored is not None  # noqa: S101  only inputs of existing calls are ignored
        if call_input.request:
            stored = await self._commands.decide_waiting(stored, call_input.sequence)
        self._recent.note(stored)
        await self._effects.apply(stored, call_input.cause, previous=previous, timer_at=timer_at)
        return stored

    async def _append(self, decision: CallDecision, stored: StoredCall | None, call_input: CallInput) -> StoredCall:
        appended = await append_decision(self._log, decision, stored, call_input.cause)
        if isinstance(decision, CallCreated):
            self._backlog.note_created(decision.call)
        self._recent.note(appended)
        return appended

    async def _is_decided(self, stored: StoredCall, call_input: CallInput) -> bool:
        if stored.cause_id == call_input.cause.id:
            return True
        if not call_input.is_redelivered or call_input.request:  # a request of an existing call is never decided again
            return False
        events = await self._log.read([call_state_filter(call_input.call_id)])
        return any(stored_event.envelope.causation_id == call_input.cause.id for stored_event in events)

    async def _decision(self, stored: StoredCall | None, call_input: CallInput) -> CallDecision | Ignored | Refused:
        """Decides the input. A grant is decided on the state of the number, too, which it claims."""
        if stored is None or call_input.grant_sequence is None:
            return await self._decide(stored, call_input)
        if _is_slot_freed(stored, call_input):
            if self._claims:
                await self._claims.release_grant(stored.call, call_input)
            return Ignored("a later event of the call has freed the slot")
        if self._claims is None:
            return await self._decide(stored, call_input)
        return await self._claims.decide(
            stored.call, call_input, lambda number: self._decide(stored, call_input, number), self._now()
        )

    async def _decide(
        self, stored: StoredCall | None, call_input: CallInput, number: NumberUse = UNUSED
    ) -> CallDecision | Ignored | Refused:
        """Decides the input. Only a call that would expire needs the pauses of its campaign, read from the leader."""
        before = stored.call if stored else None
        if before is None and call_input.request and call_input.request.phone_number in PLACEHOLDERS:
            return PERSON_ERASED
        campaign = await self._campaign(before, call_input)
        terms, now = campaign.terms, self._now()
        decision = decide_call(
            before,
            call_input,
            self._policy,
            now,
            campaign=terms,
            number=number,
            is_campaign_finished=campaign.is_finished,
        )
        if isinstance(decision, CallCreated):
            return await self._refusal(decision.call, call_input, campaign, now) or decision
        is_expired = isinstance(decision, CallDecision) and decision.call.status is CallStatus.EXPIRED
        if before and is_expired and not campaign.is_finished:
            pauses = await load_pauses(self._log, before.campaign_id)
            return decide_call(before, call_input, self._policy, now, pauses, terms, number)
        return decision

    async def _campaign(self, before: Call | None, call_input: CallInput) -> KnownCampaign:
        """Returns the campaign of the call, or of the new one that is requested."""
        if before:
            return await self._campaigns.of_call(before)
        return await self._campaigns.of_new_call(call_input.request) if call_input.request else UNDECLARED

    async def _refusal(self, call: Call, request: CallInput, campaign: KnownCampaign, now: datetime) -> Refused | None:
        """Returns why a new call is refused."""
        if refusal := campaign.refusal(call.campaign_id):
            return refusal
        if refusal := await self._campaigns.request_id_refusal(call.request_id, call.campaign_id):
            return refusal
        if self._claims:
            given_at, list_names = request.requested_at, campaign.terms.do_not_call_lists
            if refusal := await self._claims.refusal(call.phone_number, call.campaign_id, given_at, list_names):
                return refusal
        return self._backlog.check(call, request.sequence) if _is_due(call, now + DUE_SOON) else None


def _is_due(call: Call, now: datetime) -> bool:
    return call.is_queued or call.due_at is None or call.due_at <= now


def _is_slot_freed(stored: StoredCall, call_input: CallInput) -> bool:
    """Whether the input is a grant whose slot is free again, because the call has an event after the grant.

    `call_orchestrator.domain.slots` frees the slot at such an event. A call that still waits is granted another slot.
    """
    return call_input.grant_sequence is not None and stored.sequence > call_input.grant_sequence


def _may_lack_timer(call_input: CallInput) -> bool:
    """Whether the call may have no timer: it has fired, or an earlier delivery died before it set the timer.

    A call that was granted its slot at once has none before the grant is carried out.
    """
    is_first = isinstance(call_input.input, TimerDue) or call_input.request is not None
    return is_first or call_input.is_redelivered or call_input.grant_sequence is not None
