"""A priority queue whose entries can be replaced and removed.

`heapq` only adds and takes the first. A replaced or removed entry stays in the heap until it is the first, as the
documentation of `heapq` proposes ("Priority Queue Implementation Notes"). The heap is rebuilt when more than half of
its entries are such, so its size is bounded by the number of keys.
"""

import heapq
from typing import Generic, TypeVar

K = TypeVar("K")
P = TypeVar("P")
_MIN_SIZE = 16
"""A heap of fewer entries is not rebuilt."""


class Priorities(Generic[K, P]):
    """Keys in the order of their priorities, the smallest first. Every operation costs O(log n), amortized."""

    def __init__(self) -> None:
        self._by_key: dict[K, P] = {}
        self._heap: list[tuple[P, K]] = []

    def __len__(self) -> int:
        return len(self._by_key)

    def __contains__(self, key: K) -> bool:
        return key in self._by_key

    def set(self, key: K, priority: P) -> None:
        """Adds the key, or replaces its priority."""
        if self._by_key.get(key) == priority:
            return
        self._by_key[key] = priority
        heapq.heappush(self._heap, (priority, key))
        if len(self._heap) > 2 * len(self._by_key) + _MIN_SIZE:
            self._heap = [(known, one) for one, known in self._by_key.items()]
            heapq.heapify(self._heap)

    def remove(self, key: K) -> None:
        """Removes the key, if it is there."""
        self._by_key.pop(key, None)

    def first(self) -> K | None:
        """Returns the key with the smallest priority; none if there is no key."""
        item = self.first_item()
        return None if item is None else item[1]

    def first_item(self) -> tuple[P, K] | None:
        """Returns the smallest priority and its key; none if there is no key."""
        while self._heap:
            priority, key = self._heap[0]
            if self._by_key.get(key) == priority:
                return priority, key
            heapq.heappop(self._heap)
        return None
