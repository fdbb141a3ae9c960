"""What the callee hears who has to wait, by primary language."""

from collections.abc import Mapping

ONE_MOMENT: Mapping[str, str] = {"es": "Un momento, por favor.", "en": "One moment, please."}


def one_moment_phrase(language: str) -> str:
    """Returns the phrase of `ONE_MOMENT` for a BCP 47 tag. Requests allow no other languages."""
    return ONE_MOMENT[language.partition("-")[0]]
