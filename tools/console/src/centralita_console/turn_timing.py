"""How long the callee waited for a reply, and for what: from the utterance to the first sound of the agent.

Each offset is in seconds from the utterance as it was stored. The durations are those that the services measured. The
stages follow one another: the model thinks, it writes the first sentence, and the voice begins to speak it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Document = Mapping[str, Any]
WIDTH = 240
"""The width of the widest waterfall of a call, in units of its drawing."""
MIN_SCALE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a reply. `name`: `model`, `sentence` or `voice`."""

    name: str
    starts_at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Waterfall:
    """The stages of one reply. `silence`: until its first sound, None if that is unknown. `complete`: of its text."""

    stages: tuple[Stage, ...]
    silence: float | None
    complete: float

    @property
    def seconds(self) -> float:
        """The end of what is drawn."""
        return max([self.complete, *(stage.starts_at + stage.seconds for stage in self.stages)])


def waterfall_of(
    heard: Sequence[Document], replies: Sequence[Document], requested: Sequence[Document], audio: Sequence[Document]
) -> Waterfall | None:
    """Returns the waterfall of the events of one turn; None without an utterance or a reply, as for a greeting."""
    if not heard or not replies:
        return None
    reply = replies[0]["data"]
    complete = float(reply["latency_seconds"])
    first_token = min(float(reply.get("first_token_seconds") or complete), complete)
    first = min(requested, key=lambda event: int(event["data"]["sentence"]), default=None)
    sentence_at = max(first_token, _seconds(heard[0], first) if first else complete)
    stages = [Stage("model", 0.0, first_token), Stage("sentence", first_token, sentence_at - first_token)]
    silence = None
    if audio:
        spoken = float(audio[0]["data"].get("first_byte_seconds") or 0.0)
        stages.append(Stage("voice", sentence_at, spoken))
        silence = sentence_at + spoken
    return Waterfall(tuple(stage for stage in stages if stage.seconds > 0), silence, complete)


def scale_of(waterfalls: Sequence[Waterfall | None]) -> float:
    """Returns the units of the drawing for one second, the same for all turns of a call."""
    longest = max((one.seconds for one in waterfalls if one), default=0.0)
    return WIDTH / max(longest, MIN_SCALE_SECONDS)


def _seconds(earlier: Document, later: Document) -> float:
    return (datetime.fromisoformat(later["time"]) - datetime.fromisoformat(earlier["time"])).total_seconds()
