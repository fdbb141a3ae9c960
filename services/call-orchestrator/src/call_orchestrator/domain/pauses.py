"""The pauses of a campaign, which stop the clock of ``DIAL_WITHIN_MINUTES`` (docs/adr/0022).

A waiting call may be dialled until its expiry, which a snapshot carries as if there were no pauses. When that time has
passed, the pauses decide: the call has as much more time as the campaign was paused while it waited, and it does not
expire during a pause. So a pause and its end cost no event per call, and a call that is dialled in time never needs the
pauses. All methods take the present as an argument and ignore later pauses, so a decision can be repeated from the log.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

MIN_RECHECK = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Pause:
    """One pause; without an end, it goes on."""

    begins_at: datetime
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pauses:
    """The pauses of one campaign, in order."""

    periods: tuple[Pause, ...] = ()

    @classmethod
    def of(cls, changes: Iterable[tuple[bool, datetime]]) -> "Pauses":
        """Returns the pauses in a history: whether the campaign was paused from each instant on."""
        periods: list[Pause] = []
        begins_at: datetime | None = None
        for is_paused, at in changes:
            if is_paused:
                begins_at = begins_at or at
            elif begins_at:
                periods.append(Pause(begins_at, at))
                begins_at = None
        return cls((*periods, Pause(begins_at)) if begins_at else tuple(periods))

    def paused_since(self, now: datetime) -> datetime | None:
        """Returns when the pause began in which the campaign is now; None if it is not paused."""
        for pause in self.periods:
            if pause.begins_at <= now and (pause.ends_at is None or now < pause.ends_at):
                return pause.begins_at
        return None

    def extended(self, expires_at: datetime, *, waits_since: datetime, now: datetime) -> datetime:
        """Returns the expiry of a wait that began at `waits_since`, as far as it is known now."""
        spans = ((max(one.begins_at, waits_since), min(one.ends_at or now, now)) for one in self.periods)
        return expires_at + sum((end - begin for begin, end in spans if begin < end), timedelta())

    def recheck_at(self, expires_at: datetime, *, waits_since: datetime, now: datetime) -> datetime | None:
        """Returns when to ask again whether a wait is over that ends at the extended `expires_at`; None: it is over.

        During a pause its end is unknown. Each interval is at least as long as the wait in this pause so far, so that
        even a pause of months costs a call only a few timers.
        """
        paused_since = self.paused_since(now)
        if paused_since is None:
            return expires_at if now < expires_at else None
        return now + max(expires_at - now, now - max(paused_since, waits_since), MIN_RECHECK)


NO_PAUSES = Pauses()
