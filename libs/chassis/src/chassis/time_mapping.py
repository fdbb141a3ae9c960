"""Simulated time: that of the server, moved by an offset and multiplied by a factor. Embedded runs only.

``simulated = starts_at + (real - real_starts_at) * factor``. One mapping converts the clock of decisions, the schedules
of the server, and periods of waiting. So an hour of a campaign passes in seconds, and the deadlines of its
calls fire in the same order as in real time.

Simulated: the instants in events, and with them deadlines, calling hours and periods of campaigns. Real: the times at
which the server stores messages, limits of the connection and of vendors, the rate limit of dials, and the time to live
of messages. Simulated time is never before real time, so what is in the future when it is stored is so in both.
"""

from datetime import UTC, datetime, timedelta
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

MAX_FACTOR = 100_000.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class TimeMapping(BaseModel):
    """The mapping between real and simulated instants. All replicas have the same one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    starts_at: AwareDatetime = Field(description="the simulated instant at `real_starts_at`")
    real_starts_at: AwareDatetime
    factor: float = Field(ge=1, le=MAX_FACTOR, description="simulated seconds in a real second")

    @model_validator(mode="after")
    def _is_not_before_real_time(self) -> Self:
        if self.starts_at < self.real_starts_at:
            raise ValueError("starts_at is before real_starts_at; simulated time is never before real time")
        return self

    def simulated(self, real_at: datetime) -> datetime:
        """Returns the simulated instant at a real one."""
        return self.starts_at + (real_at - self.real_starts_at) * self.factor

    def real(self, simulated_at: datetime) -> datetime:
        """Returns the first real instant, in microseconds, at which a simulated one has come."""
        real_at = self.real_starts_at + (simulated_at - self.starts_at) / self.factor
        return real_at if self.simulated(real_at) >= simulated_at else real_at + _MICROSECOND

    def real_seconds(self, simulated: timedelta) -> float:
        """Returns how many real seconds a simulated period lasts."""
        return simulated.total_seconds() / self.factor


REAL_TIME = TimeMapping(starts_at=_EPOCH, real_starts_at=_EPOCH, factor=1)
"""The mapping of every run without a simulated clock."""
