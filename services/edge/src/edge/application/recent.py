"""What happened within the last seconds: a bounded memory of this replica."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

MAX_REMEMBERED = 10_000


class RecentlySeen:
    """Remembers each item for `seconds`. Of more than MAX_REMEMBERED items the oldest are forgotten."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._added_at: OrderedDict[Hashable, float] = OrderedDict()

    def contains(self, item: Hashable) -> bool:
        """Whether the item was added within the last `seconds`."""
        return self._clock() - self._added_at.get(item, float("-inf")) < self._seconds

    def add(self, item: Hashable) -> None:
        """Remembers the item from now on."""
        self._added_at[item] = self._clock()
        self._added_at.move_to_end(item)
        if len(self._added_at) > MAX_REMEMBERED:
            self._added_at.popitem(last=False)
