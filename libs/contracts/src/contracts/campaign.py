"""The state of a campaign, which every ``campaign.*`` event of the stream ``CALLS`` carries (law 1)."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from contracts.agent_tools import AgentTools
from contracts.dial_terms import NO_DIAL_TERMS, DialTerms, OpenHours
from contracts.instants import Instant
from contracts.retry_policy import RetryPolicy
from contracts.turn_taking import TurnTakingTerms
from contracts.vocabulary import OPT_OUT_KEY, CampaignStatus, Disposition, Purpose
from contracts.voicemail import VoicemailPolicy


class CampaignTerms(BaseModel):
    """What the operator has set for a campaign. `contracts.campaign_terms` validates the terms of a command.

    A call takes each field from the terms that its request leaves out, when it is created (docs/campaigns.md). The
    others apply to the campaign as it is at each moment.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str | None = Field(default=None, description="for people; the id identifies the campaign")
    mode: str = Field(default="turn_based", description="how conversations are held")
    starts_at: Instant | None = Field(default=None, description="no call is granted a slot before; null: no such limit")
    ends_at: Instant | None = Field(default=None, description="no call is granted a slot from then on; null: no end")
    max_concurrent_calls: int | None = Field(
        default=None, description="calls that may be live at once; null: as the installation permits"
    )
    calls_per_minute: float | None = Field(default=None, description="calls that may begin in a minute; null: no limit")
    purpose: Purpose | None = Field(default=None, description="why people are called; null: as each request says")
    weekly_hours: tuple[OpenHours, ...] = Field(
        default=(), description="when people are called, in their local time; empty: as the calling rules permit"
    )
    script_template: str | None = Field(default=None, description="script of calls whose request has none")
    variables: dict[str, str] = Field(
        default={}, description="values of this script's placeholders; those of a request take precedence"
    )
    language: str | None = Field(default=None, description="language of calls whose request names none")
    retry_policy: RetryPolicy | None = Field(default=None, description="rules of retries by outcome")
    call_timeout_seconds: int | None = Field(default=None, description="how long a call may ring")
    voicemail: VoicemailPolicy | None = Field(default=None, description="message of calls whose request has none")
    max_attempts: int | None = Field(default=None, description="dials of one call in all; null: as the request says")
    max_attempts_per_day: int | None = Field(default=None, description="dials of one call in 24 hours; null: no limit")
    goal: Disposition | None = Field(
        default=None, description="the disposition that completes a call; others may be retried by goal_missed"
    )

    opt_out_key: str = Field(
        default=OPT_OUT_KEY, description="the key by which the callee asks for no more calls; off: none"
    )

    caller_id: str | None = Field(default=None, description="the number that calls; null: that of the installation")
    voice: str | None = Field(default=None, description="id of the voice that speaks; null: that of the installation")

    company: str | None = Field(
        default=None, description="on whose behalf people are called; the greeting begins with it; null: it does not"
    )
    do_not_call_lists: tuple[str, ...] = Field(
        default=(), description="the named do-not-call lists that apply, beside those of all campaigns and of this one"
    )
    turn_taking: TurnTakingTerms | None = Field(
        default=None, description="how turns are taken in live conversations; null: as the installation does"
    )
    retention_days: int | None = Field(
        default=None, description="days after the last call of a person until what is known about them is erased"
    )
    tools: AgentTools | None = Field(
        default=None, description="what the model may do beside talking; null: end the call and note facts only"
    )

    @property
    def dial_terms(self) -> DialTerms:
        """The terms that restrict when calls may be dialled."""
        if self.purpose is None and not self.weekly_hours and not self.do_not_call_lists:
            return NO_DIAL_TERMS
        return DialTerms(purpose=self.purpose, weekly_hours=self.weekly_hours, do_not_call_lists=self.do_not_call_lists)


class Campaign(BaseModel):
    """A campaign as it is after an event. A campaign without events has the default values.

    A campaign without terms is undeclared: it runs unless it is paused. One with terms runs from its start to its
    finish.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    campaign_id: str
    is_paused: bool = Field(default=False, description="no call of a paused campaign is granted a slot")
    changed_at: Instant | None = Field(default=None, description="when it was last paused or resumed, if ever")
    reason: str | None = Field(default=None, description="why it is paused, if the command gave a reason")
    terms: CampaignTerms | None = Field(default=None, description="null: it was never created")
    created_at: Instant | None = None
    started_at: Instant | None = None
    finished_at: Instant | None = None

    @property
    def status(self) -> CampaignStatus:
        """Finished, paused, undeclared, draft or running: the first of them that applies."""
        if self.finished_at:
            return CampaignStatus.FINISHED
        if self.is_paused:
            return CampaignStatus.PAUSED
        if self.terms is None:
            return CampaignStatus.UNDECLARED
        return CampaignStatus.RUNNING if self.started_at else CampaignStatus.DRAFT

    @property
    def is_held(self) -> bool:
        """Whether its calls wait for a command: it is paused or not started."""
        return self.status in (CampaignStatus.PAUSED, CampaignStatus.DRAFT)

    @property
    def starts_at(self) -> datetime | None:
        """The begin of its period, if it has one."""
        return self.terms.starts_at if self.terms else None

    @property
    def ends_at(self) -> datetime | None:
        """The end of its period, if it has one."""
        return self.terms.ends_at if self.terms else None

    @property
    def dial_terms(self) -> DialTerms:
        """The terms that restrict when its calls may be dialled."""
        return self.terms.dial_terms if self.terms else NO_DIAL_TERMS

    def is_over(self, at: datetime) -> bool:
        """Whether none of its calls begins from this instant on: it is finished, or its period is over."""
        return self.finished_at is not None or (self.ends_at is not None and self.ends_at <= at)

    def is_open(self, at: datetime) -> bool:
        """Whether its calls may be granted slots at this instant: it runs, and the instant is within its period."""
        if self.is_held or self.finished_at:
            return False
        return (self.starts_at is None or self.starts_at <= at) and (self.ends_at is None or at < self.ends_at)

    def paused(self, at: datetime, reason: str | None) -> Self:
        """Returns the campaign after a pause."""
        return self.model_copy(update={"is_paused": True, "changed_at": at, "reason": reason})

    def resumed(self, at: datetime) -> Self:
        """Returns the campaign after it was resumed."""
        return self.model_copy(update={"is_paused": False, "changed_at": at, "reason": None})

    def created(self, at: datetime, terms: CampaignTerms) -> Self:
        """Returns the campaign after its creation."""
        return self.model_copy(update={"created_at": at, "terms": terms})

    def changed(self, terms: CampaignTerms) -> Self:
        """Returns the campaign with other terms."""
        return self.model_copy(update={"terms": terms})

    def started(self, at: datetime) -> Self:
        """Returns the campaign after its start."""
        return self.model_copy(update={"started_at": at})

    def finished(self, at: datetime) -> Self:
        """Returns the campaign after its finish, which also ends a pause, so that its waiting calls expire."""
        return (self.resumed(at) if self.is_paused else self).model_copy(update={"finished_at": at})
