"""The parts of a script: its greeting, and its fallback line for when no model answers."""

import pytest

from contracts.script import fallback_line, greeting, without_fallback

SCRIPT = "Hola, Ana.\n\nRecuérdele su cita.\n\nFallback: Le llamaremos\n más tarde.\n\nSea breve."


def test_the_fallback_line_is_a_paragraph_that_the_model_does_not_get() -> None:
    assert fallback_line(SCRIPT) == "Le llamaremos más tarde."
    assert without_fallback(SCRIPT) == "Hola, Ana.\n\nRecuérdele su cita.\n\nSea breve."
    assert greeting(without_fallback(SCRIPT)) == "Hola, Ana."


@pytest.mark.parametrize("mark", ["fallback:", "  FALLBACK:", "Fallback:\n"])
def test_the_mark_of_the_fallback_line_is_case_insensitive(mark: str) -> None:
    assert fallback_line(f"Hola.\n\n{mark} Hasta luego.") == "Hasta luego."


@pytest.mark.parametrize(
    "script", ["Hola.", "Hola.\n\nDiga: Fallback: no.", "Fallback: Hola.", "Hola.\n\nFallback:\n\nOtra cosa."]
)
def test_a_script_without_a_marked_paragraph_has_no_fallback_line(script: str) -> None:
    assert fallback_line(script) is None
