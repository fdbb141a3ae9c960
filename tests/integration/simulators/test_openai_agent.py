"""The simulated agent: how it interprets utterances, what it answers, and when it ends the call."""

from collections.abc import Sequence

import pytest

from simulators.openai.agent import Turn, take_turn
from simulators.openai.requests import ChatMessage, Function, FunctionCall, ToolCall
from simulators.openai.utterance_meaning import Meaning, language_of, meaning_of

ENGLISH = "You are calling a patient about an appointment. Speak English (en-US)."
SPANISH = "Llamas a un paciente por su cita. Idioma: es-MX."
DISPOSITIONS = ["confirmed", "declined", "rescheduled", "wrong_number", "opt_out", "unresponsive", "answered"]
TOOLS = {
    "note": Function(name="note", parameters={"properties": {"field": {}, "value": {}}}),
    "end_call": Function(name="end_call", parameters={"properties": {"disposition": {"enum": DISPOSITIONS}}}),
}


def conversation(*utterances: str, system: str = ENGLISH) -> list[ChatMessage]:
    """Returns messages with these utterances of the callee, each after an utterance of the agent."""
    messages = [ChatMessage(role="system", content=system)]
    for utterance in utterances:
        messages += [ChatMessage(role="assistant", content="Well?"), ChatMessage(role="user", content=utterance)]
    return messages


def names(turn: Turn) -> list[str]:
    return [call.name for call in turn.tool_calls]


def disposition(turn: Turn) -> str:
    return next(str(call.arguments["disposition"]) for call in turn.tool_calls if call.name == "end_call")


def seeds_where(utterances: Sequence[str], has_text: bool) -> list[int]:
    """Returns the seeds for which the agent's answer has text (or not) beside its tool call."""
    messages = conversation(*utterances)
    return [seed for seed in range(20) if bool(take_turn(seed, messages, TOOLS).text) is has_text]


def test_a_user_message_with_a_name_is_no_utterance() -> None:
    values = ChatMessage(role="user", name="script_values", content='{"name": "Ana"}')
    system, *others = conversation("Yes, that is fine.")

    turn = take_turn(1, [system, values, *others], TOOLS)
    assert turn == take_turn(1, [system, *others], TOOLS)


@pytest.mark.parametrize(
    ("instructions", "language"),
    [
        ("Language: es", "es"),
        ("Speak Spanish to the customer.", "es"),
        ("Habla en español.", "es"),
        ("Eres una asistente que llama para confirmar una cita con el cliente.", "es"),
        ("Always reply in English, even if the script is in another language.", "en"),
        ("You are the clinic's assistant and call to confirm an appointment.", "en"),
        ("Eres cortés. Language: en-GB", "en"),
    ],
)
def test_the_language_is_the_one_that_the_instructions_name(instructions: str, language: str) -> None:
    assert language_of(instructions) == language


@pytest.mark.parametrize(
    ("utterance", "meaning"),
    [
        ("", Meaning.SILENCE),
        ("[silence]", Meaning.SILENCE),
        ("(nothing was heard)", Meaning.SILENCE),
        ("No se oyó nada.", Meaning.SILENCE),
        ("Sí, claro, allí estaré.", Meaning.YES),
        ("Yes, that works.", Meaning.YES),
        ("Yes, tomorrow at ten works for me.", Meaning.YES),
        ("No, I can't make it.", Meaning.NO),
        ("¿A las diez y media? Mejor por la tarde.", Meaning.TIME),
        ("Se equivoca de número.", Meaning.WRONG_NUMBER),
        ("No me interesa, gracias.", Meaning.REFUSAL),
        ("Muchas gracias, adiós.", Meaning.GOODBYE),
        ("Sí, ¿quién llama?", Meaning.QUESTION),
        ("Yes, speaking.", Meaning.OTHER),
        ("I was just having lunch.", Meaning.OTHER),
    ],
)
def test_the_meaning_of_an_utterance(utterance: str, meaning: Meaning) -> None:
    assert meaning_of(utterance) is meaning


def test_without_an_utterance_the_agent_opens_the_conversation() -> None:
    assert take_turn(1, conversation(system=SPANISH), TOOLS).text.startswith("Hola")


@pytest.mark.parametrize(("system", "mark"), [(ENGLISH, "?"), (SPANISH, "¿")])
def test_a_first_answer_is_followed_by_one_question_in_the_right_language(system: str, mark: str) -> None:
    turn = take_turn(1, conversation("Hmm, well.", system=system), TOOLS)
    assert turn.text.count(mark) == 1
    assert names(turn) == []


def test_a_survey_has_its_own_questions() -> None:
    survey = take_turn(1, conversation("Hmm.", system="A satisfaction survey, in English."), TOOLS)
    assert survey.text != take_turn(1, conversation("Hmm."), TOOLS).text


def test_a_fact_is_noted_with_or_without_text() -> None:
    for has_text in (True, False):
        seed = seeds_where(["Yes, I will come."], has_text)[0]
        calls = take_turn(seed, conversation("Yes, I will come."), TOOLS).tool_calls
        assert [(call.name, call.arguments) for call in calls] == [("note", {"field": "confirmed", "value": "yes"})]


def test_after_the_result_of_a_note_the_agent_speaks() -> None:
    messages = conversation("Yes, I will come.")
    seed = seeds_where(["Yes, I will come."], has_text=False)[0]
    call = ToolCall(id="call_1", function=FunctionCall(name="note", arguments="{}"))
    messages.append(ChatMessage(role="assistant", tool_calls=[call]))
    messages.append(ChatMessage(role="tool", tool_call_id="call_1", content="noted"))
    turn = take_turn(seed, messages, TOOLS)
    assert turn.text.count("?") == 1
    assert names(turn) == []


def test_a_question_is_answered_with_the_result_of_a_function_of_the_application() -> None:
    lookup = Function(
        name="free_slots",
        parameters={
            "properties": {"day": {"type": "string"}, "people": {"type": "integer"}, "kind": {"enum": ["a", "b"]}},
            "required": ["day", "people", "kind"],
        },
    )
    messages = conversation("What hours do you have?")
    turn = take_turn(1, messages, {**TOOLS, "free_slots": lookup})
    assert turn.text
    arguments = {"day": "What hours do you have?", "people": 0, "kind": "a"}
    assert [(call.name, call.arguments) for call in turn.tool_calls] == [("free_slots", arguments)]
    call = ToolCall(id="call_1", function=FunctionCall(name="free_slots", arguments="{}"))
    messages.append(ChatMessage(role="assistant", content=turn.text, tool_calls=[call]))
    messages.append(
        ChatMessage(role="tool", tool_call_id="call_1", content='{"slots": ["10:00", "11:30"], "more": null}')
    )
    answer = take_turn(1, messages, {**TOOLS, "free_slots": lookup})
    assert answer.text.endswith(": 10:00, 11:30.")
    assert names(answer) == []


def test_every_conversation_ends_after_two_to_four_answers() -> None:
    lengths = set()
    for seed in range(20):
        turns = (take_turn(seed, conversation(*["Hmm."] * number), TOOLS) for number in range(1, 9))
        lengths.add(next(number for number, turn in enumerate(turns, 1) if "end_call" in names(turn)))
    assert lengths == {2, 3, 4}


@pytest.mark.parametrize(
    ("utterances", "expected"),
    [
        (["Yes, sure.", "Bye."], "confirmed"),
        (["No, I can't.", "Goodbye."], "declined"),
        (["Next week is better.", "Bye."], "rescheduled"),
        (["Stop calling me."], "opt_out"),
        (["Wrong number."], "wrong_number"),
        (["", ""], "unresponsive"),
        (["Hmm.", "Bye."], "answered"),
    ],
)
def test_the_call_ends_with_the_disposition_of_the_utterances(utterances: list[str], expected: str) -> None:
    turn = take_turn(1, conversation(*utterances), TOOLS)
    assert disposition(turn) == expected
    assert "oodbye" in turn.text


def test_after_one_silence_the_agent_asks_again() -> None:
    turn = take_turn(1, conversation(""), TOOLS)
    assert turn.text.endswith("?")
    assert names(turn) == []


def test_silence_between_answers_does_not_end_the_call() -> None:
    assert names(take_turn(1, conversation("", "Hmm.", ""), TOOLS)) == []


def test_without_tools_the_agent_only_says_goodbye() -> None:
    turn = take_turn(1, conversation("Goodbye."), {})
    assert "oodbye" in turn.text
    assert names(turn) == []


def test_a_tool_call_has_every_argument_that_the_schema_requires() -> None:
    parameters = {
        "properties": {"disposition": {"type": "string"}, "summary": {"type": "string"}, "score": {"type": "integer"}},
        "required": ["disposition", "summary", "score"],
    }
    turn = take_turn(1, conversation("Stop calling."), {"end_call": Function(name="end_call", parameters=parameters)})
    assert turn.tool_calls[0].arguments["disposition"] == "refusal"
    assert set(turn.tool_calls[0].arguments) == {"disposition", "summary", "score"}
