"""Cuts a stream of text into sentences to speak, as early as each is certain to be over.

A cut depends on the text alone, never on how the stream was chopped: it is made when two words have begun after it, so
that what is cut off is never left with a single word to be spoken on its own.
"""

import re

# Never the last word of a sentence: what they stand before is still to come.
_TITLES = r"sra?|srta|sres|d|dña|dra?|dres|profa?|ing|lic|arq|uds?|vds?|st[ao]?|mrs?|ms|jr"
_UNITS = r"núm|nro|art|pág|tel|av(?:da)?|ave|dpto|dept|ext|fdo|approx|vs"
_STANDS_BEFORE = re.compile(f"{_TITLES}|{_UNITS}")
# May end a sentence as well: what follows decides.
_MAY_END = re.compile(r"etc|[ap]\.m|p\.ej|e\.g|i\.e|ee\.uu|ee|uu|u\.s|s\.[al]|inc|ltd|co|cía|aprox")

_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|\n")
_TWO_WORDS_BEGUN = re.compile(r"\s*\S+\s+\S")
_OPENING = "¿¡\"'“‘«(["


class SentenceCutter:
    """Feed it text as it comes; it gives back sentences as they end. Nothing but white space is lost."""

    def __init__(self) -> None:
        self._text = ""
        self._searched = 0

    def feed(self, text: str) -> list[str]:
        """The sentences that this piece of text completes."""
        self._text += text
        sentences = []
        while end := self._cut():
            sentences.append(_tidy(self._text[:end]))
            self._text, self._searched = self._text[end:], 0
        return sentences

    def rest(self) -> list[str]:
        """What remains at the end of the stream: one sentence, or none."""
        rest, self._text, self._searched = _tidy(self._text), "", 0
        return [rest] if rest else []

    def _cut(self) -> int:
        """Where the first sentence ends; 0 if that is not certain yet."""
        for match in _END.finditer(self._text, self._searched):
            before, after = self._text[: match.end()], self._text[match.end() :]
            if not _TWO_WORDS_BEGUN.match(after):
                return 0
            if len(before.split()) > 1 and _ends(before, match[0], after.lstrip()):
                return match.end()
            self._searched = match.end()
        return 0


def sentences_of(text: str) -> list[str]:
    """The sentences of a text that is whole; none in white space."""
    cutter = SentenceCutter()
    return [*cutter.feed(text), *cutter.rest()]


def _ends(before: str, mark: str, after: str) -> bool:
    """Whether a sentence ends at this mark; `after` begins with the next word."""
    if mark == "\n":
        return True
    if after[0].islower():
        return False
    if mark != ".":
        return True
    last = before[:-1].split()[-1].lstrip(_OPENING).lower()
    if _STANDS_BEFORE.fullmatch(last):
        return False
    if _MAY_END.fullmatch(last):
        return after[0] in _OPENING or after[0].isupper()
    if len(last) == 1 and last.isalpha():  # an initial, or the m of "p. m."
        return after[0] in _OPENING
    return not last.isdigit() or not after[0].isdigit()


def _tidy(text: str) -> str:
    return " ".join(text.split())
