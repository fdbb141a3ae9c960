"""The greetings of voicemails are told from the words of people."""

import pytest

from edge.domain.machine_words import is_of_voicemail
from simulators.twilio.callee_phrases import ANSWERS, GOODBYES, LONG_ANSWERS, MACHINE_GREETING, OPENINGS

PEOPLE = [
    phrase
    for phrases in (OPENINGS, ANSWERS, LONG_ANSWERS, GOODBYES)
    for language in phrases.values()
    for phrase in language
]


@pytest.mark.parametrize(
    "transcript",
    [
        *MACHINE_GREETING.values(),
        "Hi, this is Ada. I can't come to the phone right now.",
        "You've reached Ada Lovelace",
        "PLEASE LEAVE A MESSAGE AFTER THE BEEP",
        "El teléfono al que llama está apagado o fuera de cobertura.",
        "En este momento no puedo atenderle, deje su mensaje tras la señal.",
    ],
)
def test_a_greeting_of_a_voicemail_is_recognized(transcript: str) -> None:
    assert is_of_voicemail(transcript)


@pytest.mark.parametrize("transcript", [*PEOPLE, "", "Good morning, Acme dental clinic, Sarah speaking."])
def test_words_of_a_person_are_not_taken_for_a_voicemail(transcript: str) -> None:
    assert not is_of_voicemail(transcript)
