"""Carries out commands of calls, in the order of the stream REQUESTS (ADR 21).

Each request and each command is decided once, accepted or refused, and the decision records its position in the stream:
`Call.command_sequence`. Before a command is decided, the earlier undecided commands of its call are read from the
stream and decided. After a request has created its call, the commands that were stored meanwhile are decided before any
effect, so before the call can be dialled. A command without a call waits until every earlier request is decided; only
then there is no such call.

A second delivery is harmless: the causation id of an event shows that the command was decided before. Only its effects
are repeated then, and each is idempotent (law 6).
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import pairwise

from call_orchestrator.application.call_decisions import NO_SUCH_CALL, PERSON_ERASED, decide_call
from call_orchestrator.application.call_inputs import CallInput, call_input
from call_orchestrator.application.call_outcomes import MAX_CONFLICTS, accepted, refused, too_many_conflicts
from call_orchestrator.application.call_terms import Policy
from call_orchestrator.application.effects import Effects
from call_orchestrator.application.known_campaigns import KnownCampaigns
from call_orchestrator.application.number_claims import NumberClaims
from call_orchestrator.application.stored import StoredCall, append_decision, load_call, newest_of
from call_orchestrator.domain.decisions import Ignored, Refused
from call_orchestrator.ports import Log, Requests
from chassis.event_log import Conflict, StoredEvent
from chassis.retry_later import RetryLater
from contracts import (
    Call,
    CallChangeRequested,
    CallCommand,
    CallCommandRefused,
    CallCreated,
    CallDecision,
    CallRetryRequested,
    CampaignTerms,
    CommandOutcome,
    Event,
)
from contracts.filters import call_state_filter
from contracts.personal import PLACEHOLDERS

_MIN_WAIT_SECONDS, _MAX_WAIT_SECONDS = 0.1, 15.0
_REQUESTS_PER_SECOND = 500
"""An upper estimate of how many requests the replicas decide."""


class EarlierRequestUndecided(RetryLater):
    """A request that was stored before the command, and may be that of its call, is not decided yet.

    The wait ends when the requests consumer has come so far. The command is decided together with its request; the
    wait only delays its outcome. Behind many requests it is longer, so that waiting commands cost little.
    """

    def __init__(self, deliveries: int, distance: int) -> None:
        wait_seconds = max(_MIN_WAIT_SECONDS * 2 ** (min(deliveries, 16) - 1), distance / _REQUESTS_PER_SECOND)
        super().__init__(min(wait_seconds, _MAX_WAIT_SECONDS), is_unlimited=True)


class CommandService:
    """Decides the commands of calls."""

    def __init__(
        self,
        log: Log,
        requests: Requests,
        effects: Effects,
        policy: Policy,
        now: Callable[[], datetime],
        campaigns: KnownCampaigns,
        claims: NumberClaims | None = None,
    ) -> None:
        self._claims = claims
        self._log = log
        self._requests = requests
        self._effects = effects
        self._policy = policy
        self._now = now
        self._campaigns = campaigns

    async def handle(self, command: StoredEvent[CallCommand]) -> CommandOutcome:
        """Decides a command and the earlier undecided ones of its call.

        Raises Conflict after `MAX_CONFLICTS`, and EarlierRequestUndecided.
        """
        call_id = command.event.call_id
        for conflicts in range(MAX_CONFLICTS):
            stored = await load_call(self._log, call_id)
            if stored is None and (distance := await self._requests.undecided_before(command.sequence)):
                raise EarlierRequestUndecided(command.deliveries, distance)
            stored = stored or await load_call(self._log, call_id)  # the request may have been decided meanwhile
            if stored is None:
                return refused(call_id, NO_SUCH_CALL)
            try:
                return await self._handle(stored, command, is_repeated=conflicts > 0)
            except Conflict:
                continue
        raise too_many_conflicts(call_id)

    async def decide_waiting(self, stored: StoredCall, request_sequence: int | None) -> StoredCall:
        """Decides the undecided commands that were stored after the request. A call of an older build has none.

        A repeated request may have created the call before this one, and so before commands that follow this one.
        """
        position = stored.call.command_sequence
        if position is None:
            return stored
        after_sequence = min(position, request_sequence or position)
        if not (waiting := await self._requests.commands(stored.call.call_id, after_sequence)):
            return stored
        history = await self._log.read([call_state_filter(stored.call.call_id)])
        return (await self._decide(newest_of(stored, history), waiting, history))[1]

    async def _handle(
        self, stored: StoredCall, command: StoredEvent[CallCommand], *, is_repeated: bool
    ) -> CommandOutcome:
        previous = None
        history = await self._history(stored.call, command)
        stored = newest_of(stored, history)
        event, before = _decision_on(command, history), _call_before(command, history) or stored.call
        if event is None:
            if _precedes_call(command, stored.call, history):
                if distance := await self._requests.undecided_before(command.sequence):
                    raise EarlierRequestUndecided(command.deliveries, distance)
                return refused(stored.call.call_id, NO_SUCH_CALL, stored.call)
            previous = None if is_repeated else stored.call
            before, stored = await self._decide(stored, await self._undecided(stored.call, command), history)
            event = stored.event
        await self._effects.apply(stored, command.envelope, previous=previous)
        if self._claims and before.number_digest != stored.call.number_digest:
            await self._claims.release(before, command.envelope, changed_at=stored.call.number_changed_at)
        if isinstance(event, CallCommandRefused):
            return refused(stored.call.call_id, Refused(event.reason, event.code), stored.call)
        return accepted(stored.call)

    async def _history(self, call: Call, command: StoredEvent[CallCommand]) -> list[StoredEvent]:
        """Returns the events of the call if they may contain a decision on the command; otherwise none.

        A command after `command_sequence` was not decided. But a retry that was stored twice, with the same id, must
        not dial twice. The cost grows with the events of the call, so other commands do not read them.
        """
        position = call.command_sequence
        is_new = position is not None and command.sequence > position and command.deliveries == 1
        if is_new and not isinstance(command.event, CallRetryRequested):
            return []
        return await self._log.read([call_state_filter(call.call_id)])

    async def _undecided(self, call: Call, command: StoredEvent[CallCommand]) -> list[StoredEvent[CallCommand]]:
        """Returns the undecided commands up to this one, which ends the list.

        In a call of an older build, and after an import, `command_sequence` does not show which ones they are.
        """
        position = call.command_sequence
        if position is None or command.sequence <= position:
            return [command]
        waiting = await self._requests.commands(call.call_id, position)
        return [*(one for one in waiting if one.sequence < command.sequence), command]

    async def _decide(
        self, stored: StoredCall, commands: Sequence[StoredEvent[CallCommand]], history: Sequence[StoredEvent]
    ) -> tuple[Call, StoredCall]:
        """Decides commands in this order. Returns the call before the last one, and the call after it.

        One whose id was decided before, because it was stored twice, is skipped.
        """
        decided, before = _decided_ids(history), stored.call
        for command in commands:
            if command.envelope.id not in decided:
                given = call_input(command.event, command.envelope, sequence=command.sequence, sent_at=command.sent_at)
                before = stored.call
                decision = await self._decision(before, given)
                assert isinstance(decision, CallDecision)  # noqa: S101  a command of an existing call is an event
                stored = await append_decision(self._log, decision, stored, command.envelope)
                decided.add(command.envelope.id)
        return before, stored

    async def _decision(self, call: Call, given: CallInput) -> CallDecision | Ignored | Refused:
        """Decides a command. A retry asks the leader whether the campaign is finished, as it may begin an attempt."""
        is_retry = isinstance(given.command, CallRetryRequested)
        campaigns = self._campaigns
        campaign = await (campaigns.at_leader(call.campaign_id) if is_retry else campaigns.of_call(call))
        now = self._now()
        refusal = await self._number_refusal(call, given, campaign.terms)
        return decide_call(
            call,
            given,
            self._policy,
            now,
            campaign=campaign.terms,
            is_campaign_finished=is_retry and campaign.is_finished,
            number_refusal=refusal,
        )

    async def _number_refusal(self, call: Call, given: CallInput, terms: CampaignTerms) -> Refused | None:
        """Returns why the call may not have the number to which a change leads. The rules are those of a new call."""
        if not isinstance(given.command, CallChangeRequested):
            return None
        number = given.command.phone_number
        if (number or call.phone_number) in PLACEHOLDERS:
            return PERSON_ERASED
        if number is None or self._claims is None or call.attempt or call.status.is_final:
            return None
        return await self._claims.refusal(number, call.campaign_id, given.requested_at, terms.do_not_call_lists)


def _decided_ids(history: Sequence[StoredEvent]) -> set[str | None]:
    """Returns the ids of the commands that were decided. A command with the id of its request is a command."""
    return {known.envelope.causation_id for known in history if not isinstance(known.event, CallCreated)}


def _decision_on(command: StoredEvent[CallCommand], history: Sequence[StoredEvent]) -> Event | None:
    decisions = (
        known.event
        for known in history
        if known.envelope.causation_id == command.envelope.id and not isinstance(known.event, CallCreated)
    )
    return next(decisions, None)


def _call_before(command: StoredEvent[CallCommand], history: Sequence[StoredEvent]) -> Call | None:
    """Returns the call before the decision on the command, if the history has both."""
    for earlier, decision in pairwise(history):
        if decision.envelope.causation_id == command.envelope.id and isinstance(earlier.event, CallDecision):
            return earlier.event.call
    return None


def _precedes_call(command: StoredEvent[CallCommand], call: Call, history: Sequence[StoredEvent]) -> bool:
    """Whether the command was stored before the request of its call.

    An import gives messages other positions, so the times at which the server stored both are compared, too.
    """
    if call.command_sequence is None or command.sequence > call.command_sequence:
        return False
    created = next((known.stored_at for known in history if isinstance(known.event, CallCreated)), None)
    return bool(created and command.stored_at and command.stored_at < created)
