"""A clock that a test moves by hand."""

from dataclasses import dataclass


@dataclass
class ManualClock:
    """Returns `now` (seconds) until the test changes it."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now
