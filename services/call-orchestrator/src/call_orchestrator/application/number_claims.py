"""Claims the number of a call before its attempt begins, so that no two calls dial one number at a time.

A grant is decided on the state of the number: it may be listed, another call may be dialling it, or a frequency cap may
be reached. If the call may be dialled, its attempt claims the number, and then the decision on the call is appended.
The claim is guarded by the state that was decided on. So of several grants for one number, exactly one is carried out.

**A claim never outlives its attempt.** It is in force while its attempt is live, or while its call waits to begin it.
Who finds the claim of another call reads that call. If neither is so, the attempt has ended, or a replica died before
it, and the claim is taken over. Then the dial counts for the caps, unless the attempt was undialled. So the end of an
attempt stores nothing, except if other calls wait for the number, or if its data is kept for a limited time.

A grant that is delivered again finds its own claim. A grant that leads to no attempt releases the claim that it made. A
second grant for the same attempt may have followed a change of the call, so claims carry the sequence of their grant:
an older grant neither replaces nor releases the claim of a newer one.

A state that this replica remembers is good enough to dial, because the claim is guarded. Any other result is decided
again on the state at the leader. The request of a call is checked against the list and an erasure only, and on any
node: the grant checks both again.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from call_orchestrator.application.call_inputs import CallInput
from call_orchestrator.application.call_outcomes import MAX_CONFLICTS, too_many_conflicts
from call_orchestrator.application.late_calls import LateCalls
from call_orchestrator.application.number_waits import NumberWaits, is_in_force
from call_orchestrator.application.numbers import Numbers, StoredNumber
from call_orchestrator.application.retention_periods import RetentionPeriods
from call_orchestrator.application.stored import load_call
from call_orchestrator.domain.calling_policy import CallingPolicy
from call_orchestrator.domain.decisions import Ignored, Refused
from call_orchestrator.domain.machine import ANSWER_MARGIN
from call_orchestrator.domain.number_use import Listing, NumberUse, described_erasure
from call_orchestrator.ports import Log, Timers
from chassis.event_log import Conflict
from chassis.time_mapping import REAL_TIME, TimeMapping
from contracts import Call, CallDecision, CallStatus, Envelope, NumberState
from contracts.callees import callee_of
from contracts.number_state import DoNotCallEntry, LiveAttempt
from contracts.personal import PLACEHOLDERS
from contracts.vocabulary import RefusalCode

RECHECK = timedelta(seconds=30)
"""When a number is checked again whose other call has not begun its attempt yet."""
MIN_WAIT = timedelta(seconds=5)
"""The shortest wait for another call, whose deadline may have passed."""

Decision = CallDecision | Ignored | Refused
Decide = Callable[[NumberUse], Awaitable[Decision]]


class NumberClaims:
    """Decides grants on the state of the number, and claims and releases it."""

    def __init__(
        self,
        numbers: Numbers,
        log: Log,
        timers: Timers,
        policy: CallingPolicy | None,
        mapping: TimeMapping = REAL_TIME,
        retention: RetentionPeriods | None = None,
        late_calls: LateCalls | None = None,
    ) -> None:
        """`mapping`: from the time of the server, in which requests are stored, to that of calls.

        `retention`: until when personal data is kept; None: as its calls say, and else for ever.
        """
        self._retention = retention or RetentionPeriods(numbers, log)
        self._late_calls = late_calls
        self._numbers = numbers
        self._log = log
        self._policy = policy
        self._mapping = mapping
        self._waits = NumberWaits(numbers, log, timers)

    async def wait(self, call: Call, cause: Envelope) -> None:
        """Lets a call that was put off, because its number is in use, be woken when the number is free."""
        await self._waits.note(call, cause)

    async def refusal(
        self, phone_number: str, campaign_id: str, requested_at: datetime, list_names: Sequence[str] = ()
    ) -> Refused | None:
        """Returns why a new call, contact or number of a call is refused: it is listed, or its person was erased.

        `requested_at`: when its request was sent, and at the latest when it was stored. One that was sent after the
        erasure began brings the person back.
        `list_names`: the named do-not-call lists of the campaign.
        """
        stored = await self._numbers.load_of_any_node(phone_number)
        erased_at = stored.number.erased_at
        if erased_at and self._mapping.simulated(requested_at) <= erased_at:
            return Refused(f"phone_number: {described_erasure(erased_at)}; send the request again if it is intended")
        entry = stored.number.listing(campaign_id, list_names)
        if entry is None:
            return None
        return Refused(f"phone_number: {_listing(entry).described}", RefusalCode.DO_NOT_CALL)

    async def decide(self, call: Call, grant: CallInput, decide: Decide, now: datetime) -> Decision:
        """Returns the decision on a grant. If it begins the attempt, the number is claimed for it.

        Raises Conflict if the call was changed after the grant.
        """
        stored = await self._numbers.recent(self._numbers.digest_of_call(call))
        for _ in range(MAX_CONFLICTS):
            use, number = await self._use(call, grant, stored.number, now)
            decision = await decide(use)
            claim = _claim(call, decision, grant)
            if claim and _is_outdated(claim, stored.number.live):
                raise Conflict(stored.number.number_digest)
            try:
                if claim:
                    await self._numbers.append(stored, number.claimed(claim), grant.cause)
                elif stored.is_fresh:
                    is_released = await self._release_grant(stored, grant)
                    if number.waiting and use.in_use_until is None and not is_released:  # the next one may dial it
                        await self._release(stored, number.without_waiting([call.call_id]), grant.cause)
                if claim or stored.is_fresh:
                    return decision
            except Conflict:
                pass
            stored = await self._numbers.load_digest(self._numbers.digest_of_call(call))
        raise too_many_conflicts(call.call_id)

    async def release_grant(self, call: Call, grant: CallInput) -> None:
        """Releases the claim of a grant that leads to no attempt, if one of its deliveries has made it."""
        load = self._numbers.load_digest if grant.is_redelivered else self._numbers.recent
        stored = await load(self._numbers.digest_of_call(call))
        try:
            await self._release_grant(stored, grant)
        except Conflict:
            await self._release_grant(await self._numbers.load_digest(self._numbers.digest_of_call(call)), grant)

    async def release(self, call: Call, cause: Envelope, *, changed_at: datetime | None = None) -> None:
        """Wakes the calls that wait for the number of a call that does not dial it now. Raises Conflict.

        The attempt of the call or the call has ended, or it was changed to another number at `changed_at`; then `call`
        is its state before that.

        The number is released for them. If the call does not need it any more, the number notes for how long its
        personal data is kept, and is released, too. Otherwise the claim stays, and is no longer in force. A repetition
        changes nothing.
        """
        is_over = call.status.is_final or changed_at is not None
        for _ in range(MAX_CONFLICTS):
            stored = await self._numbers.load_digest(self._numbers.digest_of_call(call))
            if is_over and self._late_calls:
                await self._late_calls.note_end(stored.number, call, cause)
            is_own = _has_claimed(call, stored.number.live)
            number = _released(stored.number, call) if is_own else stored.number
            after = self._retention.kept(number, call, changed_at=changed_at)
            try:
                if is_own and after.kept_until is None and not after.waiting:
                    return
                if after.live is None:
                    await self._release(stored, after.without_waiting([call.call_id] if is_over else []), cause)
                elif after != stored.number:
                    await self._numbers.append(stored, after, cause)
            except Conflict:
                continue
            return
        raise too_many_conflicts(call.call_id)

    async def _use(
        self, call: Call, grant: CallInput, number: NumberState, now: datetime
    ) -> tuple[NumberUse, NumberState]:
        """Returns how the number is used, and the number without a claim that is not in force."""
        live, in_use_until = number.live, None
        if live and not _is_next_attempt(live, call):
            holder = call if live.call_id == call.call_id else await self._call(live)
            is_other = holder is not None and self._is_other_number(holder, call)
            in_use_until = None if holder is call or is_other else _in_use_until(live, holder, now)
            if in_use_until is None:
                number = _released(number, holder)
            else:
                in_use_until += number.place_of(call.call_id) * _longest_attempt(call)
        entry = number.listing(call.campaign_id, grant.dial_terms.do_not_call_lists if grant.dial_terms else ())
        use = NumberUse(
            dialed_at=self._counted(call, grant, number, now),
            in_use_until=in_use_until,
            listing=_listing(entry) if entry else None,
            erased_at=_erased_at(number, call, now),
        )
        return use, number

    def _is_other_number(self, holder: Call, call: Call) -> bool:
        """Whether the holder was changed to another number. It never dials the former one."""
        return self._numbers.digest_of_call(holder) != self._numbers.digest_of_call(call)

    async def _call(self, live: LiveAttempt) -> Call | None:
        stored = await load_call(self._log, live.call_id)
        return stored.call if stored else None

    def _counted(self, call: Call, grant: CallInput, number: NumberState, now: datetime) -> tuple[datetime, ...]:
        if self._policy is None or not number.dialed_at:
            return ()
        callee = call.callee or callee_of(call.phone_number, call.time_zone)
        purpose = (grant.dial_terms.purpose if grant.dial_terms else None) or call.purpose
        return self._policy.counted(callee, purpose=purpose, dialed_at=number.dialed_at, at=now)

    async def _release_grant(self, stored: StoredNumber, grant: CallInput) -> bool:
        """Releases the claim of the grant, if the number has it. Returns whether it had. Raises Conflict."""
        live = stored.number.live
        is_own = live is not None and live.call_id == grant.call_id and live.grant_sequence == grant.grant_sequence
        if is_own:
            await self._release(stored, stored.number.released(is_dialled=False), grant.cause)
        return is_own

    async def _release(self, stored: StoredNumber, number: NumberState, cause: Envelope) -> None:
        """Wakes calls that wait for the number, and appends it without them if it has changed. Raises Conflict."""
        after = await self._waits.wake(number, cause)
        if after != stored.number:
            await self._numbers.append(stored, after, cause)


def _claim(call: Call, decision: Decision, grant: CallInput) -> LiveAttempt | None:
    """Returns the claim of the attempt that the decision begins; None if it begins none."""
    if not isinstance(decision, CallDecision) or not decision.call.status.is_live:
        return None
    assert decision.call.dialed_at and grant.grant_sequence  # noqa: S101, PT018  it begins by a grant
    return LiveAttempt(
        call_id=call.call_id,
        attempt=decision.call.attempt,
        grant_sequence=grant.grant_sequence,
        dialed_at=decision.call.dialed_at,
        undialled_attempts=call.undialled_attempts,
    )


def _is_outdated(claim: LiveAttempt, live: LiveAttempt | None) -> bool:
    """Whether a newer grant of the call has claimed the number: the call has changed since the older grant."""
    return live is not None and live.call_id == claim.call_id and live.grant_sequence > claim.grant_sequence


def _has_claimed(call: Call, live: LiveAttempt | None) -> bool:
    """Whether the claim is that of the last attempt of the call, or of an earlier one."""
    return live is not None and live.call_id == call.call_id and live.attempt <= call.attempt


def _is_next_attempt(live: LiveAttempt, call: Call) -> bool:
    return live.call_id == call.call_id and live.attempt == call.attempt + 1


def _erased_at(number: NumberState, call: Call, now: datetime) -> datetime | None:
    """Returns since when the person is erased, if the call got its number before. It can then not be read."""
    if call.phone_number in PLACEHOLDERS:
        return number.erased_at or now
    return number.erased_at if number.erased_at and call.number_given_at <= number.erased_at else None


def _in_use_until(live: LiveAttempt, holder: Call | None, now: datetime) -> datetime | None:
    """Returns until when the attempt of another call may use the number; None: its claim is not in force."""
    if holder is None or not is_in_force(live, holder):
        return None
    if not holder.status.is_live:
        return now + RECHECK
    is_answered = holder.status is CallStatus.IN_PROGRESS
    ends_at = holder.deadline_at if is_answered else live.dialed_at + _longest_attempt(holder)
    return max(ends_at or now, now + MIN_WAIT)


def _longest_attempt(call: Call) -> timedelta:
    return timedelta(seconds=call.call_timeout_seconds + call.max_call_seconds) + ANSWER_MARGIN


def _released(number: NumberState, holder: Call | None) -> NumberState:
    """Returns the number after its live attempt. `holder`: the call of that attempt; None: it was archived."""
    return number.released(is_dialled=number.live is not None and _is_dialled(number.live, holder))


def _is_dialled(live: LiveAttempt, holder: Call | None) -> bool:
    """Whether the attempt, which has ended, may have reached the network."""
    if holder is None:
        return True
    if holder.attempt < live.attempt:
        return False
    return holder.attempt > live.attempt or holder.undialled_attempts == live.undialled_attempts


def _listing(entry: DoNotCallEntry) -> Listing:
    return Listing(
        listed_at=entry.changed_at, source=entry.source, campaign_id=entry.campaign_id, list_name=entry.list_name
    )
