"""Which answers may be given to somebody else."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from contracts import Call, CallStatus, Event, ReplyGenerated, SpeechHeard, ToolCall
from contracts.events.calls import CallCreated
from conversation.domain.questions import is_for_everybody, key_of
from conversation.domain.talk import Talk

CALL_ID = UUID("00000000-0000-5000-8000-000000000001")
NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)


def talk(*said: str, name: str = "Ana García", tools: tuple[ToolCall, ...] = (), template: str = "Recuerde.") -> Talk:
    """What was heard and answered in turn, the last heard not yet answered."""
    call = Call.model_validate(
        {
            "call_id": CALL_ID,
            "request_id": "r-1",
            "campaign_id": "reminders",
            "contact_id": "c-1",
            "phone_number": "+12125550123",
            "script_template": f"Hola, {{{{name}}}}.\n\n{template}",
            "variables": {"name": name, "day": "el lunes 3"},
            "language": "es",
            "metadata": {},
            "max_retries": 0,
            "retry_delay_seconds": 60,
            "call_timeout_seconds": 30,
            "max_call_seconds": 600,
            "created_at": NOW,
            "status": CallStatus.IN_PROGRESS,
            "attempt": 1,
            "status_changed_at": NOW,
        }
    )
    events: list[Event] = [CallCreated(call=call, occurred_at=NOW)]
    for number, text in enumerate(said):
        turn = number // 2 + 1
        if number % 2:
            events.append(
                ReplyGenerated(
                    call_id=CALL_ID,
                    attempt=1,
                    turn=turn,
                    text=text,
                    sentences=1,
                    model="m",
                    latency_seconds=1,
                    tool_calls=tools,
                )
            )
        else:
            events.append(SpeechHeard(call_id=CALL_ID, attempt=1, turn=turn, text=text, language="es"))
    found = Talk.of(events, 1)
    assert found is not None
    return found


def test_a_question_is_the_same_however_it_is_written_and_whoever_asks() -> None:
    assert key_of(talk("¿Quién es usted?"), "m") == key_of(talk("quien  ES usted", name="Luis"), "m") is not None


@pytest.mark.parametrize(
    ("other", "model"),
    [
        (talk("¿Quién es?"), "m"),
        (talk("¿Quién es usted?", template="Otra cosa."), "m"),
        (talk("¿Quién es usted?"), "n"),
        (talk("Hola", "¿Podrá venir?", "¿Quién es usted?"), "m"),
    ],
    ids=["question", "script", "model", "what was said before"],
)
def test_another_question_script_model_or_line_before_has_an_answer_of_its_own(other: Talk, model: str) -> None:
    assert key_of(other, model) not in (None, key_of(talk("¿Quién es usted?"), "m"))


def test_the_line_before_is_the_same_but_for_the_persons_own_words() -> None:
    one, other = talk("Hola", "¿Vendrá, Ana?", "Sí, claro"), talk("Hola", "¿Vendrá, Luis?", "sí claro", name="Luis")
    assert key_of(one, "m") == key_of(other, "m") is not None


@pytest.mark.parametrize("heard", ["", "  ", "¿Habla con Ana?", "¿GARCIA qué?", "A las 10", "¿El lunes?"])
def test_silence_a_name_a_day_and_a_number_are_one_persons(heard: str) -> None:
    assert key_of(talk(heard), "m") is None


def test_nothing_is_kept_once_the_person_has_told_something() -> None:
    noted = ToolCall(name="note", arguments={"field": "hour", "value": "a las diez"})
    one = talk("A las diez", "Bien.", "¿Quién es usted?", tools=(noted,))
    assert key_of(one, "m") is None
    assert not is_for_everybody(one, "Soy el asistente.")


@pytest.mark.parametrize(
    ("said", "general"),
    [
        ("Soy el asistente de la clínica.", True),
        ("Muy bien, Ana.", False),
        ("El LUNES, sí.", False),
        ("A las 3.", False),
    ],
)
def test_an_answer_with_the_persons_own_words_in_it_is_theirs_alone(said: str, general: bool) -> None:
    assert is_for_everybody(talk("¿Quién es usted?"), said) is general
