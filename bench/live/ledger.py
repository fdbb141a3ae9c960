"""What the telephone network has recorded of the calls of a run: the turns, the interruptions, the gaps."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Entry = Mapping[str, Any]
"""A call of the simulator's ledger (`simulators.twilio.ledger.CallEntry`)."""
RELAY = "ConversationRelay"
MAX_RESPONSE_SECONDS = 8.0
_SPEAKING_SECONDS = 0.5


@dataclass(frozen=True)
class Response:
    """One turn of a callee: `seconds` from its last voiced frame until the first audio of the reply arrived.

    `is_text`: from its words as a text until the first text of the reply, in a session of ConversationRelay.
    """

    call_sid: str
    turn: int
    seconds: float | None
    is_text: bool = False
    is_on_next_stream: bool = False
    """Whether the stream of the utterance had ended when the reply came."""


@dataclass(frozen=True)
class Stop:
    """One voice over the agent: seconds from its first voiced frame to `clear`, and to silence at the callee."""

    to_clear: float | None
    to_silence: float | None


def streams(calls: Sequence[Entry]) -> Iterator[Entry]:
    """Yields the media streams of all calls."""
    for call in calls:
        yield from call["streams"]


def responses(call: Entry) -> list[Response]:
    """Returns the turns of a call in order, through all its streams: a reply may come on the stream after an utterance.

    A turn has no response if nothing arrived before the callee's next utterance, or within `MAX_RESPONSE_SECONDS`.
    """
    spoken, arrivals, offset = list[_Utterance](), list[tuple[float, int]](), 0.0
    for number, stream in enumerate(call["streams"]):
        offset += stream["gap_seconds"] or 0.0
        utterances = [sound for sound in stream["sounds"] if sound["kind"] == "utterance"]
        spoken += [_Utterance.of(stream, number, offset, sound) for sound in utterances]
        arrivals += [(offset + one, number) for one in stream["arrivals"]]
        offset += stream["seconds"]
    found: list[Response] = []
    for turn, one in enumerate(spoken, 1):
        next_at = spoken[turn].begins_at if turn < len(spoken) else math.inf
        until = min(next_at, one.over_at + MAX_RESPONSE_SECONDS)
        first = next(((at, stream) for at, stream in arrivals if one.over_at <= at < until), None)
        seconds = None if first is None else first[0] - one.over_at
        is_on_next_stream = first is not None and first[1] > one.stream
        found.append(Response(call["sid"], turn, seconds, one.is_text, is_on_next_stream))
    return found


@dataclass(frozen=True)
class _Utterance:
    """An utterance in the time of the whole call; one that lasts longer than its stream goes on with the next one.

    `over_at` is infinite if the network did not report it as text.
    """

    stream: int
    begins_at: float
    over_at: float
    is_text: bool

    @classmethod
    def of(cls, stream: Entry, number: int, offset_seconds: float, sound: Entry) -> "_Utterance":
        begins_at, is_text = offset_seconds + sound["start_seconds"], stream["kind"] == RELAY
        if not is_text:
            return cls(number, begins_at, begins_at + sound["seconds"], is_text)
        prompted = sound["prompted_seconds"]
        return cls(number, begins_at, math.inf if prompted is None else offset_seconds + prompted, is_text)


def spoken_seconds(call: Entry) -> float:
    """Returns the length of all utterances of a callee."""
    sounds = [sound for stream in call["streams"] for sound in stream["sounds"]]
    return sum(float(sound["seconds"]) for sound in sounds if sound["kind"] == "utterance")


def stops(calls: Sequence[Entry]) -> list[Stop]:
    """Returns how fast the agent became silent for each utterance over it."""
    sounds = [sound for stream in streams(calls) for sound in stream["sounds"]]
    over = [one for one in sounds if one["kind"] == "utterance" and one["is_over_agent"]]
    return [Stop(one["seconds_to_clear"], one["seconds_to_silence"]) for one in over]


def gaps(calls: Sequence[Entry]) -> tuple[list[float], list[float]]:
    """Returns the seconds between the streams of a call, and those for which the agent fell silent in its reply.

    An agent whose last sound was over half a second before the end of its stream had nothing to say then, nor had one
    that the callee answered on the next stream.
    """
    pairs = [pair for call in calls for pair in pairwise(call["streams"])]
    to_stream = [one["gap_seconds"] for _, one in pairs if one["gap_seconds"] is not None]
    to_sound = [
        one["silence_gap_seconds"]
        for before, one in pairs
        if one["silence_gap_seconds"] is not None and _was_speaking(before) and not _speaks_first(one)
    ]
    return to_stream, to_sound


def _speaks_first(stream: Entry) -> bool:
    """Returns whether the callee spoke before the agent on this stream: the reply before it had ended."""
    heard_at = stream["heard"][0][0] if stream["heard"] else math.inf
    return any(sound["start_seconds"] < heard_at for sound in stream["sounds"] if sound["kind"] == "utterance")


def _was_speaking(stream: Entry) -> bool:
    """Returns whether the callee heard the agent when its stream ended."""
    return bool(stream["heard"]) and stream["heard"][-1][1] > stream["seconds"] - _SPEAKING_SECONDS


def failures(calls: Sequence[Entry], turns: int, expected_errors: Collection[int] = ()) -> dict[str, str]:
    """Returns why calls are failures, by number: too few turns with a reply, or an error of the network."""
    found = ((call["to"], _failure(call, turns, expected_errors)) for call in calls)
    return {number: text for number, text in found if text is not None}


def _failure(call: Entry, turns: int, expected_errors: Collection[int]) -> str | None:
    if errors := [error for error in call["errors"] if error["code"] not in expected_errors]:
        error = errors[0]
        return f"error {error['code']}, {error['reason']}{_ends(call)}"
    answered = [one for one in responses(call) if one.seconds is not None]
    if call["status"] != "completed" or len(answered) < turns:
        return f"{call['status']}, {len(answered)} of {turns} turns have a reply{_ends(call)}"
    return None


def _ends(call: Entry) -> str:
    """Returns how each stream ended, and whether the simulator stood still in it: then the machine was too slow."""
    found = ""
    for one in call["streams"]:
        late = f", {one['late_seconds']:.1f} s of them late" if one["late_seconds"] else ""
        found += f"; stream of {one['seconds']:.0f} s{late}, ended by {one['closed_by']}"
    return found


def minutes(calls: Sequence[Entry]) -> float:
    """Returns the length of all media streams together."""
    return sum(float(stream["seconds"]) for stream in streams(calls)) / 60


def underruns(calls: Sequence[Entry]) -> int:
    """Returns how often a reply paused because its next audio was late."""
    return sum(int(stream["underruns"]) for stream in streams(calls))


def late_seconds(calls: Sequence[Entry]) -> float:
    """Returns the time by which the simulator itself was late. Figures of such a run are too large."""
    return sum(float(stream["late_seconds"]) for stream in streams(calls))
