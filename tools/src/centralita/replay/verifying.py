"""Verify: every recorded input is decided again by the rules of this program and compared with the record.

**Decisions are exact.** A decision depends on the state before it, the input and the instant. The log contains all
three: in the call's previous decision, in the cause, and in ``occurred_at``. The operator's defaults of that day are in
the call. A decision that differs now is a *drift*. Only the fields of the recorded message are compared. A field that
the contract has renamed is read by its alias; a field that it has added later is not compared. One limit,
``DIAL_WITHIN_MINUTES``, is carried only by calls that wait for a slot. For others it is an argument; it matters only
for a call that became due too late. ``ALLOWED_COUNTRIES`` and ``CALLER_IDS`` are not in the log: the countries and
caller ids of the recorded calls are those that were allowed. Whether a call has expired also depends on the pauses of
its campaign, up to that instant.

**Ignored inputs are not exact.** The log does not record when an input without a decision was handled. The state at
that time is one of a few (`centralita.replay.call_history.CallHistory.possible_states`). If the input leads to a
decision in all of them now, that is a *doubt*. It is not a drift, because an input whose replica was killed is handled
again later, in another state.

A refused command is a decision, ``call.command_refused``; older builds recorded none. `Call.command_sequence` and
`Call.granted_sequence` are not compared: they are positions in streams, which an import changes. Nor are fields that
are sealed: verifying needs no key. Where a rule has changed, a decision of an older build is compared with its own
rule (`centralita.replay.decisions.by_former_rules`).

A decision that the calling policy delayed, permitted or refused carries the version of its rules, and of the packages
that know holidays and time zones. It is judged if that is the version here: give the file of ``CALLING_RULES`` if the
installation had one, and install its packages. Older builds recorded the version of the rules alone, and their
shipped rules required nothing beside a time (`CallingPolicy.of_version`). A decision also
carries what was known about the number: the earlier dials that a cap counts, another call to it, and its do-not-call
entry. A decision that carries nothing of this is one for which the policy was not asked. It is decided again without
the policy, so a dial that an older build made at a forbidden time is no drift.

A replica may learn late that a campaign is finished, and older builds did not ask. So after the finish of its campaign,
a decision may be the one of a finished or of an unfinished campaign. A grant that was carried out late was decided on
the campaign as it was then: on one of its states between the grant and the decision.

A request in clear is erased once it is decided, and a contact leaves its stream when its call is created. Then the
decision is judged on what it carries itself. A refused change carries the names of its fields only: where the refusal
depends on their values, it is not judged. A request that was refused and erased is in a ``request.erased``. Where the
stream lacks a request of which the log shows nothing, it is reported as lost (`centralita.replay.lost_requests`).

**Some messages are not judged**: inputs that the orchestrator had not acknowledged, and dead letters. With a time
range, these are also messages whose cause or decision may be outside the range. In the record of one call or of a time
range, the pauses are missing: an expiry that they may have prevented is not judged. In the record of one call or
campaign, other waiting calls are missing: a request that a full backlog may have refused is not judged. Nor is one that
may have been refused because its campaign was finished, its number was on a do-not-call list, or its person was erased.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from call_orchestrator.domain.calling_policy import CallingPolicy
from centralita.replay.call_history import CallHistory, Decision, Input, call_histories
from centralita.replay.comparison import Differences, differences_of
from centralita.replay.decisions import (
    DIAL_WITHIN,
    by_former_rules,
    erased_input,
    is_refused_by_unknown_value,
    read_calling_policy,
)
from centralita.replay.lost_requests import Ranges, RecordedRequests
from centralita.replay.recorded_rules import Recorded, RecordedRules, read_rules
from chassis.event_log import StoredEvent
from contracts import AdmissionGranted, CallCommandRefused, CallCreated, CallDecision
from contracts.streams import CALLS


@dataclass(frozen=True, slots=True)
class Drift:
    """A message whose decision would be different now."""

    call_id: str
    stream: str
    sequence: int
    reason: str
    differences: Differences = ()


@dataclass(frozen=True, slots=True)
class Verification:
    """The number of compared decisions, and the differences. `drifts` and `doubts` are in the order of the log.

    `without_effect`: judged inputs without a decision. `unjudged`: decisions and inputs that were not judged.
    `lost_requests`: the first and the last sequence of each gap in REQUESTS of which the log shows nothing.
    """

    calls: int
    decisions: int
    without_effect: int
    unjudged: int
    drifts: tuple[Drift, ...]
    doubts: tuple[Drift, ...] = ()
    lost_requests: Ranges = ()


@dataclass
class _Count:
    judged: int = 0
    unjudged: int = 0
    drifts: list[Drift] = field(default_factory=list)

    def add(self, drift: Drift | None, *, is_judged: bool) -> None:
        self.judged += is_judged
        self.unjudged += not is_judged
        self.drifts += [drift] if drift else []

    def in_order(self) -> tuple[Drift, ...]:
        return tuple(sorted(self.drifts, key=lambda drift: (drift.stream, drift.sequence)))


async def verify(
    record: Recorded,
    *,
    dial_within: timedelta = DIAL_WITHIN,
    calling_policy: CallingPolicy | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Decides every input of the record again; `progress` is called with the done and the total number of decisions.

    `calling_policy`: the shipped one by default. Decisions by another one are not judged.
    """
    rules, total = read_rules(record, dial_within, calling_policy or read_calling_policy())
    calls, decisions, ignored, recorded = 0, _Count(), _Count(), RecordedRequests()
    for messages in record.parts():
        recorded.add(messages)
        for history in call_histories(messages):
            calls += 1
            for index in range(len(history.decisions)):
                drift, is_judged = await _judge_decision(history, index, record, rules)
                decisions.add(drift, is_judged=is_judged)
                recorded.add_decision(history.decisions[index].event)
            for ignored_input in history.ignored_inputs:
                doubt, is_judged = await _judge_ignored(history, ignored_input, record, rules)
                ignored.add(doubt, is_judged=is_judged)
            if progress:
                progress(decisions.judged + decisions.unjudged, total)
    unjudged = decisions.unjudged + ignored.unjudged
    lost = recorded.lost_of(record.missing_requests)
    drifts, doubts = decisions.in_order(), ignored.in_order()
    return Verification(calls, decisions.judged, ignored.judged, unjudged, drifts, doubts, lost)


async def _judge_decision(
    history: CallHistory, index: int, record: Recorded, rules: RecordedRules
) -> tuple[Drift | None, bool]:
    """Returns the drift of a decision, if any, and whether the decision could be judged."""
    recorded = history.decisions[index]
    before = history.decisions[index - 1].event.call if index else None
    cause = recorded.cause.stored if recorded.cause else erased_input(recorded.event, recorded.cause_id)
    if record.scope.is_time_range and recorded.cause is None:
        return None, False
    if cause is None or (before is None and not isinstance(recorded.event, CallCreated)):
        missing = f"the message {recorded.cause_id} that caused it" if cause is None else "the event before it"
        if record.scope.is_time_range:
            return None, False
        return _drift(recorded, f"{missing} is not in the record"), True
    call = recorded.event.call
    if call.permission and rules.calling_policy.of_version(call.permission.policy_version) is None:
        return None, False
    decide = partial(
        rules.decide,
        before,
        cause,
        call,
        recorded.event.occurred_at,
        permission=call.permission,
        asks_policy=call.permission is not None,  # if it did not ask, as in older builds, the dial was not delayed
    )
    now = decide()
    differences = differences_of(recorded, by_former_rules(recorded.event, now, cause.event)) if now else ()
    if now is None or differences:
        for other in _with_other_campaigns(decide, recorded, cause, rules):
            if other and not differences_of(recorded, by_former_rules(recorded.event, other, cause.event)):
                return None, True
    caused_by, name = cause.event.event_name, recorded.event.event_name
    if now is None:
        return _drift(recorded, f"{caused_by} led to {name}; now it leads to no decision"), True
    if differences:
        if rules.is_uncertain(now) or is_refused_by_unknown_value(
            recorded.event, now, is_erased=recorded.cause is None
        ):
            return None, False
        return _drift(recorded, f"{caused_by} led to {name}; now the decision is different", differences), True
    return None, True


def _with_other_campaigns(
    decide: Callable[..., CallDecision | None], recorded: Decision, cause: StoredEvent, rules: RecordedRules
) -> Iterator[CallDecision | None]:
    """Yields the decisions with other states of the campaign that the replica may have known."""
    call, at = recorded.event.call, recorded.event.occurred_at
    if rules.may_know_finish(call, at):
        yield decide(is_campaign_finished=True)
    if isinstance(cause.event, AdmissionGranted):
        for campaign in rules.late_campaigns(call, cause, at):
            yield decide(late_campaign=campaign)


async def _judge_ignored(
    history: CallHistory, ignored: Input, record: Recorded, rules: RecordedRules
) -> tuple[Drift | None, bool]:
    """Returns the doubt about an ignored input, if any, and whether the input could be judged."""
    message = ignored.message
    is_acknowledged = message.sequence <= record.acknowledged.get(message.stream, 0)
    is_dead_letter = f"{message.stream}/{message.sequence}" in record.dead_letters
    if is_dead_letter or not is_acknowledged or record.scope.is_time_range:  # its decision may be outside the range
        return None, False
    now: CallDecision | None = None
    for before, at in history.possible_states(ignored):
        now = rules.decide(before, ignored.stored, before, at)
        if now is None or isinstance(now, CallCommandRefused):  # older builds recorded no refusal
            return None, True
        if rules.is_uncertain(now) or rules.may_be_refused(now, ignored):
            return None, False
    assert now is not None  # noqa: S101  there is at least one state
    name = ignored.stored.event.event_name
    reason = f"{name} led to no decision; now it leads to {now.event_name} ({now.call.status})"
    return Drift(history.call_id, message.stream, message.sequence, reason), True


def _drift(recorded: Decision, reason: str, differences: Differences = ()) -> Drift:
    return Drift(str(recorded.event.call_id), CALLS.name, recorded.sequence, reason, differences)
