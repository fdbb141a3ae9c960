"""Cuts streamed text into sentences, each as soon as its end is certain.

A cut is made once two words have begun after it, so that no single word remains to be spoken alone. Where the cuts are
depends on the text only, not on the pieces in which it arrives.
"""

import re

# Abbreviations that never end a sentence: the name or number that belongs to them follows.
_TITLES = r"sra?|srta|sres|d|dña|dra?|dres|profa?|ing|lic|arq|uds?|vds?|st[ao]?|mrs?|ms|jr"
_UNITS = r"núm|nro|art|pág|tel|av(?:da)?|ave|dpto|dept|ext|fdo|approx|vs"
_PRECEDES = re.compile(f"{_TITLES}|{_UNITS}")
# Abbreviations that may end a sentence: the next word decides.
_MAY_END = re.compile(r"etc|[ap]\.m|p\.ej|e\.g|i\.e|ee\.uu|ee|uu|u\.s|s\.[al]|inc|ltd|co|cía|aprox")

_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|\n")
_TWO_WORDS = re.compile(r"\s*\S+\s+\S")
_OPENING = "¿¡\"'“‘«(["


class SentenceCutter:
    """Receives text in pieces and returns complete sentences. Only white space is lost."""

    def __init__(self) -> None:
        self._text = ""
        self._searched_to = 0

    def feed(self, text: str) -> list[str]:
        """Returns the sentences that this piece of text completes."""
        self._text += text
        sentences = []
        while end := self._first_end():
            sentences.append(_tidy(self._text[:end]))
            self._text, self._searched_to = self._text[end:], 0
        return sentences

    def flush(self) -> list[str]:
        """Returns the remaining text at the end of the stream: one sentence, or none."""
        remainder, self._text, self._searched_to = _tidy(self._text), "", 0
        return [remainder] if remainder else []

    def _first_end(self) -> int:
        """Returns the end of the first sentence; 0 if it is not certain yet."""
        for match in _END.finditer(self._text, self._searched_to):
            before, after = self._text[: match.end()], self._text[match.end() :]
            if not _TWO_WORDS.match(after):
                return 0
            if len(before.split()) > 1 and _ends(before, match[0], after.lstrip()):
                return match.end()
            self._searched_to = match.end()
        return 0


def sentences_of(text: str) -> list[str]:
    """Returns the sentences of a complete text; none if it is white space."""
    cutter = SentenceCutter()
    return [*cutter.feed(text), *cutter.flush()]


def _ends(before: str, mark: str, after: str) -> bool:
    """Whether a sentence ends at this punctuation mark; `after` begins with the next word."""
    if mark == "\n":
        return True
    if after[0].islower():
        return False
    if mark != ".":
        return True
    last = before[:-1].split()[-1].lstrip(_OPENING).lower()
    if _PRECEDES.fullmatch(last):
        return False
    if _MAY_END.fullmatch(last):
        return after[0] in _OPENING or after[0].isupper()
    if len(last) == 1 and last.isalpha():  # an initial, or the m of "p. m."
        return after[0] in _OPENING
    return not last.isdigit() or not after[0].isdigit()


def _tidy(text: str) -> str:
    return " ".join(text.split())
