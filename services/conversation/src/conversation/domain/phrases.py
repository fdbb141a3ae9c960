"""Stock phrases: what is said when there is no model to ask. They repeat, so that their clips are kept."""

from collections.abc import Mapping
from dataclasses import dataclass

from contracts import Language


@dataclass(frozen=True, slots=True)
class Phrases:
    """What every language must have."""

    language: str
    """Its name in English, for the model."""
    fallback: str
    """The last resort when the model fails."""
    goodbye: str
    """Before we hang up, when the model has said no goodbye of its own."""


_PHRASES: Mapping[str, Phrases] = {
    "es": Phrases(
        language="Spanish",
        fallback="Lo siento, estoy experimentando problemas técnicos.",
        goodbye="Muchas gracias por su tiempo. Adiós.",
    ),
    "en": Phrases(
        language="English",
        fallback="I'm sorry, I'm having technical problems.",
        goodbye="Thank you very much for your time. Goodbye.",
    ),
}


def phrases_of(language: Language) -> Phrases:
    """The phrases of a BCP 47 tag, by its primary language; contracts let no other language in."""
    return _PHRASES[language.split("-")[0]]
