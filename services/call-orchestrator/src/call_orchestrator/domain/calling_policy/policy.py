"""The decision: whether a person may be called at an instant, or else when."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Self

from call_orchestrator.domain.calling_policy.rules import Requirement, Rule
from call_orchestrator.domain.calling_policy.schedule import MAX_SEARCH, Schedule
from call_orchestrator.domain.calling_policy.table import former_rows, override_rows, replaced, rules_of, shipped_rows
from call_orchestrator.domain.calling_policy.windows import WeeklyHours
from contracts.callees import Callee
from contracts.time_zones import is_zone
from contracts.vocabulary import Purpose


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why the policy decided so.

    `rule`: ``calling_hours``, ``holiday``, ``campaign_hours``, ``frequency``, ``no_permitted_time``, ``emergency``,
    ``unknown_country``, ``unknown_zone``, ``do_not_call``, ``erased``, ``number_in_use``, or that of a `Requirement`.
    `detail`: for a person to read, without the number.
    """

    rule: str
    detail: str
    policy_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Permitted:
    """The person may be called at that instant.

    `until`: when the calling hours end; None if that is not before the end of the next day of UTC.
    """

    reason: Reason
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOff:
    """The person may not be called at that instant. `until`: the first later instant that is permitted."""

    until: datetime
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Forbidden:
    """The person may not be called at that instant, nor within the period of the search."""

    reason: Reason


_UNMET: Mapping[Requirement, str] = {
    Requirement.CONSENT: "prior consent is required; give consent_at, when the person consented",
    Requirement.DISCLOSURE: "the greeting must say who calls; set company in the terms of the campaign",
    Requirement.LOCAL_CALLER_ID: "the caller id must be of the callee's country; set caller_id in the campaign's terms",
}


class CallingPolicy:
    """The calling policy of a set of rules; immutable.

    `version` is a digest of the rules and of the packages that know holidays and time zones. `versions`: also that of
    older builds, which recorded the rules alone.
    """

    def __init__(
        self, rules: Sequence[Rule], packages: Sequence[str] | None = None, former: Self | None = None
    ) -> None:
        """`packages`: names and versions of the packages; by default the installed ones.

        `former`: the policy of older builds whose decisions the log may have.
        """
        self.version = _digest(rules, package_versions() if packages is None else packages)
        self.versions = frozenset({self.version, _digest(rules, ())})
        self._former = former
        self._schedule = Schedule(rules)
        caps = [cap for rule in rules for cap in rule.caps]
        self.longest_cap = max((cap.within for cap in caps), default=timedelta(0))
        """How far back the dials of a person count."""

    @classmethod
    def shipped(cls, overrides: Path | None = None) -> Self:
        """Returns the policy of the shipped table. `overrides`: a CSV file whose rows replace those of the same place.

        Reads files, so it is called once, when the service starts. Raises InvalidTable, which names the file, the line,
        the column and the remedy.
        """
        rows, by = shipped_rows(), override_rows(overrides) if overrides else []
        former = cls(rules_of(replaced(former_rows(rows), by)))
        return cls(rules_of(replaced(rows, by)), former=former)

    def of_version(self, version: str) -> Self | None:
        """Returns the policy of a recorded version: this one, or that of an older build; None if neither has it."""
        if version in self.versions:
            return self
        return self._former.of_version(version) if self._former else None

    def next_permitted(
        self,
        callee: Callee,
        *,
        purpose: Purpose | None,
        at: datetime,
        hours: WeeklyHours | None = None,
        dialed_at: Sequence[datetime] = (),
    ) -> Permitted | PutOff | Forbidden:
        """Returns whether the person may be called at an instant, or else the next permitted instant.

        `purpose`: None applies the rules of all purposes. `hours`: the campaign's own hours, which apply as well, even
        to an emergency. `dialed_at`: when this person was dialled before, as far back as the longest cap; in any order.
        """
        at = at.astimezone(UTC)
        if purpose is Purpose.EMERGENCY and hours is None:
            return Permitted(reason=self._reason("emergency", "an emergency has neither calling hours nor caps"))
        if not callee.country:
            return Forbidden(reason=self._reason("unknown_country", "the country of the number is unknown"))
        if unknown := _unknown_zone(callee):
            remedy = "give the IANA time zone of the person, such as Europe/Madrid"
            return Forbidden(reason=self._reason("unknown_zone", f"{unknown}; {remedy}"))
        free_at, cap = self._free_at(callee, purpose, at, dialed_at)
        until = self._schedule.next_open(callee, purpose, hours, free_at)
        if until == at:
            reason = self._reason("calling_hours", self._schedule.describe_open(callee, purpose, at))
            return Permitted(reason=reason, until=self._schedule.open_until(callee, purpose, hours, at))
        closed = self._schedule.closed(callee, purpose, hours, at)
        rule, detail = (closed.rule, closed.detail) if closed else ("frequency", cap)
        if until is None:
            detail = f"no permitted time in the {MAX_SEARCH.days} days from {free_at:%Y-%m-%d %H:%M} UTC on; {detail}"
            return Forbidden(reason=self._reason("no_permitted_time", detail))
        return PutOff(until=until, reason=self._reason(rule, detail))

    def unmet(self, callee: Callee, *, purpose: Purpose | None, met: Collection[Requirement]) -> Forbidden | None:
        """Returns the first requirement of the rules that a call does not meet; None if it meets all."""
        for requirement, rule in self._schedule.requiring(callee, purpose).items():
            if requirement not in met:
                detail = f"{_UNMET[requirement]} ({rule.described})"
                return Forbidden(reason=self._reason(requirement, detail))
        return None

    def counted(
        self, callee: Callee, *, purpose: Purpose | None, dialed_at: Iterable[datetime], at: datetime
    ) -> tuple[datetime, ...]:
        """Returns the dials that a cap on calls of this purpose counts at an instant; without a cap, none."""
        caps = [cap.within for rule in self._schedule.capping(callee, purpose) for cap in rule.caps]
        longest = max(caps, default=timedelta(0))
        return tuple(dialed for dialed in dialed_at if dialed > at - longest)

    def _free_at(
        self, callee: Callee, purpose: Purpose | None, at: datetime, dialed_at: Sequence[datetime]
    ) -> tuple[datetime, str]:
        """Returns the first instant from `at` on that exceeds no cap, and a description of the cap that ends last."""
        free_at, detail = at, ""
        for rule in self._schedule.capping(callee, purpose) if dialed_at else ():
            for cap in rule.caps:
                recent = sorted(dialed for dialed in dialed_at if dialed > at - cap.within)
                if len(recent) >= cap.max_calls and (end := recent[-cap.max_calls] + cap.within) > free_at:
                    hours = int(cap.within.total_seconds()) // 3600
                    free_at = end.astimezone(UTC)
                    detail = (
                        f"dialled {len(recent)} times within {hours} h, permitted: {cap.max_calls} ({rule.described})"
                    )
        return free_at, detail

    def _reason(self, rule: str, detail: str) -> Reason:
        return Reason(rule=rule, detail=detail, policy_version=self.version)


def _unknown_zone(callee: Callee) -> str | None:
    """Returns why the person's time is unknown. An older build, or one with another tzdata, stored other names."""
    if not callee.zones:
        return "the time zone of the number is unknown"
    unknown = next((zone for zone in callee.zones if not is_zone(zone)), None)
    return None if unknown is None else f"the time zone {unknown!r} is unknown"


def package_versions() -> tuple[str, ...]:
    """Returns the packages that decide which days are holidays and what time it is, with their versions."""
    return tuple(f"{name} {version(name)}" for name in ("holidays", "tzdata"))


def _digest(rules: Sequence[Rule], packages: Sequence[str]) -> str:
    """Returns a short digest of everything that a decision depends on, beside its inputs."""
    parts = [*sorted(rule.canonical for rule in rules), *packages]
    return sha256("\n".join(parts).encode()).hexdigest()[:12]
