"""The keys that the callee presses one after the other."""

from dataclasses import dataclass

GATHER_SECONDS = 1.5
"""Keys belong together if none of them follows the one before by more than this."""
END_KEY = "#"
MAX_KEYS = 64


@dataclass
class PressedKeys:
    """Gathers keys until `END_KEY`, which is not part of them, or a pause."""

    count: int = 0
    """How many groups were taken."""
    _keys: str = ""
    _pressed_at: float = 0.0
    _is_complete: bool = False

    def add(self, key: str, now: float) -> None:
        """Adds a key. `now` in seconds."""
        self._pressed_at = now
        if key == END_KEY:
            self._is_complete = True
        else:
            self._keys = (self._keys + key)[:MAX_KEYS]
            self._is_complete = self._is_complete or len(self._keys) == MAX_KEYS

    @property
    def is_waiting(self) -> bool:
        """Whether keys were pressed that `take` has not returned."""
        return bool(self._keys)

    def take(self, now: float) -> str:
        """Returns the keys if they are complete, and forgets them; empty: there are none, or more may follow."""
        if not self._is_complete and (not self._keys or now - self._pressed_at < GATHER_SECONDS):
            return ""
        keys, self._keys, self._is_complete = self._keys, "", False
        self.count += bool(keys)
        return keys
