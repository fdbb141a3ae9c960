"""The dialogue of a call, as the events of the call have it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from chassis.event_log import StoredEvent
from contracts import AudioFailed, ConversationEnded, Event, SpeechHeard
from contracts.phrases import message_of
from contracts.vocabulary import MESSAGE_TURN, NO_OPT_OUT_KEY
from edge.application.calls import call_in
from edge.application.digits import digits_of
from edge.application.transfer_events import transfer_of
from edge.domain.dialogue_state import Dialogue
from edge.domain.occurrences import Occurrence, TransferReported, UtteranceReceived


@dataclass(frozen=True, slots=True)
class Loaded:
    """A dialogue, the decision that it was read from, and the sequence of the call's last `speech.heard` or 0."""

    dialogue: Dialogue
    newest: StoredEvent
    last_heard_sequence: int


def load_dialogue(newest: StoredEvent, facts: Sequence[StoredEvent], occurrence: Occurrence) -> Loaded:
    """Returns the dialogue of the call's last attempt."""
    call = call_in(newest)
    heard = [(stored, stored.event) for stored in facts if isinstance(stored.event, SpeechHeard)]
    ended_sequence = next((stored.sequence for stored in facts if _has_ended(stored.event, call.attempt)), None)
    dialogue = Dialogue(
        call_id=call.call_id,
        language=call.language,
        attempt=call.attempt,
        status=call.status,
        is_line_open=call.may_use_line(call.attempt),
        has_ended=call.disposition is not None or ended_sequence is not None,
        has_failed_audio=any(isinstance(stored.event, AudioFailed) for stored in facts),
        message=message_of(call) if call.voicemail_delivery else None,
        is_after_beep=call.is_after_beep,
        has_failed_message=any(_has_failed_message(stored.event, call.attempt) for stored in facts),
        opt_out_key=None if call.opt_out_key == NO_OPT_OUT_KEY else call.opt_out_key,
        mode=call.mode,
        voice=call.voice,
        is_transferring=call.is_transferring,
        transfer=transfer_of(facts, call.attempt),
    )
    for stored, event in heard:
        if event.attempt != call.attempt:
            continue
        dialogue = replace(dialogue, last_turn=event.turn, last_turn_sequence=stored.sequence)
        is_this = stored.envelope.id == _utterance_id(occurrence, dialogue)
        if is_this and (ended_sequence is None or stored.sequence < ended_sequence):  # a late opt-out claims no turn
            dialogue = replace(dialogue, claimed_turn=event.turn, claimed_turn_sequence=stored.sequence)
    digits, has_sent_digits = digits_of((stored.event for stored in facts), call.attempt, dialogue.last_turn)
    dialogue = replace(dialogue, digits=digits, has_sent_digits=has_sent_digits)
    return Loaded(dialogue, newest, heard[-1][0].sequence if heard else 0)


def _has_failed_message(event: Event, attempt: int) -> bool:
    return isinstance(event, AudioFailed) and (event.attempt, event.turn) == (attempt, MESSAGE_TURN)


def _has_ended(event: Event, attempt: int) -> bool:
    return isinstance(event, ConversationEnded) and event.attempt == attempt


def is_heard(stored: StoredEvent, sequence: int, attempt: int, turn: int) -> bool:
    """Returns whether this is the `speech.heard` of a turn, at this sequence."""
    event = stored.event
    return isinstance(event, SpeechHeard) and (stored.sequence, event.attempt, event.turn) == (sequence, attempt, turn)


def _utterance_id(occurrence: Occurrence, dialogue: Dialogue) -> str | None:
    """Returns the id of the `speech.heard` that an occurrence claims a turn with."""
    match occurrence:
        case UtteranceReceived(utterance=utterance):
            return utterance.event_id
        case TransferReported():
            return occurrence.event_id(dialogue.call_id)
        case _:
            return None
