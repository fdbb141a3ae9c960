"""Call-screening assistants are recognized by their words, in the first utterances only."""

from functools import partial

import pytest
from tests.builders.calls import a_call
from tests.builders.events import call_created
from tests.builders.turns import a_reply, an_utterance

from contracts import CallStatus, Event
from conversation.domain.conversation import Conversation
from conversation.domain.screening import MAX_SCREENED_TURNS, is_screening_prompt
from edge.domain.machine_words import is_of_voicemail
from simulators.twilio.callee_phrases import (
    ANSWERS,
    GOODBYES,
    LONG_ANSWERS,
    MACHINE_GREETING,
    OPENINGS,
    SCREENING_PROMPT,
)

CALL = a_call(CallStatus.IN_PROGRESS)
PROMPT = SCREENING_PROMPT["es"]
PROMPTS = [
    *SCREENING_PROMPT.values(),
    "Hi. The person you're calling is using a screening service from Google. "
    "Go ahead and say your name and why you're calling.",
    "Please state your name and the reason for your call.",
    "Before I try to connect you, can I ask what this is about? Please tell me the reason for your call.",
    "Diga su nombre y el motivo de la llamada.",
    "Hola. Indique su nombre y el motivo.",
    "La persona a la que llama usa un servicio de filtrado de llamadas.",
]
PEOPLE = [
    phrase
    for phrases in (OPENINGS, ANSWERS, LONG_ANSWERS, GOODBYES)
    for language in phrases.values()
    for phrase in language
]

utterance, reply = partial(an_utterance, CALL.call_id), partial(a_reply, CALL.call_id)


def prompts_in(*events: Event) -> int:
    conversation = Conversation.of([call_created(CALL), *events], 1)
    assert conversation is not None
    return conversation.screening_prompts


@pytest.mark.parametrize("transcript", PROMPTS)
def test_a_prompt_of_an_assistant_is_recognized_and_is_not_that_of_a_voicemail(transcript: str) -> None:
    assert is_screening_prompt(transcript)
    assert not is_of_voicemail(transcript)


@pytest.mark.parametrize(
    "transcript", [*PEOPLE, *MACHINE_GREETING.values(), "", "Who is calling, please?", "¿De parte de quién?"]
)
def test_words_of_people_and_voicemails_are_not_taken_for_an_assistant(transcript: str) -> None:
    assert not is_screening_prompt(transcript)


def test_the_prompts_of_an_assistant_are_counted() -> None:
    assert prompts_in(utterance(1, PROMPT)) == 1
    assert prompts_in(utterance(1, PROMPT), reply(1, "Hola."), utterance(2, PROMPT)) == 2
    assert prompts_in(utterance(1, PROMPT), reply(1, "Hola."), utterance(2, "¿Sí?")) == 0


def test_an_assistant_speaks_first() -> None:
    assert prompts_in(utterance(MAX_SCREENED_TURNS, PROMPT)) == 1
    assert prompts_in(utterance(MAX_SCREENED_TURNS + 1, PROMPT)) == 0
