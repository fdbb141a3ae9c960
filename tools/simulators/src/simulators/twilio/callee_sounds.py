"""What a test can choose about one callee, and the sounds that are no turn of the conversation."""

import re
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from simulators.twilio.callee_phrases import Language

_PAUSE = re.compile(r"\s*\[(\d+(?:\.\d+)?)\]\s*")


class CalleeSettings(BaseModel):
    """Settings of one number's callee; what is None is drawn from the seed. All times are simulated seconds.

    - language: of the callee on a media stream. A <Gather> names its own.
    - phrases: what the callee says, turn by turn; then it is silent. `[0.9]` in a phrase is a pause of 0.9 seconds.
    - delay_seconds: from the end of the agent's reply to the callee's answer.
    - patience_seconds: how long the callee waits for a reply on a media stream, and in silence after its last phrase.
    - at_seconds: how much of a reply the callee hears before it interrupts, coughs, presses its key or says "ajá".
    - talk_seconds: how long the person at this number talks with a callee who is transferred to it.
    - echo_decibels: the level at which a media stream returns the agent's audio; -20 is a loud echo.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: Language | None = None
    phrases: tuple[str, ...] | None = None
    delay_seconds: float | None = Field(default=None, ge=0)
    patience_seconds: float | None = Field(default=None, gt=0)
    at_seconds: float | None = Field(default=None, ge=0)
    talk_seconds: float | None = Field(default=None, ge=0)
    echo_decibels: float | None = Field(default=None, le=0)


@dataclass(frozen=True)
class Pause:
    """A pause inside an utterance, before the character at this position of its text."""

    position: int
    seconds: float


@dataclass(frozen=True)
class Interjection:
    """A sound while the agent speaks that does not interrupt it. Noise (a cough) has no words, so its text is empty.

    `at_seconds` is how much of the reply the callee hears before it.
    """

    kind: Literal["backchannel", "noise"]
    text: str
    at_seconds: float


def read_pauses(phrase: str) -> tuple[str, tuple[Pause, ...]]:
    """Returns the text of a phrase without its pauses, and the pauses."""
    text, pauses = "", []
    pieces = _PAUSE.split(phrase)  # text, seconds, text, seconds, text
    for piece, seconds in zip(pieces[::2], [*pieces[1::2], None], strict=True):
        text += piece
        if seconds is not None:
            text += " "
            pauses.append(Pause(len(text), float(seconds)))
    return text.strip(), tuple(pauses)
