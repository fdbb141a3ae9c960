"""How often this process has failed to handle a message."""

from collections import OrderedDict


class FailureCounts:
    """Failures by the stream sequence of the message. At most `max_size` messages are remembered, the newest ones.

    A message that another replica has handled in the meantime stays here until newer ones displace it.
    """

    def __init__(self, max_size: int = 10_000) -> None:
        self._counts: OrderedDict[int, int] = OrderedDict()
        self._max_size = max_size

    def add(self, sequence: int) -> int:
        """Counts one more failure; returns how many there are now."""
        self._counts[sequence] = self._counts.pop(sequence, 0) + 1
        if len(self._counts) > self._max_size:
            self._counts.popitem(last=False)
        return self._counts[sequence]

    def forget(self, sequence: int) -> None:
        """Removes a message that needs no further delivery."""
        self._counts.pop(sequence, None)
