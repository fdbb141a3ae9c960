"""Transcripts that come after they were awaited: which of their words are new.

A commit is answered in order, but sometimes seconds late. Meanwhile the partial transcript counts, which may lack the
last words. So a late transcript replaces the partial one while its turn goes on. After the turn, its further words are
said anew. The transcript of a sound that was no turn is dropped if it only signals attention.
"""

import re
from collections import deque
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from voice.domain.live.turn_policy import WORD, is_backchannel, words_of


@dataclass(slots=True)
class _Abandoned:
    """Commits whose transcripts are not awaited any more; these come late, or never."""

    segments: list[str]
    """Those of the turn to which the audio belongs."""
    position: int
    """Of the segment that is known of the audio."""
    known: str
    """What was understood of the audio meanwhile; empty: nothing."""
    commits: int
    is_discarded: bool
    """Whether the audio was a sound that is no turn."""
    texts: list[str] = field(default_factory=list)
    """The transcripts that have come."""


class LateTranscripts:
    """The abandoned commits of one session, in order."""

    def __init__(self, language: str, backchannels: frozenset[str] = frozenset()) -> None:
        """`backchannels`: `TurnPolicy.backchannels`."""
        self._language = language
        self._backchannels = backchannels
        self._abandoned: deque[_Abandoned] = deque()

    def __bool__(self) -> bool:
        """Whether any transcript may still come."""
        return bool(self._abandoned)

    def abandon(self, commits: int, known: str, segments: list[str], *, is_discarded: bool) -> None:
        """Adds commits. If `known` is not empty, and the audio is not discarded, it is the next of the `segments`."""
        if commits:
            self._abandoned.append(_Abandoned(segments, len(segments), known, commits, is_discarded))

    def refused(self) -> None:
        """Takes that the newest commit is not answered at all."""
        if self._abandoned:
            self._count(self._abandoned[-1])

    def clear(self) -> None:
        """Forgets all of them: the session was replaced."""
        self._abandoned.clear()

    def take(self, text: str, segments: list[str]) -> str | None:
        """Takes a transcript; returns its words that no turn has yet, and None if it answers a later commit.

        `segments` are those of the present turn; a segment that the transcript completes is replaced.
        """
        abandoned = self._abandoned[0]
        self._count(abandoned)
        if not text:
            return ""
        if abandoned.is_discarded:
            return "" if is_backchannel(text, self._language, self._backchannels) else None
        abandoned.texts.append(text)
        whole = " ".join(abandoned.texts)
        if not is_alike(whole, abandoned.known):
            return None
        if abandoned.commits:  # the words of the next one may be known, too
            return ""
        if abandoned.segments is not segments:
            return words_beyond(whole, abandoned.known)
        segments[abandoned.position] = whole
        return ""

    def _count(self, abandoned: _Abandoned) -> None:
        abandoned.commits -= 1
        if not abandoned.commits:
            self._abandoned.remove(abandoned)


def is_alike(text: str, known: str) -> bool:
    """Returns whether most words of a text are known."""
    words, known_words = words_of(text), set(words_of(known))
    return bool(known_words) and sum(word in known_words for word in words) * 2 >= len(words)


def words_beyond(text: str, known: str) -> str:
    """Returns the end of a text, from the first word that was said after the known ones.

    Words that were understood otherwise correspond to each other: “la sita” and “la cita” end at the same place.
    """
    found: list[re.Match[str]] = [*WORD.finditer(text)]
    words, known_words = [match[0].lower() for match in found], words_of(known)
    matcher = SequenceMatcher(None, known_words, words, autojunk=False)
    covered = len(known_words)
    for block in matcher.get_matching_blocks():
        if block.size:
            covered = block.b + len(known_words) - block.a
    return text[found[covered].start() :] if covered < len(found) else ""
