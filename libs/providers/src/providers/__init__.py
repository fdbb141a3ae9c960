"""Requests to vendors: bounded concurrency, circuit breakers, one list of failures, metrics and spans.

The package knows no vendor. Each adapter translates the errors of its vendor to a `Failure`.
"""

from providers.breakers import BreakerOpen, BreakerState, CircuitBreaker
from providers.failures import Failure, RequestFailed
from providers.metrics import FALLBACKS
from providers.provider import Provider, Request

__all__ = [
    "FALLBACKS",
    "BreakerOpen",
    "BreakerState",
    "CircuitBreaker",
    "Failure",
    "Provider",
    "Request",
    "RequestFailed",
]
