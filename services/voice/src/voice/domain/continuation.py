"""Where a media stream continues: what the log has of the attempt, and what of it was heard (docs/live.md)."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts import (
    AudioReady,
    ConversationEnded,
    Event,
    MediaClosed,
    MediaClosedReason,
    SpeechHeard,
    SpeechInterrupted,
    SpeechPlayed,
)
from telephony.instructions import GREETING_TURN


@dataclass(frozen=True, slots=True)
class Continuation:
    """The state of an attempt's conversation when a stream begins."""

    turn: int = GREETING_TURN
    """The last turn that was claimed; its reply is the one that is owed, or was heard last."""
    heard_text: str = ""
    """The callee's words in it."""
    first_sentence: int | None = 0
    """The sentence of the reply from which it has to be played; None: nothing of it is owed."""
    has_ended: bool = False
    """Whether the conversation is over after this reply."""
    unclaimed_text: str | None = None
    """What the callee said on the stream before this one, and no turn has claimed; empty: nothing. None: not known."""


def continuation_of(events: Sequence[Event], attempt: int, generation: int) -> Continuation:
    """Folds the events of a call before the stream of this generation, in the order of the log.

    A reply that the callee interrupted is not owed: the callee had the word, and what was said then is lost. After a
    takeover, the sentence that was being heard is played again, whole. A process that died reported nothing: then all
    sentences are played again that are not reported as played. What the callee said is known if the stream right before
    this one was drained; while others were refused, the callee may have said more.
    """
    past, played, unclaimed_text = Continuation(), set[int](), None
    is_over = has_ended = False
    for event in events:
        match event:
            case SpeechHeard(attempt=one, turn=turn, text=text) if one == attempt and turn > past.turn:
                past, played, is_over = Continuation(turn, text), set(), False
            case AudioReady(attempt=one, turn=turn) if one == attempt and turn == past.turn:
                played.update(audio.sentence for audio in event.sentences)
            case SpeechPlayed(attempt=one, turn=turn, is_complete=True) if one == attempt and turn == past.turn:
                is_over = True
            case SpeechInterrupted(attempt=one, turn=turn) if one == attempt and turn == past.turn:
                is_over = True
            case ConversationEnded(attempt=one) if one == attempt:
                has_ended = True
            case MediaClosed(attempt=one, generation=before, reason=MediaClosedReason.DRAINED):
                if (one, before) == (attempt, generation - 1):
                    unclaimed_text = event.unclaimed_text
    first_sentence = next(number for number in range(len(played) + 1) if number not in played)
    is_over = is_over or (past.turn == GREETING_TURN and first_sentence > 0)
    return Continuation(past.turn, past.heard_text, None if is_over else first_sentence, has_ended, unclaimed_text)
