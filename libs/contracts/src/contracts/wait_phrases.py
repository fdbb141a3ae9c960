"""What the callee hears who has to wait, by primary language."""

from collections.abc import Mapping

ONE_MOMENT: Mapping[str, str] = {"es": "Un momento, por favor.", "en": "One moment, please."}
UNANSWERED: Mapping[str, str] = {
    "es": "Lo siento, no puedo continuar con la llamada. Adiós.",
    "en": "I am sorry, I cannot go on with this call. Goodbye.",
}
"""Spoken before hanging up to a person who has waited in vain: no conversation service works."""


def one_moment_phrase(language: str) -> str:
    """Returns the phrase of `ONE_MOMENT` for a BCP 47 tag. Requests allow no other languages."""
    return ONE_MOMENT[language.partition("-")[0]]


def unanswered_phrase(language: str) -> str:
    """Returns the phrase of `UNANSWERED` for a BCP 47 tag. Requests allow no other languages."""
    return UNANSWERED[language.partition("-")[0]]
