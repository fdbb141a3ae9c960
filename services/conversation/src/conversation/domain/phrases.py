"""Stock phrases, spoken without a model. They are reused, so voice keeps their clips."""

from collections.abc import Mapping
from dataclasses import dataclass

from contracts import Language
from contracts.phrases import OPTED_OUT


@dataclass(frozen=True, slots=True)
class Phrases:
    """The phrases that every language needs."""

    language: str
    """The English name of the language, for the model's instructions."""
    fallback: str
    """The last fallback when no model answers."""
    goodbye: str
    """Spoken before hanging up if the model did not say goodbye."""
    opted_out: str
    """Spoken before hanging up to a person who wants no more calls."""


_PHRASES: Mapping[str, Phrases] = {
    "es": Phrases(
        language="Spanish",
        fallback="Lo siento, estoy experimentando problemas técnicos.",
        goodbye="Muchas gracias por su tiempo. Adiós.",
        opted_out=OPTED_OUT["es"],
    ),
    "en": Phrases(
        language="English",
        fallback="I'm sorry, I'm having technical problems.",
        goodbye="Thank you very much for your time. Goodbye.",
        opted_out=OPTED_OUT["en"],
    ),
}


def phrases_of(language: Language) -> Phrases:
    """Returns the phrases for a BCP 47 tag, by its primary language. The contracts allow no other languages."""
    return _PHRASES[language.split("-")[0]]
