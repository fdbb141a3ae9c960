"""Limits how many imports run at a time."""

from collections.abc import Iterator
from contextlib import contextmanager

from edge.application.errors import TooManyImports
from edge.application.keys import Key

MAX_IMPORTS = 4
"""Imports of one kind in one process at a time, and one of each API key. Each uses up to a core."""


class RunningImports:
    """The running imports of one kind."""

    def __init__(self) -> None:
        self._keys: set[str] = set()

    @contextmanager
    def counted(self, key: Key) -> Iterator[None]:
        """Counts an import of a key while the block runs. Raises TooManyImports."""
        if key.digest in self._keys:
            raise TooManyImports("an import with this key is running; wait for its end")
        if len(self._keys) >= MAX_IMPORTS:
            raise TooManyImports(f"{MAX_IMPORTS} imports are running; try again later")
        self._keys.add(key.digest)
        try:
            yield
        finally:
            self._keys.discard(key.digest)
