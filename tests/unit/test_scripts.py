"""The parts of a script: its greeting, its fallback line for when no model answers, and the values of its variables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.script import (
    MAX_SCRIPT_BYTES,
    greeting,
    greeting_refusals,
    missing_variables,
    render_fallback_line,
    render_greeting,
    size_refusals,
    used_variables,
    without_fallback,
)

SCRIPT = "Hola, {{name}}.\n\nRecuérdele su cita.\n\nFallback: {{name}}, le llamaremos\n más tarde.\n\nSea breve."


def test_the_fallback_line_is_a_paragraph_that_the_model_does_not_get() -> None:
    assert render_fallback_line(SCRIPT, {"name": "Ana"}) == "Ana, le llamaremos más tarde."
    assert without_fallback(SCRIPT) == "Hola, {{name}}.\n\nRecuérdele su cita.\n\nSea breve."
    assert greeting(SCRIPT) == "Hola, {{name}}."
    assert render_greeting(SCRIPT, {"name": "Ana"}) == "Hola, Ana."


@pytest.mark.parametrize("mark", ["fallback:", "  FALLBACK:", "Fallback:\n"])
def test_the_mark_of_the_fallback_line_is_case_insensitive(mark: str) -> None:
    assert render_fallback_line(f"Hola.\n\n{mark} Hasta luego.", {}) == "Hasta luego."


@pytest.mark.parametrize(
    "script", ["Hola.", "Hola.\n\nDiga: Fallback: no.", "Fallback: Hola.", "Hola.\n\nFallback:\n\nOtra cosa."]
)
def test_a_script_without_a_marked_paragraph_has_no_fallback_line(script: str) -> None:
    assert render_fallback_line(script, {}) is None


@given(st.text(max_size=40))
def test_no_value_ends_the_greeting_or_begins_a_paragraph(value: str) -> None:
    template = "Hola, {{x}}, buenos días.\n\n{{x}}\n\nSea breve."

    spoken = render_greeting(template, {"x": value})
    assert spoken.startswith("Hola, ")
    assert spoken.endswith(", buenos días.")
    assert render_fallback_line(template, {"x": "Fallback: " + value}) is None


def test_the_purpose_is_never_spoken_as_the_greeting() -> None:
    template = "{{x}}\n\nTell only the debtor."

    assert render_greeting(template, {"x": " "}) == ""
    assert greeting_refusals(template, {"x": "Hola."}) == []
    assert greeting_refusals(template, {"x": " "}) == [
        "script_template has no text in its first paragraph: that is the greeting"
    ]


def test_a_missing_variable_is_named_once() -> None:
    assert missing_variables("{{a}} {{b}} {{a}}" * 1000, {"b": ""}) == ["a"]


def test_the_variables_that_a_script_uses_are_given_to_the_model() -> None:
    variables = {"other": "1", "name": "Ana", "day": "lunes"}

    assert used_variables("{{ day }} {{name}} {{day}}", variables) == {"day": "lunes", "name": "Ana"}


def test_the_size_of_a_script_is_that_of_its_rendered_bytes_and_is_limited() -> None:
    value, template = "ñ" * 100, "{{x}}" * 163
    room = MAX_SCRIPT_BYTES - 163 * 200

    assert size_refusals(template + "a" * room, {"x": value}) == []
    assert size_refusals(template + "a" * (room + 1), {"x": value}) == [
        "script_template: 32769 bytes with its variables; at most 32768 are accepted: "
        "shorten it, or use its placeholders fewer times"
    ]


def test_a_script_that_would_be_eight_megabytes_is_refused_without_rendering_it() -> None:
    [reason] = size_refusals("{{a}}" * 4_000, {"a": "v" * 2_000})

    assert reason.startswith("script_template: 8000000 bytes")
