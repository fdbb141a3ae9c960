"""The conversation as the log tells it, what the model is told of it, and how it ends."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from contracts import (
    AudioRequested,
    Call,
    CallCreated,
    CallStatus,
    CallStatusChanged,
    ConversationEnded,
    Disposition,
    Event,
    HangupReason,
    ReplyGenerated,
    SpeechHeard,
    ToolCall,
)
from conversation.domain.ending import ending
from conversation.domain.messages import FromAgent, FromCallee, Instructions, ToolResult, ToolUse
from conversation.domain.phrases import phrases_of
from conversation.domain.prompt import SILENCE, messages
from conversation.domain.talk import Talk

CALL_ID = UUID("00000000-0000-5000-8000-000000000001")
NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)


def call(**changes: object) -> Call:
    fields: dict[str, object] = {
        "call_id": CALL_ID,
        "request_id": "r-1",
        "campaign_id": "reminders",
        "contact_id": "c-1",
        "phone_number": "+12125550123",
        "script_template": "Hola, {{name}}.\n\nRecuérdele su cita {con Marta}.",
        "variables": {"name": "Ana"},
        "language": "es-MX",
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
    return Call.model_validate({**fields, **changes})


def state(**changes: object) -> Event:
    return CallCreated(call=call(**changes), occurred_at=NOW)


def heard(turn: int, text: str, attempt: int = 1) -> Event:
    return SpeechHeard(call_id=CALL_ID, attempt=attempt, turn=turn, text=text, language="es-MX")


def sentence(turn: int, number: int, text: str, attempt: int = 1) -> Event:
    return AudioRequested(call_id=CALL_ID, attempt=attempt, turn=turn, sentence=number, text=text, language="es-MX")


def replied(turn: int, text: str, *tools: ToolCall, attempt: int = 1, fallback: bool = False) -> ReplyGenerated:
    return ReplyGenerated(
        call_id=CALL_ID,
        attempt=attempt,
        turn=turn,
        text=text,
        sentences=1,
        model="m",
        latency_seconds=1,
        is_fallback=fallback,
        tool_calls=tools,
    )


def talk(*events: Event, attempt: int = 1) -> Talk:
    found = Talk.of([state(), *events], attempt)
    assert found is not None
    return found


def ended(*events: Event) -> ConversationEnded:
    found = ending(talk(*events))
    assert found is not None
    return found


NOTE = ToolCall(name="note", arguments={"field": "hour", "value": "a las diez"})


def test_a_call_that_is_not_in_the_log_has_no_talk() -> None:
    assert Talk.of([heard(1, "¿Diga?")], 1) is None


def test_the_model_is_told_the_script_the_greeting_and_all_that_was_said() -> None:
    told = messages(
        talk(
            sentence(0, 0, "Hola, Ana.", attempt=0),
            heard(1, "Sí, a las diez"),
            sentence(1, 0, "Perfecto."),
            replied(1, "Perfecto.", NOTE),
            heard(2, "¿Dónde es?"),
        )
    )
    use = ToolUse("turn_1_0", "note", '{"field": "hour", "value": "a las diez"}')
    assert told[1:] == [
        FromAgent("Hola, Ana."),
        FromCallee("Sí, a las diez"),
        FromAgent("Perfecto.", (use,)),
        ToolResult("turn_1_0", "noted"),
        FromCallee("¿Dónde es?"),
    ]


def test_the_instructions_name_the_language_and_hold_the_script_with_its_variables() -> None:
    instructions = messages(talk(heard(1, "¿Diga?")))[0]
    assert isinstance(instructions, Instructions)
    assert "Language: Spanish (es-MX)" in instructions.text
    assert instructions.text.endswith("Hola, Ana.\n\nRecuérdele su cita {con Marta}.")


def test_the_greeting_of_the_script_stands_in_for_one_that_is_not_in_the_log() -> None:
    assert messages(talk(heard(1, "¿Diga?")))[1] == FromAgent("Hola, Ana.")


def test_a_silence_is_told_as_one() -> None:
    assert messages(talk(heard(1, " ")))[-1] == FromCallee(SILENCE)


def test_what_was_said_in_another_attempt_is_not_told() -> None:
    told = messages(talk(heard(1, "luego"), replied(1, "Vale."), heard(1, "¿Diga?", attempt=2), attempt=2))
    assert told[2:] == [FromCallee("¿Diga?")]


def test_sentences_of_a_turn_that_was_never_closed_are_told() -> None:
    told = messages(
        talk(heard(1, "¿Diga?"), sentence(1, 0, "Le llamo"), sentence(1, 1, "por su cita."), heard(2, "¿Sí?"))
    )
    assert told[3] == FromAgent("Le llamo por su cita.")


def test_a_turn_is_answered_without_knowing_what_was_heard_after_it() -> None:
    events = [heard(1, "uno"), heard(2, "dos")]
    assert messages(talk(*events).until(1))[-1] == FromCallee("uno")


def test_what_is_heard_twice_for_one_turn_counts_once() -> None:
    assert [one.heard for one in talk(heard(1, "uno"), heard(1, "otra")).exchanges] == ["uno"]


@pytest.mark.parametrize(
    ("changes", "is_on"),
    [
        ({}, True),
        ({"status": CallStatus.RINGING}, True),
        ({"status": CallStatus.PENDING}, False),
        ({"status": CallStatus.COMPLETED}, False),
        ({"hangup_reason": HangupReason.CANCELED}, False),
        ({"attempt": 2}, False),
    ],
)
def test_only_the_present_attempt_of_a_call_under_way_is_talked_with(changes: dict[str, object], is_on: bool) -> None:
    found = Talk.of([state(**changes)], 1)
    assert found is not None
    assert found.is_on is is_on


def test_the_newest_state_of_the_call_counts() -> None:
    over = call(status=CallStatus.COMPLETED)
    change = CallStatusChanged(
        call=over, occurred_at=NOW, previous=CallStatus.IN_PROGRESS, status=over.status, attempt=1
    )
    assert not talk(change).is_on


def test_a_talk_without_an_ending_goes_on() -> None:
    assert ending(talk(heard(1, "hola"), replied(1, "¿Vendrá?"))) is None
    assert ending(talk(heard(1, "hola"))) is None


def test_the_ending_has_the_outcome_the_notes_and_the_length_of_the_goodbye() -> None:
    hang_up = ToolCall(name="end_call", arguments={"disposition": "confirmed"})
    later = ToolCall(name="note", arguments={"field": "hour", "value": "a las once"})
    end = ended(heard(1, "Sí"), replied(1, "¿Hora?", NOTE), heard(2, "Once"), replied(2, "G" * 28, later, hang_up))
    assert (end.disposition, end.turn, end.attempt) == (Disposition.CONFIRMED, 2, 1)
    assert end.fields == {"hour": "a las once"}
    assert end.goodbye_seconds == 2
    assert "answered 2 times" in end.summary
    assert "Once" in end.summary


@pytest.mark.parametrize("arguments", [{"disposition": "delighted"}, {}, {"unreadable": "{"}])
def test_an_outcome_that_nobody_knows_ends_the_call_as_answered_and_says_so(arguments: dict[str, str]) -> None:
    end = ended(heard(1, "Sí"), replied(1, "Adiós.", ToolCall(name="end_call", arguments=arguments)))
    assert end.disposition is Disposition.ANSWERED
    assert f"unknown disposition: {arguments.get('disposition', 'none')}" in end.summary


def test_a_technical_failure_is_not_the_models_to_see() -> None:
    hang_up = ToolCall(name="end_call", arguments={"disposition": "technical_failure"})
    assert ended(heard(1, "Sí"), replied(1, "Adiós.", hang_up)).disposition is Disposition.ANSWERED


def test_two_silences_in_a_row_end_the_talk_and_two_apart_do_not() -> None:
    apart = [heard(1, ""), replied(1, "¿Hola?"), heard(2, "sí"), replied(2, "Bien."), heard(3, ""), replied(3, "¿Oye?")]
    assert ending(talk(*apart)) is None
    assert ended(*apart, heard(4, ""), replied(4, "Adiós.")).disposition is Disposition.UNRESPONSIVE


def test_two_failures_of_the_model_in_a_row_end_the_talk_and_two_apart_do_not() -> None:
    apart = [
        *(heard(1, "a"), replied(1, "Lo siento.", fallback=True)),
        *(heard(2, "b"), replied(2, "Bien.")),
        *(heard(3, "c"), replied(3, "Lo siento.", fallback=True)),
    ]
    assert ending(talk(*apart)) is None
    end = ended(*apart, heard(4, "d"), replied(4, "Lo siento.", fallback=True))
    assert end.disposition is Disposition.TECHNICAL_FAILURE


def test_the_last_resort_in_spanish_is_the_first_designs() -> None:
    assert phrases_of("es-MX").fallback == "Lo siento, estoy experimentando problemas técnicos."
