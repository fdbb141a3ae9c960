"""Builds the events of a turn."""

from uuid import UUID

from contracts import AudioRequested, ReplyGenerated, SpeechHeard, SpeechInterrupted, ToolCall
from contracts.vocabulary import InterruptionReason


def an_utterance(call_id: UUID, turn: int, text: str, *, attempt: int = 1) -> SpeechHeard:
    """Returns the event that reports an utterance of the callee."""
    return SpeechHeard(call_id=call_id, attempt=attempt, turn=turn, text=text, language="es")


def a_sentence(call_id: UUID, turn: int, sentence: int, text: str, *, attempt: int = 1) -> AudioRequested:
    """Returns the event that requests the speech of one sentence."""
    return AudioRequested(call_id=call_id, attempt=attempt, turn=turn, sentence=sentence, text=text, language="es")


def a_reply(
    call_id: UUID, turn: int, text: str, *tools: ToolCall, attempt: int = 1, is_fallback: bool = False
) -> ReplyGenerated:
    """Returns the event that closes a turn with one sentence."""
    return ReplyGenerated(
        call_id=call_id,
        attempt=attempt,
        turn=turn,
        text=text,
        sentences=1,
        model="m",
        latency_seconds=1,
        is_fallback=is_fallback,
        tool_calls=tools,
    )


def an_interruption(call_id: UUID, turn: int, heard: str, *, sentence: int = 0, attempt: int = 1) -> SpeechInterrupted:
    """Returns the event that reports how much of a reply the callee heard."""
    return SpeechInterrupted(
        call_id=call_id,
        attempt=attempt,
        turn=turn,
        sentence=sentence,
        heard=heard,
        heard_seconds=1,
        reason=InterruptionReason.WORDS,
    )
