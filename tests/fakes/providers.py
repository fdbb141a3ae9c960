"""Providers for adapters under test."""

import asyncio
import time
from collections.abc import Callable

from providers import Provider


def provider(
    name: str = "test",
    *,
    capacity: int | asyncio.Semaphore = 20,
    max_failures: int = 1000,
    cooldown_seconds: float = 60,
    clock: Callable[[], float] = time.monotonic,
) -> Provider:
    """Returns a provider. By default its circuit breaker opens only after 1,000 failures in a row."""
    if isinstance(capacity, int):
        capacity = asyncio.Semaphore(capacity)
    return Provider(name, capacity=capacity, max_failures=max_failures, cooldown_seconds=cooldown_seconds, clock=clock)
