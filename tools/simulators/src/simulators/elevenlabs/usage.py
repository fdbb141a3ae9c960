"""What clients have used: sessions, commits, contexts, characters. Tests assert that nothing stays open."""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass


@dataclass
class Usage:
    """Counters since the start, and what is open now. `characters` are those that were synthesized, by any protocol."""

    transcription_sessions: int = 0
    transcription_sessions_open: int = 0
    commits: int = 0
    speech_sockets: int = 0
    speech_sockets_open: int = 0
    contexts: int = 0
    contexts_open: int = 0
    characters: int = 0

    @contextlib.contextmanager
    def transcription_session(self) -> Iterator[None]:
        """Counts a session while the block runs."""
        self.transcription_sessions += 1
        self.transcription_sessions_open += 1
        try:
            yield
        finally:
            self.transcription_sessions_open -= 1

    @contextlib.contextmanager
    def speech_socket(self) -> Iterator[None]:
        """Counts a socket while the block runs."""
        self.speech_sockets += 1
        self.speech_sockets_open += 1
        try:
            yield
        finally:
            self.speech_sockets_open -= 1

    @contextlib.contextmanager
    def context(self) -> Iterator[None]:
        """Counts a context of a speech socket while the block runs."""
        self.contexts += 1
        self.contexts_open += 1
        try:
            yield
        finally:
            self.contexts_open -= 1

    def as_json(self) -> dict[str, int]:
        """Returns all counters by name."""
        return asdict(self)
