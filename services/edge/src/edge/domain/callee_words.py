"""What the words of a callee mean where no conversation is in progress: after its end, or after a machine was found."""

from contracts.opt_out_phrases import is_opt_out
from edge.domain.dialogue_state import Dialogue
from edge.domain.machine_words import is_of_voicemail
from edge.domain.occurrences import UtteranceReceived


def is_late_opt_out(dialogue: Dialogue, received: UtteranceReceived) -> bool:
    """Whether the callee opts out while no conversation is in progress: during the goodbye or after the hang-up."""
    is_over = dialogue.has_ended or not dialogue.is_line_open or received.attempt != dialogue.attempt
    return is_over and dialogue.claimed_turn is None and is_opt_out(received.utterance.text)


def is_person_after_machine(dialogue: Dialogue, transcript: str) -> bool:
    """Whether these words show that a person has answered, after a machine was found."""
    is_machine_possible = dialogue.message is not None and not dialogue.is_after_beep
    return is_machine_possible and bool(transcript) and not is_of_voicemail(transcript)
