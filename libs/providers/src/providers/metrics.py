"""Metrics of requests to vendors."""

from prometheus_client import Counter, Gauge, Histogram

_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 8, 12, 20, 30, 60)

REQUESTS = Counter("centralita_provider_requests", "Requests to a provider, by outcome", ["provider", "outcome"])
REQUEST_SECONDS = Histogram(
    "centralita_provider_seconds", "From sending a request to the end of its answer", ["provider"], buckets=_BUCKETS
)
BREAKER_STATE = Gauge("centralita_breaker_state", "0: closed, 1: half-open, 2: open", ["provider"])
BREAKER_TRANSITIONS = Counter(
    "centralita_breaker_transitions", "State changes of a circuit breaker, by new state", ["provider", "state"]
)
FALLBACKS = Counter("centralita_fallbacks", "Fallbacks used in place of a vendor's first choice", ["step"])
"""The label `step` names the fallback: a `contracts.ReplySource` or a `contracts.SpeechFallback`."""
