"""Fixed phrases that several services speak, by primary language."""

from collections.abc import Mapping

OPTED_OUT: Mapping[str, str] = {
    "es": "De acuerdo, no le volveremos a llamar. Adiós.",
    "en": "All right, we will not call you again. Goodbye.",
}
"""Spoken before hanging up to a person who wants no more calls."""


def opted_out_phrase(language: str) -> str:
    """Returns the phrase of `OPTED_OUT` for a BCP 47 tag. Requests allow no other languages."""
    return OPTED_OUT[language.split("-")[0]]
