"""The words of a transcript, in a form in which phrases can be recognized."""

import re
import unicodedata

_NOT_A_WORD = re.compile(r"[^a-z0-9]+")


def plain_words(transcript: str) -> str:
    """Returns the words in lower case, without accents, one space between them. An apostrophe divides a word."""
    decomposed = unicodedata.normalize("NFKD", transcript.casefold())
    letters = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return " ".join(_NOT_A_WORD.sub(" ", letters).split())
