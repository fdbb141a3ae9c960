"""A vendor's API as one process asks it: so many requests at once, behind a breaker, each counted and timed.

Only services with vendors depend on it. It knows no vendor: each adapter says itself how its request ended.
"""

from providers.breakers import Breaker, BreakerOpen, State
from providers.provider import BREAKER_OPEN, FALLBACKS, NO_CAPACITY, Provider, Request, Unavailable

__all__ = [
    "BREAKER_OPEN",
    "FALLBACKS",
    "NO_CAPACITY",
    "Breaker",
    "BreakerOpen",
    "Provider",
    "Request",
    "State",
    "Unavailable",
]
