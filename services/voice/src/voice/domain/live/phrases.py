"""Phrases that a live conversation plays without being asked, by primary language. They are in no history."""

from collections.abc import Mapping

from contracts.wait_phrases import ONE_MOMENT

FILLERS = ONE_MOMENT
"""Played when a reply takes long."""
REPETITIONS: Mapping[str, str] = {"es": "¿Perdón? ¿Puede repetirlo?", "en": "Sorry? Could you say that again?"}
"""Played when a stream continues a conversation in which the callee has the word: what was said meanwhile is lost."""


def phrase(phrases: Mapping[str, str], language: str) -> str:
    """Returns the phrase for a BCP 47 tag. Requests allow no other languages."""
    return phrases[language.partition("-")[0]]
