"""The retry policy of a call: after which outcomes it is dialled again, how often, and after which delays.

A request has the `Requested…` classes, which are validated. A stored call has the others, which accept any value, so
that it stays readable when the limits become stricter (law 12).
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

MAX_DELAY_SECONDS = 604_800
MIN_DELAY_AFTER_HANGUP_SECONDS = 60
"""A person who has answered is not called again sooner. An opt-out that the model finds meanwhile ends the call."""

MAX_RETRIES = 10
Retries = Annotated[int, Field(ge=0, le=MAX_RETRIES)]
RetryDelay = Annotated[int, Field(ge=0, le=MAX_DELAY_SECONDS)]
_DelayAfterHangup = Annotated[int, Field(ge=MIN_DELAY_AFTER_HANGUP_SECONDS, le=MAX_DELAY_SECONDS)]


class RetryRule(BaseModel):
    """How often and when a call is dialled again after one outcome."""

    model_config = ConfigDict(frozen=True, extra="allow")

    max_retries: int = Field(description="retries after this outcome; `max_retries` of the call limits their sum")
    delay_seconds: int = Field(description="delay before the first of these retries")
    backoff: float = Field(default=1, description="factor of the delay from one of these retries to the next")
    max_delay_seconds: int | None = Field(default=None, description="upper limit of the delay; null: seven days")


class EarlyHangupRule(RetryRule):
    """The rule after an early hang-up, and how long after the answer a hang-up is early."""

    early_seconds: int = Field(default=10, description="a hang-up at most this long after the answer is early")


class RetryPolicy(BaseModel):
    """The rules by outcome.

    An outcome without a rule: busy, no_answer and failed follow `max_retries` and `retry_delay_seconds` of the call;
    voicemail, hung_up_early and goal_missed are not retried.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    busy: RetryRule | None = None
    no_answer: RetryRule | None = None
    failed: RetryRule | None = None
    voicemail: RetryRule | None = None
    hung_up_early: EarlyHangupRule | None = None
    goal_missed: RetryRule | None = None


class RequestedRetryRule(BaseModel):
    """How often and when a call is dialled again after one outcome."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_retries: Retries = Field(description="retries after this outcome; `max_retries` of the call limits their sum")
    delay_seconds: RetryDelay = Field(description="delay before the first of these retries")
    backoff: Annotated[float, Field(ge=1, le=10, allow_inf_nan=False)] = Field(
        default=1, description="factor of the delay from one of these retries to the next"
    )
    max_delay_seconds: RetryDelay | None = Field(default=None, description="upper limit of the delay; null: seven days")

    @field_validator("max_delay_seconds")
    @classmethod
    def _is_not_below_the_first(cls, seconds: int | None, info: ValidationInfo) -> int | None:
        first = info.data.get("delay_seconds")
        if seconds is not None and first is not None and seconds < first:
            raise ValueError(f"is below delay_seconds ({first}); raise it, or leave it out")
        return seconds


class RequestedEarlyHangupRule(RequestedRetryRule):
    """The rule after a hang-up by the callee soon after the answer, without a result of the conversation."""

    delay_seconds: _DelayAfterHangup = Field(description="delay before the first of these retries")
    early_seconds: Annotated[int, Field(ge=1, le=60)] = Field(
        default=10, description="a hang-up at most this long after the answer is early"
    )


class RequestedGoalRule(RequestedRetryRule):
    """The rule after a conversation with another disposition than the goal of the campaign."""

    delay_seconds: _DelayAfterHangup = Field(description="delay before the first of these retries")


class RequestedRetryPolicy(BaseModel):
    """Rules of retries by outcome.

    An outcome without a rule: busy, no_answer and failed follow `max_retries` and `retry_delay_seconds` of the call;
    voicemail, hung_up_early and goal_missed are not retried.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    busy: RequestedRetryRule | None = None
    no_answer: RequestedRetryRule | None = None
    failed: RequestedRetryRule | None = None
    voicemail: RequestedRetryRule | None = Field(default=None, description="a machine answered")
    hung_up_early: RequestedEarlyHangupRule | None = Field(
        default=None, description="a person answered and hung up within early_seconds"
    )
    goal_missed: RequestedGoalRule | None = Field(
        default=None, description="the conversation did not reach the campaign's goal, and may be continued"
    )

    def stored(self) -> RetryPolicy:
        """Returns the policy as a call carries it."""
        return RetryPolicy.model_validate(self.model_dump(exclude_none=True))
