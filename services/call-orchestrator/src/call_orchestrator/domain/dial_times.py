"""When a call may be dialled: the calling policy as it applies to one call."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from call_orchestrator.domain.calling_policy import (
    CallingPolicy,
    Forbidden,
    Permitted,
    PutOff,
    Reason,
    Requirement,
    WeeklyHours,
)
from call_orchestrator.domain.number_use import UNUSED, NumberUse, described_erasure
from contracts.callees import Callee
from contracts.vocabulary import Purpose

Permission = Permitted | PutOff | Forbidden
DAY = timedelta(hours=24)
NUMBER_IN_USE = "number_in_use"
ERASED_PERSON = "erased"
"""The rule that forbids a call which an erasure of the person followed."""
"""The rule by which a call waits until no other call dials its number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DialTimes:
    """The calling policy, and what it depends on in one call."""

    policy: CallingPolicy
    callee: Callee
    purpose: Purpose | None
    hours: WeeklyHours | None = None
    """The weekly hours of the campaign."""
    number: NumberUse = UNUSED
    """Read when a slot is granted; before that, only the policy decides when the call is due."""
    max_per_day: int | None = None
    """How often the campaign permits a dial of this call in 24 hours."""
    recent_dials: tuple[datetime, ...] = ()
    """When the last ended attempts of this call dialled, as far as `max_per_day` counts them."""

    met: frozenset[Requirement] = frozenset()
    """What the call has of that which a rule may require."""

    def after_dial(self, dialed_at: datetime) -> Self:
        """Returns the times after one more dial."""
        return replace(self, recent_dials=(*self.recent_dials, dialed_at))

    def at(self, instant: datetime) -> Permission:
        """Returns whether the call may be dialled at an instant, or else when.

        A listed number is never called, for no purpose, and an erased person not for an earlier request.
        """
        if erased_at := self.number.erased_at:
            return Forbidden(reason=self._reason(ERASED_PERSON, described_erasure(erased_at)))
        if listing := self.number.listing:
            return Forbidden(reason=self._reason("do_not_call", listing.described))
        if unmet := self.policy.unmet(self.callee, purpose=self.purpose, met=self.met):
            return unmet
        free_at, rule, detail = self._free_at(instant)
        permission = self.policy.next_permitted(
            self.callee, purpose=self.purpose, at=free_at, hours=self.hours, dialed_at=self.number.dialed_at
        )
        if free_at == instant or isinstance(permission, Forbidden):
            return permission
        until = permission.until if isinstance(permission, PutOff) else free_at
        return PutOff(until=until, reason=self._reason(rule, detail))

    def _free_at(self, instant: datetime) -> tuple[datetime, str, str]:
        """Returns when neither another call nor the daily limit delays the call, and which of them is the longer."""
        free_at, rule, detail = instant, "", ""
        in_use_until = self.number.in_use_until
        if in_use_until and in_use_until > free_at:
            free_at, rule = in_use_until, NUMBER_IN_USE
            detail = f"another call to the number ends at {free_at:%Y-%m-%d %H:%M:%S} UTC at the latest"
        most = self.max_per_day
        if most and len(self.recent_dials) >= most and (ends_at := self.recent_dials[-most] + DAY) > free_at:
            free_at, rule = ends_at, "attempts_per_day"
            detail = f"dialled {most} times within 24 h; the campaign permits {most}"
        return free_at, rule, detail

    def _reason(self, rule: str, detail: str) -> Reason:
        return Reason(rule=rule, detail=detail, policy_version=self.policy.version)


def not_permitted(forbidden: Forbidden) -> str:
    """Returns why a call is never dialled, for a person to read."""
    return f"not permitted by the calling policy: {forbidden.reason.detail}"


def dial_at(dial_times: DialTimes | None, instant: datetime) -> tuple[datetime, Permission | None]:
    """Returns the first permitted instant that is not before `instant`, and why. Without a policy, that is `instant`.

    If the call may not be dialled at all, returns `instant` and the reason; the caller decides what follows.
    """
    permission = dial_times.at(instant) if dial_times else None
    return (permission.until if isinstance(permission, PutOff) else instant), permission
