"""Cuts streamed text into sentences, each as soon as its end is certain.

| the text | a sentence ends |
|---|---|
| a line break | there |
| `?` or `!`, and white space | there |
| `.` or `…`, white space, and the first character of a word | before that character, if `_ends` allows it |

A sentence has at least two words: a single word is not spoken alone but begins the next sentence. The callee waits for
the first sentence only, so it is returned as soon as its end is certain. A later one is returned when the second word
after it begins, so that a single last word belongs to it.

Where the cuts are depends on the text only, not on the pieces in which it arrives, nor on their times (ADR 70). The
text may come from outside, so the cost grows with its length only. The cutter reads each character once, and decides
once about each word whether a sentence ends after it.
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
"""A sentence has at least this many words, unless it is the rest of the text."""


class SentenceCutter:
    """Receives text in pieces and returns complete sentences. Only white space is lost."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        """The word that is not complete yet."""
        self._words: list[str] = []
        """The complete words since the last cut."""
        self._end: int | None = None
        """How many of them are a sentence; none if its end is not certain."""
        self._is_first = True

    def feed(self, text: str) -> list[str]:
        """Returns the sentences that this piece of text completes."""
        sentences: list[str] = []
        for match in _WORD_OR_GAP.finditer(text):
            piece = match[0]
            if is_gap := piece[0].isspace():
                has_ended_word = self._end_word()
                is_end = "\n" in piece or (has_ended_word and _asks_or_exclaims(self._words[-1]))
                begins_word = False
            else:
                begins_word = not self._pieces
                is_end = begins_word and self._ends_before(piece[0])
            if is_end and self._end is None and len(self._words) >= _MIN_WORDS:
                self._end = len(self._words)
            if self._end is not None and (self._is_first or (begins_word and len(self._words) > self._end)):
                sentences.append(self._cut(self._end))
            if not is_gap:
                self._pieces.append(piece)
        return sentences

    def flush(self) -> list[str]:
        """Returns the remaining text at the end of the stream: one sentence, or none."""
        self._end_word()
        return [self._cut(len(self._words))] if self._words else []

    def _end_word(self) -> bool:
        """Completes the last word. Returns false if it was complete: white space may arrive in several pieces."""
        if not self._pieces:
            return False
        self._words.append("".join(self._pieces))
        self._pieces.clear()
        return True

    def _ends_before(self, next_character: str) -> bool:
        """Whether a sentence ends after the last complete word, before a word with this first character."""
        if not self._words:
            return False
        return _ends(self._words[-2] if len(self._words) > 1 else "", self._words[-1], next_character)

    def _cut(self, end: int) -> str:
        sentence = " ".join(self._words[:end])
        del self._words[:end]
        self._end, self._is_first = None, False
        return sentence


def sentences_of(text: str) -> list[str]:
    """Returns the sentences of a complete text; none if it is white space."""
    cutter = SentenceCutter()
    return [*cutter.feed(text), *cutter.flush()]


def _asks_or_exclaims(word: str) -> bool:
    """Whether a question mark or an exclamation mark ends this word, and so the sentence."""
    without_closing = word.rstrip(_CLOSING)
    marks = without_closing[len(without_closing.rstrip(_MARKS)) :]
    return "?" in marks or "!" in marks


def _ends(previous: str, word: str, next_character: str) -> bool:
    """Whether the punctuation marks at the end of `word` end a sentence, before a word with this first character."""
    without_closing = word.rstrip(_CLOSING)
    without_marks = without_closing.rstrip(_MARKS)
    if without_marks == without_closing or next_character.islower():
        return False
    if word[len(without_marks) :] != ".":
        return True
    last = (without_marks or previous).lstrip(_OPENING).lower()
    if _PRECEDES.fullmatch(last):
        return False
    if _MAY_END.fullmatch(last):
        return next_character in _OPENING or next_character.isupper()
    if len(last) == 1 and last.isalpha():  # an initial, or the m of "p. m."
        return next_character in _OPENING
    return not last.isdigit() or not next_character.isdigit()
