"""Builds the events of one media stream."""

from contracts import (
    AudioRequested,
    Envelope,
    InterruptionReason,
    KeysPressed,
    MediaClosed,
    MediaClosedReason,
    SpeechHeard,
    SpeechInterrupted,
)
from contracts.call import Call
from voice.application.live.live_calls import StreamId
from voice.application.speech.synthesis import Sentence
from voice.domain.live.playout import FILLER, Heard
from voice.domain.live.spoken_turn import TurnOver


def heard(stream: StreamId, number: int, text: str, turn: TurnOver | None, language: str) -> SpeechHeard:
    """Returns the utterance that claims the turn with this number. Without a `turn`, it was not spoken."""
    return SpeechHeard(
        call_id=stream.call_id,
        attempt=stream.attempt,
        turn=number,
        text=text,
        language=language,
        segments=turn.segments if turn else None,
        spoken_seconds=_rounded(turn.spoken_seconds) if turn else None,
        endpoint_seconds=_rounded(turn.endpoint_seconds) if turn else None,
        transcription_seconds=_rounded(turn.transcription_seconds) if turn else None,
    )


def interrupted(stream: StreamId, heard: Heard, reason: InterruptionReason) -> SpeechInterrupted:
    """Returns the event about a reply that was not heard to its end."""
    return SpeechInterrupted(
        call_id=stream.call_id,
        attempt=stream.attempt,
        turn=heard.turn,
        sentence=heard.sentence,
        heard=heard.text,
        heard_seconds=round(heard.sentence_seconds, 3),
        reason=reason,
    )


def keys_pressed(stream: StreamId, turn: int, keys: str) -> KeysPressed:
    """Returns the event about keys that were pressed after a turn was claimed."""
    return KeysPressed(call_id=stream.call_id, attempt=stream.attempt, turn=turn, keys=keys)


def closed(
    stream: StreamId,
    reason: MediaClosedReason,
    seconds: float,
    frames: int,
    underruns: int,
    unclaimed_text: str | None,
) -> MediaClosed:
    """Returns the last event of a stream."""
    return MediaClosed(
        call_id=stream.call_id,
        attempt=stream.attempt,
        generation=stream.generation,
        reason=reason,
        seconds=round(seconds, 3),
        frames=frames,
        underruns=underruns,
        unclaimed_text=unclaimed_text,
    )


def stock_sentence(call: Call, attempt: int, turn: int, text: str, cause: Envelope) -> Sentence:
    """Returns a phrase that belongs to no reply, in the voice of the call. Its clip is shared by all calls."""
    request = AudioRequested(
        call_id=call.call_id,
        attempt=attempt,
        turn=turn,
        sentence=FILLER,
        text=text,
        language=call.language,
        voice=call.voice,
        is_reusable=True,
    )
    return Sentence(request, cause, 0)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
