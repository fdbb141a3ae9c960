"""How long the callee waited for a reply, and for what: from the utterance to the first sound of the agent.

Each offset is in seconds from the utterance as it was stored; in a live conversation, from the callee's last sound. The
durations are those that the services measured. The stages follow one another: the model thinks, it writes the first
sentence, and the voice begins to speak it. A live conversation has others before and after them: the decision that the
callee's turn is over, the storage of the utterance, and the sending of the first sound.
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
    """One stage of a reply. `name`: `endpoint`, `log`, `model`, `sentence`, `voice` or `playout`."""

    name: str
    starts_at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Waterfall:
    """The stages of one reply. `silence`: until its first sound, None if that is unknown. `complete`: of its text.

    `transcription`: in a live conversation, how long the transcript took, which is a part of the first stage.
    """

    stages: tuple[Stage, ...]
    silence: float | None
    complete: float
    transcription: float | None = None

    @property
    def seconds(self) -> float:
        """The end of what is drawn."""
        return max([self.complete, *(stage.starts_at + stage.seconds for stage in self.stages)])


def waterfall_of(
    heard: Sequence[Document],
    replies: Sequence[Document],
    requested: Sequence[Document],
    audio: Sequence[Document],
    played: Sequence[Document] = (),
) -> Waterfall | None:
    """Returns the waterfall of the events of one turn; None without an utterance or a reply, as for a greeting."""
    if not heard or not replies:
        return None
    live = _live_parts(heard[0]["data"], played)
    reply = replies[0]["data"]
    complete = float(reply["latency_seconds"])
    first_sentence = live.get("sentence")
    if first_sentence is None:
        first = min(requested, key=lambda event: int(event["data"]["sentence"]), default=None)
        first_sentence = _seconds(heard[0], first) if first else complete
        first_token = min(float(reply.get("first_token_seconds") or complete), complete)
    else:
        first_token = min(float(reply.get("first_token_seconds") or first_sentence), first_sentence)
    parts = {
        "endpoint": live.get("endpoint", 0.0),
        "log": live.get("log", 0.0),
        "model": first_token,
        "sentence": max(first_token, first_sentence) - first_token,
        "voice": live.get("voice", float(audio[0]["data"].get("first_byte_seconds") or 0.0) if audio else 0.0),
        "playout": live.get("playout", 0.0),
    }
    stages, starts_at = [], 0.0
    for name, seconds in parts.items():
        stages.append(Stage(name, starts_at, seconds))
        starts_at += seconds
    return Waterfall(
        tuple(stage for stage in stages if stage.seconds > 0),
        silence=starts_at if audio or "playout" in live else None,
        complete=parts["endpoint"] + parts["log"] + complete,
        transcription=heard[0]["data"].get("transcription_seconds"),
    )


def _live_parts(heard: Document, played: Sequence[Document]) -> dict[str, float]:
    """Returns the stages of a live turn that voice measured; those that it did not measure are left out.

    A reply whose stream ended has an event for each stream; the first one with a sound of it counts.
    """
    measured: list[Document] = [event["data"].get("latencies") or {} for event in played]
    latencies = next((one for one in measured if one.get("playout_seconds") is not None), next(iter(measured), {}))
    endpoint = latencies.get("endpoint_seconds")
    parts = {
        "endpoint": heard.get("endpoint_seconds") if endpoint is None else endpoint,
        "log": latencies.get("log_seconds"),
        "sentence": latencies.get("first_sentence_seconds"),
        "voice": latencies.get("synthesis_seconds"),
        "playout": latencies.get("playout_seconds"),
    }
    return {name: float(seconds) for name, seconds in parts.items() if seconds is not None}


def scale_of(waterfalls: Sequence[Waterfall | None]) -> float:
    """Returns the units of the drawing for one second, the same for all turns of a call."""
    longest = max((one.seconds for one in waterfalls if one), default=0.0)
    return WIDTH / max(longest, MIN_SCALE_SECONDS)


def _seconds(earlier: Document, later: Document) -> float:
    return (datetime.fromisoformat(later["time"]) - datetime.fromisoformat(earlier["time"])).total_seconds()
