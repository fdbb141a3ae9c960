"""Turn-taking: the decision for every situation of a call and every occurrence on its line."""

from dataclasses import replace
from itertools import product
from uuid import UUID

import pytest

from contracts.vocabulary import FINAL_STATUSES, LIVE_STATUSES, CallStatus
from edge.domain.decisions import ClaimTurn, Decision, LateOptOut, OptOut, ReadRemainder, RefuseText
from edge.domain.dialogue import decide
from edge.domain.dialogue_state import Dialogue
from edge.domain.occurrences import Answered, Occurrence, RemainderReported, TextReceived, UtteranceReceived
from telephony.instructions import HangUp, Listen, PlayGreeting, PlayTurn, RestartMessage, SpeakText, Utterance

CALL = UUID("5f0c9d5e-7d0a-5c43-9a43-6f0f6d1f7c11")
WORDS = Utterance("hello", 0.9, "id-1")
SILENCE = Utterance("", None, "id-2")
TALKING = Dialogue(CALL, language="es", attempt=2, status=CallStatus.IN_PROGRESS, is_line_open=True, last_turn=3)

SITUATIONS: dict[str, Dialogue] = {
    "talking": TALKING,
    "ringing": replace(TALKING, status=CallStatus.RINGING, last_turn=0),
    "hang-up requested or call over": replace(TALKING, is_line_open=False),
    "attempt is over": replace(TALKING, attempt=3, last_turn=0),
    "conversation ended": replace(TALKING, has_ended=True),
    "utterance already in the log": replace(TALKING, last_turn=5, claimed_turn=4),
    "utterance in the log, conversation ended": replace(TALKING, last_turn=5, claimed_turn=4, has_ended=True),
    "turn claimed by another utterance": replace(TALKING, last_turn=4),
    "audio failed": replace(TALKING, has_failed_audio=True),
    "audio failed, nothing unplayed": replace(TALKING, has_failed_audio=True, remainder=""),
    "audio failed, remainder read": replace(TALKING, has_failed_audio=True, remainder="Bye."),
    "remainder read, conversation ended": replace(TALKING, has_failed_audio=True, remainder="Bye.", has_ended=True),
    "nothing unplayed, conversation ended": replace(TALKING, has_failed_audio=True, remainder="", has_ended=True),
    "only the reported remainder read": replace(TALKING, remainder="Bye."),
    "only the reported remainder read, empty": replace(TALKING, remainder=""),
}
OCCURRENCES: dict[str, Occurrence] = {
    "answered": Answered(2),
    "words": UtteranceReceived(2, 4, WORDS, is_after_spoken_text=False),
    "silence": UtteranceReceived(2, 4, SILENCE, is_after_spoken_text=False),
    "words after speech": UtteranceReceived(2, 4, WORDS, is_after_spoken_text=True),
    "silence after speech": UtteranceReceived(2, 4, SILENCE, is_after_spoken_text=True),
    "remainder from 0": RemainderReported(2, 3, 0),
    "remainder from 1": RemainderReported(2, 3, 1),
    "text": TextReceived(WORDS),
}

GREETING = PlayGreeting(CALL, 2, "es")
HANG_UP = HangUp()
REFUSE = RefuseText()
READ_GREETING, READ_REPLY = ReadRemainder(0), ReadRemainder(3)
READ_FROM_0, READ_FROM_1 = ReadRemainder(3, 0), ReadRemainder(3, 1)
LISTEN = Listen(CALL, 2, "es", 3)


def play(turn: int) -> PlayTurn:
    return PlayTurn(CALL, 2, "es", turn)


def speak(turn: int) -> SpeakText:
    return SpeakText(CALL, 2, "es", turn, "Bye.")


def claim(turn: int, utterance: Utterance = WORDS) -> ClaimTurn:
    return ClaimTurn(turn, utterance)


def silent(turn: int) -> ClaimTurn:
    return ClaimTurn(turn, SILENCE)


TABLE: dict[str, tuple[Decision, ...]] = {
    # answered, words, silence, words after speech, silence after speech, remainder from 0, remainder from 1, text
    "talking": (GREETING, claim(4), silent(4), claim(4), silent(4), READ_FROM_0, READ_FROM_1, claim(4)),
    "ringing": (GREETING, claim(4), silent(4), claim(4), silent(4), READ_FROM_0, READ_FROM_1, REFUSE),
    "hang-up requested or call over": (*[HANG_UP] * 7, REFUSE),
    "attempt is over": (*[HANG_UP] * 7, claim(1)),
    "conversation ended": (GREETING, *[HANG_UP] * 4, READ_FROM_0, READ_FROM_1, REFUSE),
    "utterance already in the log": (GREETING, *[play(4)] * 4, play(5), play(5), claim(6)),
    "utterance in the log, conversation ended": (GREETING, *[play(4)] * 4, play(5), play(5), REFUSE),
    "turn claimed by another utterance": (
        GREETING, claim(5), silent(5), claim(5), silent(5), play(4), play(4), claim(5),
    ),
    "audio failed": (
        READ_GREETING, claim(4), READ_REPLY, claim(4), silent(4), READ_FROM_0, READ_FROM_1, claim(4),
    ),
    "audio failed, nothing unplayed": (
        GREETING, claim(4), silent(4), claim(4), silent(4), play(3), LISTEN, claim(4),
    ),
    "audio failed, remainder read": (
        speak(0), claim(4), speak(3), claim(4), silent(4), speak(3), speak(3), claim(4),
    ),
    "remainder read, conversation ended": (
        speak(0), HANG_UP, speak(3), HANG_UP, HANG_UP, speak(3), speak(3), REFUSE,
    ),
    "nothing unplayed, conversation ended": (GREETING, *[HANG_UP] * 4, play(3), LISTEN, REFUSE),
    "only the reported remainder read": (
        GREETING, claim(4), silent(4), claim(4), silent(4), speak(3), speak(3), claim(4),
    ),
    "only the reported remainder read, empty": (
        GREETING, claim(4), silent(4), claim(4), silent(4), play(3), LISTEN, claim(4),
    ),
}  # fmt: skip


def test_the_table_covers_every_situation_and_occurrence() -> None:
    assert list(TABLE) == list(SITUATIONS)
    assert {len(row) for row in TABLE.values()} == {len(OCCURRENCES)}


@pytest.mark.parametrize(("situation", "occurrence"), list(product(SITUATIONS, OCCURRENCES)))
def test_every_occurrence_has_the_expected_decision_in_every_situation(situation: str, occurrence: str) -> None:
    expected = TABLE[situation][list(OCCURRENCES).index(occurrence)]

    assert decide(SITUATIONS[situation], OCCURRENCES[occurrence]) == expected


def every_dialogue() -> list[Dialogue]:
    """Returns every combination of fields that can change a decision."""
    statuses = [(status, True) for status in LIVE_STATUSES] + [(status, False) for status in CallStatus]
    combinations = product(statuses, (2, 3), (0, 3, 4, 5), (None, 4), (False, True), (False, True), (None, "", "Bye."))
    return [
        Dialogue(CALL, "es", attempt, status, is_open, last_turn, claimed, has_ended, has_failed_audio, remainder)
        for (status, is_open), attempt, last_turn, claimed, has_ended, has_failed_audio, remainder in combinations
    ]


@pytest.mark.parametrize("occurrence", list(OCCURRENCES.values()), ids=list(OCCURRENCES))
def test_the_laws_of_turn_taking_hold_for_every_dialogue(occurrence: Occurrence) -> None:
    for dialogue in every_dialogue():
        decision = decide(dialogue, occurrence)
        is_text = isinstance(occurrence, TextReceived)
        if not dialogue.is_line_open:
            assert decision == (REFUSE if is_text else HANG_UP)
        if isinstance(decision, ClaimTurn):
            assert decision.turn > dialogue.last_turn, "a turn is claimed once"
            assert dialogue.status not in FINAL_STATUSES
            assert not dialogue.has_ended, "the conversation has ended"
            assert dialogue.claimed_turn is None or is_text, "an utterance claims one turn"
        if isinstance(decision, ReadRemainder):
            assert dialogue.remainder is None, "the remainder is read once"
        if isinstance(decision, RefuseText):
            assert is_text


KEY = Utterance("", None, "id-3", "9")
PRESSED = UtteranceReceived(2, 4, KEY, is_after_spoken_text=False)


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_opt_out_key_opts_out_in_every_situation(name: str) -> None:
    dialogue = replace(SITUATIONS[name], opt_out_key="9")
    assert decide(dialogue, PRESSED) == OptOut(2, "9", "id-3")


@pytest.mark.parametrize("is_machine", [False, True])
def test_another_key_is_no_utterance(is_machine: bool) -> None:
    dialogue = replace(TALKING, opt_out_key="5", message="Hello." if is_machine else None)
    expected = RestartMessage(CALL, 2) if is_machine else replace(play(3), hears_keys=True)
    assert decide(dialogue, PRESSED) == expected
    assert decide(replace(TALKING, has_ended=True), PRESSED) == HANG_UP


OPT_OUT = Utterance("Stop calling me.", 0.9, "id-4")


@pytest.mark.parametrize(
    ("name", "turn"),
    [
        ("conversation ended", 4),
        ("remainder read, conversation ended", 4),
        ("hang-up requested or call over", 4),
        ("attempt is over", 4),
    ],
)
def test_an_opt_out_after_the_end_of_the_conversation_is_stored(name: str, turn: int) -> None:
    received = UtteranceReceived(2, 4, OPT_OUT, is_after_spoken_text=False)
    assert decide(SITUATIONS[name], received) == LateOptOut(2, turn, OPT_OUT)


def test_an_opt_out_during_the_conversation_claims_a_turn_and_hears_its_reply_again() -> None:
    received = UtteranceReceived(2, 4, OPT_OUT, is_after_spoken_text=False)
    assert decide(TALKING, received) == claim(4, OPT_OUT)
    assert decide(SITUATIONS["utterance in the log, conversation ended"], received) == play(4)


def test_a_late_opt_out_does_not_have_the_number_of_a_claimed_turn() -> None:
    received = UtteranceReceived(2, 4, OPT_OUT, is_after_spoken_text=False)
    assert decide(replace(TALKING, has_ended=True, last_turn=4), received) == LateOptOut(2, 5, OPT_OUT)
