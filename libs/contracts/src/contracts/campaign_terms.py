"""The terms of a campaign as a command gives them, each with its validation. Stored terms are not validated again."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

from contracts.callee_terms import CompanyName, RetentionDays
from contracts.campaign import CampaignTerms
from contracts.dial_terms import RequestedOpenHours
from contracts.instants import Instant, schedule_refusals
from contracts.requested_tools import RequestedAgentTools
from contracts.retry_policy import MAX_RETRIES, RequestedRetryPolicy
from contracts.script import missing_variables, template_size_refusals
from contracts.texts import name_refusals, template_refusals, variable_refusals
from contracts.turn_taking import RequestedTurnTakingTerms
from contracts.values import CallerId, DoNotCallListName, Language, RingTime, Script, Variables, VoiceId
from contracts.vocabulary import OPT_OUT_KEY, ConversationMode, Disposition, OptOutKey
from contracts.voicemail import RequestedVoicemail

CampaignName = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
MAX_CONCURRENT_CALLS = 100_000
MAX_LISTS = 20
"""Named do-not-call lists of one campaign. Each grant carries their names."""
Goal = Literal[
    Disposition.CONFIRMED,
    Disposition.DECLINED,
    Disposition.RESCHEDULED,
    Disposition.CALLBACK_REQUESTED,
    Disposition.ANSWERED,
]
"""The dispositions of a conversation that may be what a campaign is for."""


class RequestedTerms(CampaignTerms):
    """The terms of a command. Fields that are left out have their default, also in a change."""

    model_config = ConfigDict(extra="forbid")

    name: CampaignName | None = Field(default=None, description="for people; the id identifies the campaign")
    mode: ConversationMode = Field(default=ConversationMode.TURN_BASED, description="how conversations are held")
    ends_at: Instant | None = Field(
        default=None, validate_default=True, description="no call is granted a slot from then on; null: no end"
    )
    max_concurrent_calls: Annotated[int, Field(ge=1, le=MAX_CONCURRENT_CALLS)] | None = Field(
        default=None, description="calls that may be live at once; null: as the installation permits"
    )
    calls_per_minute: Annotated[float, Field(ge=0.1, le=6_000, allow_inf_nan=False)] | None = Field(
        default=None, description="calls that may begin in a minute; null: no limit"
    )
    weekly_hours: Annotated[tuple[RequestedOpenHours, ...], Field(max_length=50)] = Field(
        default=(), description="when people are called, in their local time; empty: as the calling rules permit"
    )
    script_template: Script | None = Field(default=None, description="script of calls whose request has none")
    variables: Variables = Field(
        default={}, description="values of this script's placeholders; those of a request take precedence"
    )
    language: Language | None = Field(default=None, description="language of calls whose request names none")
    retry_policy: RequestedRetryPolicy | None = Field(  # type: ignore[assignment]  # the form that is validated
        default=None, description="rules of retries by outcome, for calls whose request has none"
    )
    call_timeout_seconds: RingTime | None = Field(default=None, description="how long a call may ring")
    voicemail: RequestedVoicemail | None = Field(  # type: ignore[assignment]  # the form that is validated
        default=None, description="message to leave when a machine answers, for calls whose request has none"
    )
    max_attempts: Annotated[int, Field(ge=1, le=MAX_RETRIES + 1)] | None = Field(
        default=None, description="dials of one call in all; null: as the request says"
    )
    max_attempts_per_day: Annotated[int, Field(ge=1, le=MAX_RETRIES + 1)] | None = Field(
        default=None, description="dials of one call in 24 hours; null: no limit"
    )
    goal: Goal | None = Field(
        default=None, description="the disposition that completes a call; others are retried by goal_missed"
    )
    opt_out_key: Literal[OptOutKey, "off"] = Field(
        default=OPT_OUT_KEY, description="the key by which the callee asks for no more calls; off: none"
    )
    caller_id: CallerId | None = Field(
        default=None, description="the number that calls, one of CALLER_IDS; null: that of the installation"
    )
    voice: VoiceId | None = Field(
        default=None, description="id of the voice that speaks; null: that of the installation"
    )
    company: CompanyName | None = Field(
        default=None, description="on whose behalf people are called; the greeting begins with it; null: it does not"
    )
    do_not_call_lists: Annotated[tuple[DoNotCallListName, ...], Field(max_length=MAX_LISTS)] = Field(
        default=(), description="the named do-not-call lists that apply, beside those of all campaigns and of this one"
    )
    turn_taking: RequestedTurnTakingTerms | None = Field(
        default=None, description="how turns are taken in live conversations; null: as the installation does"
    )
    retention_days: RetentionDays | None = Field(
        default=None,
        description="days after the last call of a person until they are erased; null: RETENTION_DAYS",
    )
    tools: RequestedAgentTools | None = Field(  # type: ignore[assignment]  # the form that is validated
        default=None, description="what the model may do beside talking; null: end the call and note facts only"
    )

    @field_validator("ends_at")
    @classmethod
    def _ends_after_its_start(cls, ends_at: datetime | None, info: ValidationInfo) -> datetime | None:
        starts_at = info.data.get("starts_at")
        if ends_at and starts_at and ends_at <= starts_at:
            raise ValueError("is not after starts_at; give a later instant, or leave it out")
        return ends_at

    @field_validator("script_template")
    @classmethod
    def _has_valid_placeholders(cls, script_template: str | None) -> str | None:
        missing_variables(script_template or "", {})
        return script_template

    def refusals(self, now: datetime) -> list[str]:
        """Returns why the terms are not acceptable at this instant, one line per field."""
        refusals = [
            *name_refusals(self.name),
            *name_refusals(self.company, "company"),
            *schedule_refusals(self.starts_at, now, "starts_at"),
            *template_refusals(self.script_template),
            *variable_refusals(self.variables),
            *template_size_refusals(self.script_template or ""),
            *(self.voicemail.refusals() if self.voicemail else []),
            *(self.tools.refusals() if self.tools else []),
            *self._contradictions(),
        ]
        if self.ends_at and self.ends_at <= now:
            refusals.append("ends_at: is over; give a later instant, or leave it out")
        return refusals

    def _contradictions(self) -> list[str]:
        """Returns which fields have no effect, or contradict each other."""
        found = []
        has_goal_rule = self.retry_policy is not None and self.retry_policy.goal_missed is not None
        if self.variables and self.script_template is None:
            found.append("variables: have no effect without a script; give script_template, or leave them out")
        if self.goal and not has_goal_rule:
            found.append(
                "goal: has no effect without a rule for goal_missed; give it in retry_policy, or leave goal out"
            )
        if has_goal_rule and not self.goal:
            found.append("retry_policy: goal_missed needs a goal; give goal, or leave the rule out")
        if self.max_attempts == 1 and self.retry_policy and self.retry_policy.model_fields_set:
            found.append("max_attempts: 1 permits no retry; raise it, or leave retry_policy out")
        if self.max_attempts and self.max_attempts_per_day and self.max_attempts_per_day > self.max_attempts:
            found.append(f"max_attempts_per_day: exceeds max_attempts ({self.max_attempts}); lower it, or leave it out")
        return found

    def stored(self) -> CampaignTerms:
        """Returns the terms as the log stores them."""
        policy = self.retry_policy.stored() if self.retry_policy else None
        tools = self.tools.stored() if self.tools else None
        return CampaignTerms.model_validate({**self.model_dump(), "retry_policy": policy, "tools": tools})
