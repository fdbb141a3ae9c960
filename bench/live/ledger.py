"""What the telephone network has recorded of the calls of a run: the turns, the interruptions, the gaps."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Entry = Mapping[str, Any]
"""A call of the simulator's ledger (`simulators.twilio.ledger.CallEntry`)."""
RELAY = "ConversationRelay"
MAX_RESPONSE_SECONDS = 8.0


@dataclass(frozen=True)
class Response:
    """One turn of a callee: `seconds` from its last voiced frame until the first audio of the reply arrived.

    `is_text`: from its words as a text until the first text of the reply, in a session of ConversationRelay.
    """

    call_sid: str
    turn: int
    seconds: float | None
    is_text: bool = False


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
        is_text = stream["kind"] == RELAY
        utterances = [sound for sound in stream["sounds"] if sound["kind"] == "utterance"]
        ends = [sound["start_seconds"] for sound in utterances[1:]] + [stream["seconds"] + 1]
        for sound, next_at in zip(utterances, ends, strict=False):  # without an utterance, one end remains
            over_at = sound["prompted_seconds"] if is_text else sound["start_seconds"] + sound["seconds"]
            seconds = None if over_at is None else _first_after(stream["arrivals"], over_at, next_at)
            found.append(Response(call["sid"], len(found) + 1, seconds, is_text))
    return found


def _first_after(arrivals: Sequence[float], over_at: float, next_at: float) -> float | None:
    """Returns the seconds from `over_at` until the first arrival before `next_at`."""
    until = min(next_at, over_at + MAX_RESPONSE_SECONDS)
    return next((one - over_at for one in arrivals if over_at <= one < until), None)


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
