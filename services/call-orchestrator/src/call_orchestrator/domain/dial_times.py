"""When a call may be dialled: the calling policy as it applies to one call."""

from dataclasses import dataclass
from datetime import datetime

from call_orchestrator.domain.calling_policy import (
    CallingPolicy,
    Forbidden,
    Permitted,
    PutOff,
    Reason,
    WeeklyHours,
)
from call_orchestrator.domain.number_use import UNUSED, NumberUse
from contracts.callees import callee_of
from contracts.vocabulary import Purpose

Permission = Permitted | PutOff | Forbidden


@dataclass(frozen=True, slots=True, kw_only=True)
class DialTimes:
    """The calling policy, and what it depends on in one call."""

    policy: CallingPolicy
    phone_number: str
    time_zone: str | None
    purpose: Purpose | None
    hours: WeeklyHours | None = None
    """The weekly hours of the campaign."""
    number: NumberUse = UNUSED
    """Read when a slot is granted; before that, only the policy decides when the call is due."""

    def at(self, instant: datetime) -> Permission:
        """Returns whether the call may be dialled at an instant, or else when.

        A listed number is never called, for no purpose.
        """
        if listing := self.number.listing:
            return Forbidden(reason=self._reason("do_not_call", listing.described))
        free_at = max(instant, self.number.in_use_until or instant)
        callee = callee_of(self.phone_number, self.time_zone)
        permission = self.policy.next_permitted(
            callee, purpose=self.purpose, at=free_at, hours=self.hours, dialed_at=self.number.dialed_at
        )
        if free_at == instant or isinstance(permission, Forbidden):
            return permission
        detail = f"another call to the number ends at {free_at:%Y-%m-%d %H:%M:%S} UTC at the latest"
        until = permission.until if isinstance(permission, PutOff) else free_at
        return PutOff(until=until, reason=self._reason("number_in_use", detail))

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
