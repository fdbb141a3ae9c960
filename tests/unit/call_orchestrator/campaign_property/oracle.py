"""Checks a log: each dial was permitted, and nothing that was permitted waited. The oracle of the property test.

It reads the events in their order and computes everything from them anew. It knows the calling rules only through
`MinuteScan`. It imports no code of the service.

A replica reads a campaign before it appends a grant. So a grant may be based on any state that the campaign had within
`CROSSING` before it. A dial is based on a state between its grant and itself, and on a recent one.
"""

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Any
from uuid import UUID

from tests.unit.call_orchestrator.calling_policy.minute_scan import MinuteScan
from tests.unit.call_orchestrator.campaign_property.scenario import Person, Scenario

from chassis.event_log import StoredEvent
from contracts import (
    AdmissionGranted,
    AdmissionReleased,
    Call,
    CallCreated,
    CallDecision,
    CallDue,
    CallPutOff,
    CallStatus,
    Campaign,
    CampaignDecision,
    ConversationEnded,
    DialClaimed,
    Disposition,
)


@dataclass(frozen=True)
class ListChange:
    """Since `at`, no call of the campaign (None: of any) to the number may begin, or it may again."""

    at: datetime
    number: str
    campaign_id: str | None
    is_listed: bool


SCAN = MinuteScan()
CROSSING = timedelta(seconds=0.2)
"""As long as two requests and their answers take at most."""
KNOWN_LATE = timedelta(seconds=1)
"""How late a replica may know the terms of a campaign, when it decides anything but a grant."""
LATE_GRANT = timedelta(seconds=3)
"""How long after a grant the dial may be based on the campaign as it was at the grant."""
END = timedelta(seconds=2)
"""How long after the finish of a campaign its waiting calls end: replicas must know it first."""
MINUTE = timedelta(minutes=1)
DAY = timedelta(hours=24)
STEP = timedelta(minutes=10)
Weekly = list[tuple[str, str, str]] | None


class Violation(AssertionError):
    """The log breaks a rule."""


@dataclass
class Slot:
    """An occupied slot."""

    campaign_id: str
    grant: StoredEvent[AdmissionGranted]
    is_claimed: bool = False


@dataclass
class Dial:
    """An attempt, from the decision to dial on."""

    call_id: UUID
    dialed_at: datetime
    undialled_before: int


@dataclass
class Wake:
    """Calls of one campaign that waited when their number was released. One of them is woken until `latest_at`."""

    latest_at: datetime
    waiting: list[Call]


@dataclass
class Oracle:
    """The fold of a log. `settle`: how long work may take that needs nothing else.

    `contact_settle`: how long the call of a contact may be in no queue and have no timer. If the replica that created
    it has died, the contact is delivered again later than other messages.
    """

    scenario: Scenario
    settle: timedelta
    contact_settle: timedelta
    calls: dict[UUID, Call] = field(default_factory=dict)
    slots: dict[UUID, Slot] = field(default_factory=dict)
    grants: dict[UUID, StoredEvent[AdmissionGranted]] = field(default_factory=dict)
    campaigns: dict[str, list[tuple[datetime, Campaign]]] = field(default_factory=lambda: defaultdict(list))
    live: dict[str, Dial] = field(default_factory=dict)
    dials: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    """When each number was dialled, without undialled attempts and without the attempt in progress."""
    own_dials: dict[UUID, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    """The same of each call."""
    paced: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    """When the grants of each campaign were stored that led to a claimed attempt."""
    last_grant_at: dict[str, datetime] = field(default_factory=dict)
    grantable_since: dict[str, datetime] = field(default_factory=dict)
    used: dict[str, datetime] = field(default_factory=dict)
    """When each number was last used or about to be used."""
    list_changes: list[ListChange] = field(default_factory=list)
    """The commands about do-not-call lists; opt-outs are added."""
    changed_at: dict[UUID, datetime] = field(default_factory=dict)
    """When each call had its last event."""
    put_off_at: dict[UUID, datetime] = field(default_factory=dict)
    """When each call was put off the last time."""
    scheduled: dict[str, datetime | None] = field(default_factory=dict)
    """The scheduled time of each request."""
    wakes: list[Wake] = field(default_factory=list)
    dialed: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    """How often each rule decided a dial or a delay."""

    def check(self, stored: list[StoredEvent], ends_at: datetime) -> None:
        """Raises Violation."""
        for one in stored:
            at = one.stored_at or one.envelope.time
            self._check_waiting(at)
            self._fold(one, at)
            self._note_grantable(at)
        self._check_waiting(ends_at)

    def _fold(self, one: StoredEvent[Any], at: datetime) -> None:
        match one.event:
            case CampaignDecision() as event:
                self.campaigns[event.campaign_id].append((at, event.campaign))
            case AdmissionGranted() as event:
                self._check_grant(event, at)
                self.slots[event.call_id] = Slot(event.campaign_id, one)
                self.grants[event.call_id] = one
                self.last_grant_at[event.campaign_id] = at
            case AdmissionReleased() as event:
                slot = self.slots.get(event.call_id)
                if slot and slot.grant.sequence == event.grant_sequence:
                    del self.slots[event.call_id]
            case DialClaimed() as event:
                self._claim(event)
            case ConversationEnded() as event if event.disposition is Disposition.OPT_OUT:
                number = self.calls[event.call_id].phone_number
                self.list_changes.append(ListChange(at, number, None, is_listed=True))
            case CallDecision() as event:
                self._decide(event, one.sequence, at)
            case _:
                pass

    # Grants: campaigns are open, and limits are kept.

    def _check_grant(self, grant: AdmissionGranted, at: datetime) -> None:
        limits, slots = self.scenario.limits, self.slots.values()
        same = [slot for slot in slots if slot.campaign_id == grant.campaign_id]
        require(len(self.slots) < (limits.max_live or 0), f"{at} {grant.call_id}: all slots are occupied")
        require(
            sum(not slot.is_claimed for slot in slots) < limits.max_unclaimed,
            f"{at} {grant.call_id}: too many attempts are unclaimed",
        )
        require(
            limits.max_live_per_campaign is None or len(same) < limits.max_live_per_campaign,
            f"{at} {grant.call_id}: the campaign occupies as many slots as permitted",
        )
        require(
            any(self._may_grant(campaign, at, len(same)) for campaign in self.states(grant.campaign_id, at, CROSSING)),
            f"{at} {grant.call_id}: the campaign is closed, or has as many live calls as its terms permit",
        )

    def _may_grant(self, campaign: Campaign | None, at: datetime, live: int) -> bool:
        if campaign is None:
            return True
        if not is_open(campaign, at) and not is_open(campaign, at - CROSSING):
            return False
        most = campaign.terms.max_concurrent_calls if campaign.terms else None
        return most is None or live < most

    def states(self, campaign_id: str, at: datetime, since: timedelta) -> list[Campaign | None]:
        """Returns the states that the campaign had in this time before an instant; None: it had no event."""
        history = self.campaigns[campaign_id]
        before = [campaign for changed_at, campaign in history if changed_at <= at - since]
        recent = [campaign for changed_at, campaign in history if at - since < changed_at <= at]
        return [before[-1] if before else None, *recent]

    # The pace.

    def _claim(self, claim: DialClaimed) -> None:
        slot = self.slots.get(claim.call_id)
        if slot is None or slot.is_claimed:
            return
        slot.is_claimed = True
        granted_at = slot.grant.stored_at
        assert granted_at
        insort(self.paced[slot.campaign_id], granted_at)
        self._check_pace(slot.campaign_id, granted_at)

    def _check_pace(self, campaign_id: str, granted_at: datetime) -> None:
        """In no minute more grants lead to a dial than the fastest pace of that time permits, and none comes early."""
        near = [at for at in self.paced[campaign_id] if abs(at - granted_at) < MINUTE]
        for number, begin in enumerate(near):
            recent = [at for at in near[number:] if at < begin + MINUTE]
            pace = self._fastest_pace(campaign_id, begin, recent[-1])
            most = len(recent) if pace is None else ceil(pace)
            require(len(recent) <= most, f"{begin} {campaign_id}: {len(recent)} dials in a minute, not {most}")
        earlier = self.paced[campaign_id][: bisect_left(self.paced[campaign_id], granted_at)][-1:]
        if earlier and (pace := self._fastest_pace(campaign_id, earlier[0], granted_at)):
            apart = granted_at - earlier[0]
            is_far = apart > MINUTE / pace - timedelta(seconds=1)
            require(is_far, f"{granted_at} {campaign_id}: {apart} after the grant before, of {pace} a minute")

    def _fastest_pace(self, campaign_id: str, begin: datetime, end: datetime) -> float | None:
        """Returns the fastest pace between two instants; None: at one time there was no limit."""
        states = self.states(campaign_id, end, end - begin + CROSSING)
        paces = [state.terms.calls_per_minute if state and state.terms else None for state in states]
        return None if None in paces else max(pace for pace in paces if pace)

    # Decisions on calls.

    def _decide(self, event: CallDecision, sequence: int, at: datetime) -> None:
        call, before = event.call, self.calls.get(event.call_id)
        self.rules[call.permission.rule if call.permission else ""] += 1
        was_live = before is not None and before.status.is_live
        person = self.scenario_person(call)
        if call.status.is_live and not was_live:
            self._check_dial(event, call, person)
            self.live[call.phone_number] = Dial(call.call_id, event.occurred_at, call.undialled_attempts)
            self.dialed += 1
        elif was_live and not call.status.is_live:
            dial = self.live.pop(call.phone_number)
            if call.undialled_attempts == dial.undialled_before:
                self.dials[call.phone_number].append(dial.dialed_at)
                self.own_dials[call.call_id].append(dial.dialed_at)
            self._note_release(call.phone_number, at)
        if not call.status.is_live:
            slot = self.slots.get(call.call_id)
            if slot and slot.grant.sequence < sequence:
                del self.slots[call.call_id]
        if not call.status.is_live and not call.status.is_final:
            self._check_due(event, before, person)
        is_to_dial = isinstance(event, CallDue) or (was_live and call.status is CallStatus.PENDING)
        if is_to_dial and all(one and one.finished_at for one in self.states(call.campaign_id, at, KNOWN_LATE)):
            raise Violation(f"{at} call {call.request_id}: it waits for a dial although its campaign is finished")
        self.calls[call.call_id] = call
        self.changed_at[call.call_id] = at
        if was_live or call.status.is_live or call.call_id in self.slots:
            self.used[call.phone_number] = at

    def scenario_person(self, call: Call) -> Person:
        """Returns the person who is called."""
        return next(one for one in self.scenario.people if one.number == call.phone_number)

    def _check_dial(self, event: CallDecision, call: Call, person: Person) -> None:
        at, where = event.occurred_at, f"{event.occurred_at} call {call.request_id} to {call.phone_number}"
        require(call.phone_number not in self.live, f"{where}: another call to the number is live")
        grant = self.grants.get(call.call_id)
        require(grant is not None and call.call_id in self.slots, f"{where}: it has no slot")
        assert grant
        assert grant.stored_at
        # A grant that is carried out late is decided on the campaign as it is then.
        since = min(at - grant.stored_at, LATE_GRANT)
        states = self.states(call.campaign_id, at, since + CROSSING)
        require(
            any(state is None or is_open(state, at) or is_open(state, at - since - CROSSING) for state in states),
            f"{where}: its campaign is closed since {since}, and its slot was granted at {grant.stored_at}",
        )
        require(
            any(is_permitted(person, *terms_of(state, call), at, self.dials[call.phone_number]) for state in states),
            f"{where}: outside its hours, or above a cap: {self.dials[call.phone_number]}",
        )
        is_listed = self._is_listed(call.phone_number, None, at) or self._is_listed(
            call.phone_number, call.campaign_id, at
        )
        require(not is_listed, f"{where}: the number is on a do-not-call list")
        dials = call.attempt - call.undialled_attempts
        require(dials <= call.max_retries + 1, f"{where}: dialled {dials} times, of {call.max_retries + 1}")
        created = self.states(call.campaign_id, call.created_at, KNOWN_LATE)
        limits = [state.terms.max_attempts if state and state.terms else None for state in created]
        if None not in limits:
            require(dials <= max(one for one in limits if one), f"{where}: dialled {dials} times, of {limits}")
        is_free = any(_is_below(most, self.own_dials[call.call_id], at) for most in self._daily_limits(call))
        require(is_free, f"{where}: above its daily limit: {self.own_dials[call.call_id]}")

    def _daily_limits(self, call: Call) -> list[int | None]:
        """Returns how many dials in 24 hours the campaign may have permitted when the call was created."""
        created = self.states(call.campaign_id, call.created_at, KNOWN_LATE)
        return [state.terms.max_attempts_per_day if state and state.terms else None for state in created]

    def _is_listed(self, number: str, campaign_id: str | None, at: datetime) -> bool:
        """Whether the number was on the list of a scope all the time of `settle` before an instant."""
        changes = sorted(
            (
                one
                for one in self.list_changes
                if (one.number, one.campaign_id) == (number, campaign_id) and one.at <= at
            ),
            key=lambda one: one.at,
        )
        before = [one for one in changes if one.at <= at - self.settle]
        recent = [one for one in changes if one.at > at - self.settle]
        return bool(before) and before[-1].is_listed and all(one.is_listed for one in recent)

    def _check_due(self, event: CallDecision, before: Call | None, person: Person) -> None:
        """A call that waits for a time waits for the first permitted one."""
        call = event.call
        due_at, changed = call.due_at, before is None or before.due_at != call.due_at
        assert due_at
        if due_at <= event.occurred_at or not changed or event.event_name == "call.changed":
            return
        where = f"{event.occurred_at} call {call.request_id} to {call.phone_number}"
        is_put_off = isinstance(event, CallPutOff)
        if is_put_off and _waits_for_number(call):
            self.put_off_at[call.call_id] = event.occurred_at
            used_at = self.used.get(call.phone_number)
            others = [slot for slot in self.slots if self.calls[slot].phone_number == call.phone_number]
            is_used = call.phone_number in self.live or len(others) > (call.call_id in others)
            is_used = is_used or (used_at is not None and used_at > event.occurred_at - self.settle)
            require(is_used, f"{where}: no other call uses the number")
            return
        wanted_at = event.occurred_at
        dialed: list[datetime] = self.dials[call.phone_number] if is_put_off else []
        if isinstance(event, CallCreated):
            wanted_at = max(wanted_at, self.scheduled.get(call.request_id) or wanted_at)
        elif not is_put_off:
            wanted_at += _longest_delay(call, self.scenario.retry_delay)
        since = CROSSING + self.settle if is_put_off else KNOWN_LATE
        states = self.states(call.campaign_id, event.occurred_at, since)
        own = self.own_dials[call.call_id]
        firsts = [
            not any(
                is_permitted(person, *terms_of(state, call), instant, dialed)
                for instant in instants(wanted_at, due_at)
                if _is_below(most, own, instant)
            )
            for state in states
            for most in self._daily_limits(call)
        ]
        require(any(firsts), f"{where}: waits until {due_at}, although an earlier time is permitted")

    # What waits.

    def _note_release(self, number: str, at: datetime) -> None:
        """Notes calls that wait for the number. In a campaign that has a queued call to it, none needs to be woken."""
        waiting: dict[str, list[Call]] = defaultdict(list)
        same = [call for call in self.calls.values() if call.phone_number == number]
        queued = {call.campaign_id for call in same if call.is_queued}
        for call in same:
            if _waits_for_number(call) and call.campaign_id not in queued:
                waiting[call.campaign_id].append(call)
        for calls in waiting.values():
            if any(self.put_off_at[call.call_id] < at - self.settle for call in calls):
                self.wakes.append(Wake(at + self.settle, calls))

    def _note_grantable(self, at: datetime) -> None:
        """Notes since when a call of each campaign may be granted a slot, but for its period and its pace."""
        limits, slots = self.scenario.limits, list(self.slots.values())
        has_room = len(slots) < (limits.max_live or 0)
        has_room = has_room and sum(not slot.is_claimed for slot in slots) < limits.max_unclaimed
        waiting: dict[str, datetime] = {}
        for call in self.calls.values():
            if call.is_queued and call.call_id not in self.slots:
                since = max(at, self._settled_at(call))
                waiting[call.campaign_id] = min(since, waiting.get(call.campaign_id, since))
        for campaign_id in self.last_grant_at.keys() | waiting.keys() | self.grantable_since.keys():
            live = sum(slot.campaign_id == campaign_id for slot in slots)
            campaign = self.states(campaign_id, at, timedelta())[-1]
            own = campaign.terms.max_concurrent_calls if campaign and campaign.terms else None
            is_open = campaign is None or (not _is_held(campaign))
            most = [one for one in (own, limits.max_live_per_campaign) if one is not None]
            if campaign_id in waiting and has_room and is_open and all(live < one for one in most):
                since = waiting[campaign_id]
                self.grantable_since[campaign_id] = min(since, self.grantable_since.get(campaign_id, since))
            else:
                self.grantable_since.pop(campaign_id, None)

    def _settled_at(self, call: Call) -> datetime:
        """Returns when the queue and the timers know a call that waits since it was created."""
        is_of_contact = call.request_id == f"{call.campaign_id}:{call.contact_id}"
        is_new = self.changed_at[call.call_id] - call.created_at < CROSSING
        return call.created_at + (self.contact_settle if is_of_contact and is_new else timedelta())

    def _check_waiting(self, at: datetime) -> None:
        """Nothing has waited longer than `settle` until `at` for something that it had."""
        for campaign_id, since in self.grantable_since.items():
            history = self.campaigns[campaign_id]
            changed_at, campaign = history[-1] if history else (since, None)
            terms = campaign.terms if campaign else None
            begin, end = max(since, changed_at), at  # what was before a change is checked with the terms of that time
            if terms and terms.starts_at:
                begin = max(begin, terms.starts_at)
            if terms and terms.ends_at:
                end = min(end, terms.ends_at)
            if terms and terms.calls_per_minute and campaign_id in self.last_grant_at:
                interval = timedelta(seconds=60.5) / terms.calls_per_minute
                begin = max(begin, self.last_grant_at[campaign_id] + interval)
            require(
                end - begin <= self.settle, f"{begin}: a call of {campaign_id} waits beside a free slot until {end}"
            )
        self._check_finished(at)
        while self.wakes and self.wakes[0].latest_at < at:
            wake = self.wakes.pop(0)
            is_woken = any(self.calls[call.call_id] is not call for call in wake.waiting)
            require(is_woken, f"{wake.latest_at}: none of the calls to {wake.waiting[0].phone_number} is woken")
        for call in self.calls.values():
            if call.status.is_final or call.is_queued or call.deadline_at is None:
                continue
            late = at - max(call.deadline_at, self._settled_at(call))
            require(late <= self.settle, f"{at}: call {call.request_id} ({call.status}) was due at {call.deadline_at}")

    def _check_finished(self, at: datetime) -> None:
        """No call waits longer than `END` after the finish of its campaign, unless it has changed since."""
        for call in self.calls.values():
            state = self.states(call.campaign_id, at, timedelta())[-1]
            if call.status is CallStatus.PENDING and state and state.finished_at:
                is_late = at - state.finished_at > END + self.settle
                is_missed = is_late and self.changed_at[call.call_id] < state.finished_at + END
                require(not is_missed, f"{at}: call {call.request_id} waits although its campaign is finished")


def require(is_true: bool, message: str) -> None:
    """Raises Violation if something is not true."""
    if not is_true:
        raise Violation(message)


def _waits_for_number(call: Call) -> bool:
    is_waiting = call.status is CallStatus.PENDING and not call.is_queued
    return is_waiting and call.permission is not None and call.permission.rule == "number_in_use"


def _is_held(campaign: Campaign) -> bool:
    is_started = campaign.terms is None or campaign.started_at is not None
    return campaign.is_paused or campaign.finished_at is not None or not is_started


def is_open(campaign: Campaign, at: datetime) -> bool:
    """Whether a campaign runs at an instant."""
    starts_at = campaign.terms.starts_at if campaign.terms else None
    ends_at = campaign.terms.ends_at if campaign.terms else None
    return not _is_held(campaign) and (starts_at is None or starts_at <= at) and (ends_at is None or at < ends_at)


def terms_of(campaign: Campaign | None, call: Call | None) -> tuple[str | None, Weekly]:
    """Returns the purpose and the weekly hours of a call in a campaign."""
    terms = campaign.terms if campaign else None
    purpose = terms.purpose if terms and terms.purpose else call.purpose if call else None
    hours = terms.weekly_hours if terms else ()
    return purpose and str(purpose), [(" ".join(one.days), one.opens_at, one.closes_at) for one in hours] or None


def is_permitted(person: Person, purpose: str | None, weekly: Weekly, at: datetime, dialed: list[datetime]) -> bool:
    """Whether a person may be called at an instant."""
    return SCAN.is_permitted(person.place, purpose, at, weekly, dialed)


def _is_below(most: int | None, dialed: list[datetime], at: datetime) -> bool:
    """Whether fewer dials than a daily limit were in the 24 hours before an instant."""
    return most is None or sum(one > at - DAY for one in dialed) < most


def instants(begin: datetime, end: datetime) -> Iterator[datetime]:
    """Yields every tenth minute of a time, and its last minute and second."""
    at = begin
    while at < end:
        yield at
        at += STEP
    yield from (one for one in (end - MINUTE, end - timedelta(seconds=1)) if one >= begin)


def _longest_delay(call: Call, retry_delay: timedelta) -> timedelta:
    """Returns the longest time after which a retry is due: that of an outcome, or the pause after an undialled try."""
    rules = call.retry_policy.model_dump() if call.retry_policy else {}
    delays = [one["delay_seconds"] * one.get("backoff", 1) ** one["max_retries"] for one in rules.values() if one]
    return max(retry_delay, timedelta(minutes=5), timedelta(seconds=max(delays, default=0)))
