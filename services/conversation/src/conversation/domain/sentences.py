"""Cuts streamed text into sentences, each as soon as its end is certain.

A cut is made once two words have begun after it, so that no single word remains to be spoken alone. Where the cuts are
depends on the text only, not on the pieces in which it arrives.

The text may come from outside, so the cost grows with its length only. The cutter reads each character once. It decides
once about each word whether a sentence ends after it, when the second word after it begins.
"""

import re

# Abbreviations that never end a sentence: the name or number that belongs to them follows.
_TITLES = r"sra?|srta|sres|d|dña|dra?|dres|profa?|ing|lic|arq|uds?|vds?|st[ao]?|mrs?|ms|jr"
_UNITS = r"núm|nro|art|pág|tel|av(?:da)?|ave|dpto|dept|ext|fdo|approx|vs"
_PRECEDES = re.compile(f"{_TITLES}|{_UNITS}")
# Abbreviations that may end a sentence: the next word decides.
_MAY_END = re.compile(r"etc|[ap]\.m|p\.ej|e\.g|i\.e|ee\.uu|ee|uu|u\.s|s\.[al]|inc|ltd|co|cía|aprox")

_WORD_OR_GAP = re.compile(r"\S+|\s+")
_MARKS = ".!?…"
_CLOSING = "\"'”’»)]"
_OPENING = "¿¡\"'“‘«(["
_MIN_WORDS = 2
"""A sentence has at least this many words, so that no single word is spoken alone."""


class SentenceCutter:
    """Receives text in pieces and returns complete sentences. Only white space is lost."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        """The word that is not complete yet."""
        self._words: list[str] = []
        """The complete words since the last cut; it is not certain yet whether a sentence ends before the last one."""
        self._ends_line = (False, False)
        """Whether a line ends after the second last and after the last complete word."""

    def feed(self, text: str) -> list[str]:
        """Returns the sentences that this piece of text completes."""
        sentences: list[str] = []
        for match in _WORD_OR_GAP.finditer(text):
            piece = match[0]
            if piece[0].isspace():
                self._end_word(ends_line="\n" in piece)
                continue
            if not self._pieces and self._ends_before_last_word():
                sentences.append(" ".join(self._words[:-1]))
                del self._words[:-1]
            self._pieces.append(piece)
        return sentences

    def flush(self) -> list[str]:
        """Returns the remaining text at the end of the stream: one sentence, or none."""
        self._end_word(ends_line=False)
        remainder = " ".join(self._words)
        self._words.clear()
        return [remainder] if remainder else []

    def _end_word(self, *, ends_line: bool) -> None:
        """Handles white space, of which more may follow."""
        if self._pieces:
            self._words.append("".join(self._pieces))
            self._pieces.clear()
            self._ends_line = (self._ends_line[1], ends_line)
        elif ends_line:
            self._ends_line = (self._ends_line[0], True)

    def _ends_before_last_word(self) -> bool:
        """Whether a sentence ends before the last complete word, now that another word begins after it."""
        if len(self._words) <= _MIN_WORDS:
            return False
        return self._ends_line[0] or _ends(*self._words[-3:])


def sentences_of(text: str) -> list[str]:
    """Returns the sentences of a complete text; none if it is white space."""
    cutter = SentenceCutter()
    return [*cutter.feed(text), *cutter.flush()]


def _ends(previous: str, word: str, following: str) -> bool:
    """Whether the punctuation marks at the end of `word` end a sentence."""
    without_closing = word.rstrip(_CLOSING)
    without_marks = without_closing.rstrip(_MARKS)
    if without_marks == without_closing or following[0].islower():
        return False
    if word[len(without_marks) :] != ".":
        return True
    last = (without_marks or previous).lstrip(_OPENING).lower()
    if _PRECEDES.fullmatch(last):
        return False
    if _MAY_END.fullmatch(last):
        return following[0] in _OPENING or following[0].isupper()
    if len(last) == 1 and last.isalpha():  # an initial, or the m of "p. m."
        return following[0] in _OPENING
    return not last.isdigit() or not following[0].isdigit()
