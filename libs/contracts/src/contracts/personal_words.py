"""Words of a text that may be those of one person, because they are in the variables of the call."""

import re
import unicodedata
from collections.abc import Mapping

_MIN_PERSONAL_LENGTH = 3
"""Shorter words of the variables are too common to identify a person, unless they contain a digit."""


def has_personal_words(text: str, variables: Mapping[str, str]) -> bool:
    """Returns whether a text contains a word of the variables."""
    return not personal_words(variables).isdisjoint(words_of(text))


def personal_words(variables: Mapping[str, str]) -> set[str]:
    """Returns the words of the variables, in the form of `words_of`."""
    words = {word for value in variables.values() for word in words_of(value)}
    return {word for word in words if len(word) >= _MIN_PERSONAL_LENGTH or has_digit(word)}


def words_of(text: str) -> list[str]:
    """Returns the words of a text without case, accents and punctuation."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    without_accents = "".join(character for character in decomposed if not unicodedata.combining(character))
    return re.findall(r"[^\W_]+", without_accents)


def has_digit(word: str) -> bool:
    """Returns whether a word contains a digit."""
    return any(character.isdigit() for character in word)
