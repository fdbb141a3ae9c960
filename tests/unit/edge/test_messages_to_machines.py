"""The message to a machine: when it is played, spoken, repeated or withdrawn."""

from dataclasses import replace
from uuid import UUID

import pytest

from contracts.vocabulary import CallStatus
from edge.domain.decisions import ClaimTurn, Decision, RefuseText
from edge.domain.dialogue import decide
from edge.domain.dialogue_state import Dialogue
from edge.domain.occurrences import MessageAwaited, Occurrence, TextReceived, UtteranceReceived
from telephony.instructions import HangUp, PlayMessage, PlayTurn, RestartMessage, SpeakMessage, Utterance

CALL = UUID("5f0c9d5e-7d0a-5c43-9a43-6f0f6d1f7c11")
TALKING = Dialogue(CALL, language="es", attempt=2, status=CallStatus.IN_PROGRESS, is_line_open=True, last_turn=1)
MACHINE = replace(TALKING, message="Hello.")
AFTER_BEEP = replace(MACHINE, is_after_beep=True)
FAILED = replace(AFTER_BEEP, has_failed_message=True)
PERSON, GREETING = Utterance("Hello? Yes?", 0.9, "id-1"), Utterance("Please leave a message.", 0.9, "id-2")
SILENCE = Utterance("", None, "id-3")
BEGIN = MessageAwaited(2, is_finished=False, is_after_spoken_text=False)
END = MessageAwaited(2, is_finished=True, is_after_spoken_text=False)
END_OF_SPEECH = MessageAwaited(2, is_finished=True, is_after_spoken_text=True)
RESTART = RestartMessage(CALL, 2)


def received(utterance: Utterance) -> UtteranceReceived:
    return UtteranceReceived(2, 2, utterance, is_after_spoken_text=False)


def played(*, is_interruptible: bool) -> PlayMessage:
    return PlayMessage(CALL, 2, "es", 1, 0, is_interruptible)


@pytest.mark.parametrize(
    ("dialogue", "occurrence", "decision"),
    [
        (AFTER_BEEP, BEGIN, played(is_interruptible=False)),
        (MACHINE, BEGIN, played(is_interruptible=True)),
        (AFTER_BEEP, END, HangUp()),
        (MACHINE, END, HangUp()),
        (FAILED, BEGIN, SpeakMessage(CALL, 2, "es", 1, "Hello.", 0, False)),
        (FAILED, END, SpeakMessage(CALL, 2, "es", 1, "Hello.", 0, False)),
        (FAILED, END_OF_SPEECH, HangUp()),
        (replace(AFTER_BEEP, is_line_open=False), BEGIN, HangUp()),
        (replace(AFTER_BEEP, attempt=3), BEGIN, HangUp()),
        (TALKING, BEGIN, PlayTurn(CALL, 2, "es", 1)),
        (TALKING, END, PlayTurn(CALL, 2, "es", 1)),
    ],
)
def test_what_the_network_plays_to_a_machine(dialogue: Dialogue, occurrence: Occurrence, decision: Decision) -> None:
    assert decide(dialogue, occurrence) == decision


@pytest.mark.parametrize(
    ("dialogue", "utterance", "decision"),
    [
        (MACHINE, PERSON, ClaimTurn(2, PERSON, is_of_person=True)),
        (MACHINE, GREETING, RESTART),
        (MACHINE, SILENCE, RESTART),
        (AFTER_BEEP, PERSON, RESTART),
        (replace(AFTER_BEEP, has_ended=True), GREETING, RESTART),
        (replace(MACHINE, has_ended=True), PERSON, HangUp()),
        (replace(MACHINE, claimed_turn=2), PERSON, ClaimTurn(2, PERSON, is_of_person=True)),
        (replace(MACHINE, claimed_turn=2), GREETING, PlayTurn(CALL, 2, "es", 2)),
        (TALKING, GREETING, ClaimTurn(2, GREETING)),
    ],
)
def test_what_the_callee_says_after_a_machine_verdict(
    dialogue: Dialogue, utterance: Utterance, decision: Decision
) -> None:
    assert decide(dialogue, received(utterance)) == decision


def test_no_text_is_sent_to_a_machine() -> None:
    assert decide(MACHINE, TextReceived(PERSON)) == RefuseText()
