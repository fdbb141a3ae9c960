"""Which answers may be reused for other callees."""

import pytest
from tests.builders.calls import a_call
from tests.builders.events import call_created
from tests.builders.turns import a_reply, an_utterance

from contracts import CallStatus, Event, ToolCall
from conversation.domain.answer_cache import cache_key, is_reusable
from conversation.domain.conversation import Conversation


def conversation(
    *texts: str, name: str = "Ana García", tools: tuple[ToolCall, ...] = (), template: str = "Recuerde."
) -> Conversation:
    """Returns a conversation of alternating utterances and replies; the last utterance has no reply yet."""
    call = a_call(
        CallStatus.IN_PROGRESS,
        script_template=f"Hola, {{{{name}}}}.\n\n{template}",
        variables={"name": name, "day": "el lunes 3"},
    )
    events: list[Event] = [call_created(call)]
    for number, text in enumerate(texts):
        turn = number // 2 + 1
        events.append(
            a_reply(call.call_id, turn, text, *tools) if number % 2 else an_utterance(call.call_id, turn, text)
        )
    result = Conversation.of(events, 1)
    assert result is not None
    return result


def test_case_accents_punctuation_and_the_callee_do_not_change_the_key() -> None:
    assert (
        cache_key(conversation("¿Quién es usted?"), "m")
        == cache_key(conversation("quien  ES usted", name="Luis"), "m")
        is not None
    )


def test_a_key_is_that_of_earlier_versions() -> None:
    key = "a2fb125af6e29416f9f994afcf96270bfb0d34e28759f29bf89e478f2996546e"

    assert cache_key(conversation("¿Quién es usted?"), "m") == key


@pytest.mark.parametrize(
    ("other", "model"),
    [
        (conversation("¿Quién es?"), "m"),
        (conversation("¿Quién es usted?", template="Otra cosa."), "m"),
        (conversation("¿Quién es usted?"), "n"),
        (conversation("Hola", "¿Podrá venir?", "¿Quién es usted?"), "m"),
    ],
    ids=["question", "script", "model", "previous reply"],
)
def test_another_question_script_model_or_previous_reply_has_another_key(other: Conversation, model: str) -> None:
    assert cache_key(other, model) not in (None, cache_key(conversation("¿Quién es usted?"), "m"))


def test_personal_words_in_the_previous_reply_do_not_change_the_key() -> None:
    one, other = (
        conversation("Hola", "¿Vendrá, Ana?", "Sí, claro"),
        conversation("Hola", "¿Vendrá, Luis?", "sí claro", name="Luis"),
    )
    assert cache_key(one, "m") == cache_key(other, "m") is not None


@pytest.mark.parametrize("utterance", ["", "  ", "¿Habla con Ana?", "¿GARCIA qué?", "A las 10", "¿El lunes?"])
def test_a_silence_a_name_a_day_or_a_number_has_no_key(utterance: str) -> None:
    assert cache_key(conversation(utterance), "m") is None


def test_after_a_note_no_answer_is_reusable() -> None:
    noted = ToolCall(name="note", arguments={"field": "hour", "value": "a las diez"})
    one = conversation("A las diez", "Bien.", "¿Quién es usted?", tools=(noted,))
    assert cache_key(one, "m") is None
    assert not is_reusable(one, "Soy el asistente.")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Soy el asistente de la clínica.", True),
        ("Muy bien, Ana.", False),
        ("El LUNES, sí.", False),
        ("A las 3.", False),
    ],
)
def test_an_answer_with_personal_words_is_not_reusable(answer: str, expected: bool) -> None:
    assert is_reusable(conversation("¿Quién es usted?"), answer) is expected
