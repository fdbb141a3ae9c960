"""What became of calls: how far they came, why they ended, and their outcomes over time.

campaign-stats counts it, and answers `OutcomesQuery`.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contracts.instants import Instant
from contracts.values import CampaignId
from contracts.vocabulary import CallStatus, Disposition


class Interval(StrEnum):
    """The length of an interval over which outcomes are counted. Intervals begin at multiples of it, in UTC."""

    MINUTE = "1m"
    FIVE_MINUTES = "5m"
    HOUR = "1h"
    DAY = "1d"

    @property
    def length(self) -> timedelta:
        """How long one interval is."""
        return _LENGTHS[self]

    @property
    def max_points(self) -> int:
        """How many intervals one answer may have. campaign-stats reads it from at most 32 documents."""
        return _MAX_POINTS[self]

    def begin(self, instant: datetime) -> datetime:
        """Returns the beginning of the interval that an instant is in."""
        midnight = instant.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight + (instant - midnight) // self.length * self.length


_LENGTHS = {
    Interval.MINUTE: timedelta(minutes=1),
    Interval.FIVE_MINUTES: timedelta(minutes=5),
    Interval.HOUR: timedelta(hours=1),
    Interval.DAY: timedelta(days=1),
}
_MAX_POINTS = {Interval.MINUTE: 180, Interval.FIVE_MINUTES: 288, Interval.HOUR: 336, Interval.DAY: 31}


class EndReason(StrEnum):
    """Why a call ended, in words that are counted. The call's own `reason` has the details."""

    BUSY = "busy"
    NO_ANSWER = "no_answer"
    VOICEMAIL = "voicemail"
    CANCELED = "canceled"
    CAMPAIGN_FINISHED = "campaign_finished"
    """It waited when its campaign was finished."""
    NOT_DIALLED_IN_TIME = "not_dialled_in_time"
    DO_NOT_CALL = "do_not_call"
    ERASED = "erased"
    UNKNOWN_COUNTRY = "unknown_country"
    UNKNOWN_ZONE = "unknown_zone"
    NO_PERMITTED_TIME = "no_permitted_time"
    NO_CONSENT = "no_consent"
    NO_DISCLOSURE = "no_disclosure"
    NO_LOCAL_CALLER_ID = "no_local_caller_id"
    NOT_PERMITTED = "not_permitted"
    """The calling policy forbade it by another rule."""
    DIAL_REFUSED = "dial_refused"
    """The provider refused the dial for good."""
    FAX = "fax"
    TECHNICAL_FAILURE = "technical_failure"
    """A person was reached, and the agent could not conduct the conversation."""
    UNKNOWN_OUTCOME = "unknown_outcome"
    """The network could not say what became of the attempt."""
    NETWORK_FAILURE = "network_failure"
    NO_RESULT = "no_result"
    """It was answered, and its conversation has no disposition."""
    CONFIRMED = "confirmed"
    DECLINED = "declined"
    RESCHEDULED = "rescheduled"
    CALLBACK_REQUESTED = "callback_requested"
    ANSWERED = "answered"
    WRONG_NUMBER = "wrong_number"
    OPT_OUT = "opt_out"
    UNRESPONSIVE = "unresponsive"
    TRANSFERRED = "transferred"


LISTED_BY: Mapping[EndReason, tuple[CallStatus, Disposition | None]] = {
    **{
        EndReason(status.value): (status, None)
        for status in (CallStatus.BUSY, CallStatus.NO_ANSWER, CallStatus.VOICEMAIL, CallStatus.CANCELED)
    },
    **{
        EndReason(disposition.value): (CallStatus.COMPLETED, disposition)
        for disposition in Disposition
        if disposition is not Disposition.TECHNICAL_FAILURE and disposition.value in frozenset(EndReason)
    },
    EndReason.TECHNICAL_FAILURE: (CallStatus.FAILED, Disposition.TECHNICAL_FAILURE),
}
"""The reasons whose calls are exactly those of a status and, unless it is None, a disposition."""


class OutcomesQuery(BaseModel):
    """A query for the outcomes of one campaign, or of all, over time. Its span has a limited number of intervals."""

    model_config = ConfigDict(frozen=True)

    subject: ClassVar[str] = "stats.outcomes"

    campaign_id: CampaignId | None = None
    interval: Interval
    since: Instant = Field(description="from the interval on that this instant is in")
    until: Instant = Field(description="before this instant")

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        if not self.since < self.until:
            raise ValueError("since is not before until")
        if self.until - self.since > self.interval.max_points * self.interval.length:
            most = f"{self.interval.max_points} intervals of {self.interval}"
            raise ValueError(f"more than {most}; choose a later since, an earlier until, or a longer interval")
        return self


class OutcomeCounts(BaseModel):
    """What happened in an interval: calls that ended, by their status, and attempts. Counts are never taken back.

    A call that is dialled again after its end is counted at each end.
    """

    model_config = ConfigDict(frozen=True)

    attempts: int = Field(default=0, description="attempts that began, of calls and retries")
    retried: int = Field(default=0, description="attempts that ended, after which the call waits to be dialled again")
    completed: int = 0
    failed: int = 0
    no_answer: int = 0
    busy: int = 0
    voicemail: int = 0
    canceled: int = 0
    expired: int = 0


class OutcomePoint(OutcomeCounts):
    """The outcomes of one interval."""

    at: Instant = Field(description="the beginning of the interval")


class Funnel(BaseModel):
    """How many calls came how far, in any of their attempts. Each number includes those that follow it."""

    model_config = ConfigDict(frozen=True)

    requested: int = Field(default=0, description="all calls")
    dialled: int = Field(default=0, description="an attempt reached the network, or is under way")
    rang: int = 0
    answered: int = Field(default=0, description="by a person or a machine")
    person: int = Field(default=0, description="a person spoke or pressed the opt-out key")
    goal: int = Field(default=0, description="the conversation reached the goal of its campaign; 0: it has none")


class Outcomes(BaseModel):
    """How far calls came, why they ended, and their outcomes over time, as MongoDB has them.

    Funnel and reasons are of all times. Calls of builds that did not count them are missing until a rebuild.
    """

    model_config = ConfigDict(frozen=True)

    funnel: Funnel = Funnel()
    reasons: dict[EndReason, int] = Field(
        default={}, description="ended calls by reason; those without calls are left out"
    )
    undialled_attempts: int = Field(default=0, description="attempts that certainly did not reach the network")
    points: tuple[OutcomePoint, ...] = Field(
        default=(), description="in their order; intervals without outcomes are left out"
    )
