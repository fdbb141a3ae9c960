"""A script: its greeting, and its own line for when no model answers."""

import pytest

from contracts.script import fallback_line, greeting, without_fallback

SCRIPT = "Hola, Ana.\n\nRecuérdele su cita.\n\nFallback: Le llamaremos\n más tarde.\n\nSea breve."


def test_the_line_is_a_paragraph_of_its_own_and_the_model_is_not_told_it() -> None:
    assert fallback_line(SCRIPT) == "Le llamaremos más tarde."
    assert without_fallback(SCRIPT) == "Hola, Ana.\n\nRecuérdele su cita.\n\nSea breve."
    assert greeting(without_fallback(SCRIPT)) == "Hola, Ana."


@pytest.mark.parametrize("mark", ["fallback:", "  FALLBACK:", "Fallback:\n"])
def test_the_mark_may_be_written_in_any_case(mark: str) -> None:
    assert fallback_line(f"Hola.\n\n{mark} Hasta luego.") == "Hasta luego."


@pytest.mark.parametrize(
    "script", ["Hola.", "Hola.\n\nDiga: Fallback: no.", "Fallback: Hola.", "Hola.\n\nFallback:\n\nOtra cosa."]
)
def test_a_script_without_such_a_paragraph_has_no_line(script: str) -> None:
    assert fallback_line(script) is None
