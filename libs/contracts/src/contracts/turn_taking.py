"""How turns are taken in the live conversations of a campaign (docs/live.md). Null: as the installation does.

A command has `RequestedTurnTakingTerms`, which is validated. Stored terms have `TurnTakingTerms`, which accepts any
value (law 12).
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_BACKCHANNELS = 50
Seconds = Annotated[float, Field(allow_inf_nan=False)]
Backchannel = Annotated[str, StringConstraints(min_length=1, max_length=40, strip_whitespace=True)]


class TurnTakingTerms(BaseModel):
    """What differs from the installation."""

    model_config = ConfigDict(frozen=True, extra="allow")

    turn_over_after_seconds: float | None = Field(
        default=None, description="silence after a complete utterance until the agent replies"
    )
    silence_seconds: float | None = Field(
        default=None, description="silence after the agent's words that counts as a silent turn"
    )
    filler_seconds: float | None = Field(
        default=None, description="how long a reply may take until a few stock words fill the wait"
    )
    is_greeting_interruptible: bool = Field(
        default=True, description="false: the greeting is heard to its end; so is one that names the company, always"
    )
    backchannels: tuple[str, ...] = Field(
        default=(), description="more words that only signal attention, such as “ajá”, and interrupt nothing"
    )


class RequestedTurnTakingTerms(TurnTakingTerms):
    """What a command sets. Bounds are those within which a conversation still works."""

    model_config = ConfigDict(extra="forbid")

    turn_over_after_seconds: Annotated[Seconds, Field(ge=0.35, le=1.4)] | None = Field(
        default=None, description="silence after a complete utterance until the agent replies"
    )
    silence_seconds: Annotated[Seconds, Field(ge=2, le=30)] | None = Field(
        default=None, description="silence after the agent's words that counts as a silent turn"
    )
    filler_seconds: Annotated[Seconds, Field(ge=0.5, le=10)] | None = Field(
        default=None, description="how long a reply may take until a few stock words fill the wait"
    )
    backchannels: Annotated[tuple[Backchannel, ...], Field(max_length=MAX_BACKCHANNELS)] = Field(
        default=(), description="more words that only signal attention, such as “ajá”, and interrupt nothing"
    )
