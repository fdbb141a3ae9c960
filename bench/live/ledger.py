"""What the telephone network has recorded of the calls of a run: the turns, the interruptions, the gaps."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Entry = Mapping[str, Any]
"""A call of the simulator's ledger (`simulators.twilio.ledger.CallEntry`)."""
MAX_RESPONSE_SECONDS = 8.0


@dataclass(frozen=True)
class Response:
    """One turn of a callee: `seconds` from its last voiced frame until the first audio of the reply arrived."""

    call_sid: str
    turn: int
    seconds: float | None


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
    """Returns the turns of a call in order.

    A turn has no response if nothing arrived before the callee's next utterance, or if the stream ended before.
    """
    found: list[Response] = []
    for stream in call["streams"]:
        utterances = [sound for sound in stream["sounds"] if sound["kind"] == "utterance"]
        ends = [sound["start_seconds"] for sound in utterances[1:]] + [stream["seconds"] + 1]
        for sound, next_at in zip(utterances, ends, strict=False):  # without an utterance, one end remains
            over_at = sound["start_seconds"] + sound["seconds"]
            after = (one for one in stream["arrivals"] if over_at <= one < min(next_at, over_at + MAX_RESPONSE_SECONDS))
            first = next(after, None)
            seconds = None if first is None else first - over_at
            found.append(Response(call["sid"], len(found) + 1, seconds))
    return found


def stops(calls: Sequence[Entry]) -> list[Stop]:
    """Returns how fast the agent became silent for each utterance over it."""
    sounds = [sound for stream in streams(calls) for sound in stream["sounds"]]
    over = [one for one in sounds if one["kind"] == "utterance" and one["is_over_agent"]]
    return [Stop(one["seconds_to_clear"], one["seconds_to_silence"]) for one in over]


def gaps(calls: Sequence[Entry]) -> tuple[list[float], list[float]]:
    """Returns the seconds between the streams of a call, and those between the last sound and the next."""
    later = [stream for call in calls for stream in call["streams"][1:]]
    to_stream = [one["gap_seconds"] for one in later if one["gap_seconds"] is not None]
    to_sound = [one["silence_gap_seconds"] for one in later if one["silence_gap_seconds"] is not None]
    return to_stream, to_sound


def failures(calls: Sequence[Entry], turns: int, expected_errors: Collection[int] = ()) -> list[str]:
    """Returns why calls are failures: too few turns with a reply, or an error of the network. One text a call."""
    return [text for call in calls if (text := _failure(call, turns, expected_errors)) is not None]


def _failure(call: Entry, turns: int, expected_errors: Collection[int]) -> str | None:
    if errors := [error for error in call["errors"] if error["code"] not in expected_errors]:
        error = errors[0]
        return f"{call['to']}: error {error['code']}, {error['reason']}"
    answered = [one for one in responses(call) if one.seconds is not None]
    if call["status"] != "completed" or len(answered) < turns:
        return f"{call['to']}: {call['status']}, {len(answered)} of {turns} turns have a reply"
    return None


def minutes(calls: Sequence[Entry]) -> float:
    """Returns the length of all media streams together."""
    return sum(float(stream["seconds"]) for stream in streams(calls)) / 60


def underruns(calls: Sequence[Entry]) -> int:
    """Returns how often a reply paused because its next audio was late."""
    return sum(int(stream["underruns"]) for stream in streams(calls))


def late_seconds(calls: Sequence[Entry]) -> float:
    """Returns the time by which the simulator itself was late. Figures of such a run are too large."""
    return sum(float(stream["late_seconds"]) for stream in streams(calls))
