"""Verify: every recorded input is decided again by the rules of this program and compared with the record.

**Decisions are exact.** A decision depends on the state before it, the input and the instant. The log contains all
three: in the call's previous decision, in the cause, and in ``occurred_at``. The operator's defaults of that day are in
the call. A decision that differs now is a *drift*. Only the fields of the recorded message are compared. A field that
the contract has renamed is read by its alias; a field that it has added later is not compared. One limit,
``DIAL_WITHIN_MINUTES``, is carried only by calls that wait for a slot. For others it is an argument; it matters only
for a call that became due too late. ``ALLOWED_COUNTRIES`` is not in the log: the countries of the recorded calls are
those that were allowed. Whether a call has expired also depends on the pauses of its campaign, up to that instant.

**Ignored inputs are not exact.** The log does not record when an input without a decision was handled. The state at
that time is one of a few (`centralita.replay.call_history.CallHistory.possible_states`). If the input leads to a
decision in all of them now, that is a *doubt*. It is not a drift, because an input whose replica was killed is handled
again later, in another state.

A refused command is a decision, ``call.command_refused``; older builds recorded none. `Call.command_sequence` and
`Call.granted_sequence` are not compared: they are positions in streams, which an import changes. Nor are fields that
are sealed: verifying needs no key. Where a rule has
changed, a decision of an older build is compared with its own rule (`centralita.replay.decisions.by_former_rules`).

A decision that the calling policy delayed, permitted or refused carries the version of its rules. It is judged if that
is the version here: give the file of ``CALLING_RULES`` if the installation had one. It also carries what was known
about the number: the earlier dials that a cap counts, another call to the number, and its do-not-call entry.

A call that was created from a contact is decided on what the call carries: the contact is no longer in its stream.

**Some messages are not judged**: inputs that the orchestrator had not acknowledged, and dead letters. With a time
range, these are also messages whose cause or decision may be outside the range. In the record of one call or of a time
range, the pauses are missing: an expiry that they may have prevented is not judged. In the record of one call or
campaign, other waiting calls are missing: a request that a full backlog may have refused is not judged. Nor is a
may have been refused because its campaign was finished, or because its number was on a do-not-call list.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from call_orchestrator.domain.calling_policy import CallingPolicy
from centralita.replay.call_history import CallHistory, Decision, Input, call_histories
from centralita.replay.comparison import Differences, differences_of
from centralita.replay.decisions import (
    DIAL_WITHIN,
    by_former_rules,
    country_called,
    decide_again,
    is_refused_by_sealed_text,
    policy_of,
    read_calling_policy,
    request_of_contact,
    terms_in,
)
from centralita.replay.messages import Message
from centralita.replay.record import Record
from centralita.replay.split_record import SplitRecord
from centralita.replay.waiting_calls import WaitingCalls
from chassis.event_log import StoredEvent
from contracts import (
    Call,
    CallCommandRefused,
    CallCreated,
    CallDecision,
    CallStatus,
    Campaign,
    CampaignDecision,
    CampaignTerms,
    Disposition,
    NumberBlockRequested,
)
from contracts.call import Permission
from contracts.personal import HIDDEN
from contracts.streams import CALLS, DUE_SOON, REQUESTS

Recorded = Record | SplitRecord
"""A recorded log, in memory or in files."""


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
    """

    calls: int
    decisions: int
    without_effect: int
    unjudged: int
    drifts: tuple[Drift, ...]
    doubts: tuple[Drift, ...] = ()


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


@dataclass(frozen=True, slots=True)
class _Rules:
    """What a decision depends on beside the call and the input, as far as the record contains it."""

    dial_within: timedelta
    countries: frozenset[str]
    calling_policy: CallingPolicy
    campaign_events: Mapping[str, list[CampaignDecision]]
    may_lack_campaigns: bool
    """Whether events of campaigns may be missing."""
    waiting: WaitingCalls | None
    """None: the record lacks calls that may have waited."""
    listed_numbers: frozenset[str]
    """The numbers that were on a do-not-call list at some time; of sealed ones it is only known that there were any."""

    def decide(
        self,
        before: Call | None,
        stored: StoredEvent,
        call: Call | None,
        at: datetime,
        *,
        asks_policy: bool = True,
        permission: Permission | None = None,
    ) -> CallDecision | None:
        calling_policy = self.calling_policy if asks_policy else None
        policy = policy_of(call, self.dial_within, self.countries, calling_policy)
        campaign_events = self.campaign_events.get(call.campaign_id, []) if call else []
        return decide_again(before, stored, policy, at, campaign_events, terms_in(call), permission)

    def is_uncertain(self, now: CallDecision | None) -> bool:
        """Whether a pause that the record lacks may have prevented this expiry."""
        return self.may_lack_campaigns and now is not None and now.call.status is CallStatus.EXPIRED

    def may_be_refused(self, now: CallDecision, requested_at: datetime) -> bool:
        """Whether a full backlog, a do-not-call list, or a finished or declared campaign may have prevented this call.

        The log records no such refusal (ADR 33).
        """
        if not isinstance(now, CallCreated):
            return False
        campaign_events = self.campaign_events.get(now.call.campaign_id, [])
        if self.may_lack_campaigns or any(_may_refuse(event.campaign) for event in campaign_events):
            return True
        if not self.listed_numbers.isdisjoint({now.call.phone_number, HIDDEN}):
            return True
        is_due = now.call.due_at is None or now.call.due_at <= now.occurred_at + DUE_SOON
        return is_due and (self.waiting is None or self.waiting.may_be_full_after(requested_at))


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
    rules, total = _read_rules(record, dial_within, calling_policy or read_calling_policy())
    calls, decisions, ignored = 0, _Count(), _Count()
    for messages in record.parts():
        for history in call_histories(messages):
            calls += 1
            for index in range(len(history.decisions)):
                drift, is_judged = await _judge_decision(history, index, record, rules)
                decisions.add(drift, is_judged=is_judged)
            for ignored_input in history.ignored_inputs:
                doubt, is_judged = await _judge_ignored(history, ignored_input, record, rules)
                ignored.add(doubt, is_judged=is_judged)
            if progress:
                progress(decisions.judged + decisions.unjudged, total)
    unjudged = decisions.unjudged + ignored.unjudged
    return Verification(calls, decisions.judged, ignored.judged, unjudged, decisions.in_order(), ignored.in_order())


def _read_rules(record: Recorded, dial_within: timedelta, calling_policy: CallingPolicy) -> tuple[_Rules, int]:
    """Returns what decisions depend on beside their call, and the number of decisions on calls."""
    countries: set[str] = set()
    campaign_events: dict[str, list[CampaignDecision]] = {}
    waiting, total, listed_numbers = WaitingCalls(), 0, set[str]()
    for messages in record.parts():
        for message in messages:
            event = message.event() if _is_read(message) else None
            if isinstance(event, CallDecision):
                total += 1
                if event.call.disposition is Disposition.OPT_OUT:
                    listed_numbers.add(event.call.phone_number)
                countries.add(country_called(event.call) or "")
                waiting.add(event.call_id, message.time, is_waiting=event.call.is_queued)
            elif isinstance(event, NumberBlockRequested):
                listed_numbers.add(event.phone_number)
            elif isinstance(event, CampaignDecision):
                campaign_events.setdefault(event.campaign_id, []).append(event)
    has_all_calls = record.scope.call_id is None and record.scope.campaign_id is None
    rules = _Rules(
        dial_within,
        frozenset(countries),
        calling_policy,
        campaign_events,
        may_lack_campaigns=record.scope.is_time_range or record.scope.call_id is not None,
        waiting=waiting if has_all_calls else None,
        listed_numbers=frozenset(listed_numbers),
    )
    return rules, total


def _is_read(message: Message) -> bool:
    if message.stream == REQUESTS.name:
        return message.subject.startswith(f"{NumberBlockRequested.event_name}.")
    return message.stream == CALLS.name and message.subject.startswith(("call.", "campaign."))


async def _judge_decision(
    history: CallHistory, index: int, record: Recorded, rules: _Rules
) -> tuple[Drift | None, bool]:
    """Returns the drift of a decision, if any, and whether the decision could be judged."""
    recorded = history.decisions[index]
    before = history.decisions[index - 1].event.call if index else None
    cause = recorded.cause.stored if recorded.cause else request_of_contact(recorded.event, recorded.cause_id)
    if cause is None or (before is None and not isinstance(recorded.event, CallCreated)):
        missing = f"the message {recorded.cause_id} that caused it" if cause is None else "the event before it"
        if record.scope.is_time_range:
            return None, False
        return _drift(recorded, f"{missing} is not in the record"), True
    call = recorded.event.call
    if call.permission and call.permission.policy_version != rules.calling_policy.version:
        return None, False
    now = rules.decide(
        before,
        cause,
        call,
        recorded.event.occurred_at,
        permission=call.permission,
        asks_policy=call.permission is not None,  # if it did not ask, as in older builds, the dial was not delayed
    )
    caused_by, name = cause.event.event_name, recorded.event.event_name
    if now is None:
        return _drift(recorded, f"{caused_by} led to {name}; now it leads to no decision"), True
    if differences := differences_of(recorded, by_former_rules(recorded.event, now)):
        if rules.is_uncertain(now) or is_refused_by_sealed_text(recorded.event, now):
            return None, False
        return _drift(recorded, f"{caused_by} led to {name}; now the decision is different", differences), True
    return None, True


async def _judge_ignored(
    history: CallHistory, ignored: Input, record: Recorded, rules: _Rules
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
        if rules.is_uncertain(now) or rules.may_be_refused(now, message.time):
            return None, False
    assert now is not None  # noqa: S101  there is at least one state
    name = ignored.stored.event.event_name
    reason = f"{name} led to no decision; now it leads to {now.event_name} ({now.call.status})"
    return Drift(history.call_id, message.stream, message.sequence, reason), True


def _may_refuse(campaign: Campaign) -> bool:
    return bool(campaign.finished_at) or campaign.terms not in (None, CampaignTerms())


def _drift(recorded: Decision, reason: str, differences: Differences = ()) -> Drift:
    return Drift(str(recorded.event.call_id), CALLS.name, recorded.sequence, reason, differences)
