"""Rules: what the rows with the same country, region, purposes, voice and basis require together."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from call_orchestrator.domain.calling_policy.public_holidays import ALL_REGIONS, is_holiday
from call_orchestrator.domain.calling_policy.windows import WEEKDAYS, Windows
from contracts.vocabulary import Purpose

DEFAULT_COUNTRY = "*"
HOLIDAY = "hol"
HOLIDAY_EVE = "eve"
"""The day before a public holiday."""


class Kind(StrEnum):
    """How binding a rule is."""

    LAW = "law"
    CODE = "code"
    """A code of conduct that binds those who have joined it."""
    HOUSE_DEFAULT = "house_default"


class Requirement(StrEnum):
    """What a rule may require of a call beside its time."""

    CONSENT = "consent"
    """It is known when the person consented."""
    DISCLOSURE = "disclosure"
    """The greeting says on whose behalf the call is made, and that no person speaks."""
    LOCAL_CALLER_ID = "local_caller_id"
    """The campaign calls from a number of the callee's country."""


@dataclass(frozen=True, slots=True)
class Cap:
    """At most this many calls to one person in any period of this length."""

    max_calls: int
    within: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. `purposes`: empty means all. `windows`: by weekday, ``hol``, ``eve`` or ISO date."""

    country: str
    region: str
    purposes: frozenset[Purpose]
    kind: Kind
    basis: str
    windows: Mapping[str, Windows]
    caps: tuple[Cap, ...]
    requires_consent: bool
    """Whether the law asks for consent: shown with each permission, and not enforced."""
    requires: frozenset[Requirement] = frozenset()
    """What is enforced."""

    def applies_to(self, purpose: Purpose | None) -> bool:
        """Returns whether the rule binds a call of this purpose. Unknown: every rule does. Emergency: no rule does."""
        is_bound = purpose is None or not self.purposes or purpose in self.purposes
        return is_bound and purpose is not Purpose.EMERGENCY

    @property
    def described(self) -> str:
        """The rule in a few words: its country or region, and its basis."""
        place = "default" if self.country == DEFAULT_COUNTRY else "-".join(filter(None, (self.country, self.region)))
        return f"{place}: {self.basis}"

    @property
    def canonical(self) -> str:
        """Everything on which a decision depends; the same for equal rules in any order of their rows."""
        windows = sorted(self.windows.items())
        caps = sorted((cap.max_calls, cap.within) for cap in self.caps)
        identity = (self.country, self.region, sorted(self.purposes), self.kind.value, self.basis)
        requires = [sorted(self.requires)] if self.requires else []  # none: as before there were requirements
        return repr((*identity, windows, caps, self.requires_consent, *requires))

    def day_name(self, day: date, country: str, region: str) -> str | None:
        """Returns by which name the rule knows a date in a place; None if it does not restrict the date.

        The date itself comes before a holiday, a holiday before the day before one, and that before the weekday.
        """
        if (name := day.isoformat()) in self.windows:
            return name
        if HOLIDAY in self.windows and self._is_holiday(day, country, region):
            return HOLIDAY
        if HOLIDAY_EVE in self.windows and self._is_holiday(day + timedelta(days=1), country, region):
            return HOLIDAY_EVE
        weekday = WEEKDAYS[day.weekday()]
        return weekday if weekday in self.windows else None

    def _is_holiday(self, day: date, country: str, region: str) -> bool:
        """Whether a date is a holiday. In an unknown region, a law counts the holidays of every region."""
        return is_holiday(day, country, region or (ALL_REGIONS if self.kind is Kind.LAW else ""))
