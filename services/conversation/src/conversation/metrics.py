"""How long a callee waits, what it costs, and how often a model fails and what stands in for it."""

from prometheus_client import Counter, Histogram

from contracts import ReplySource
from providers import FALLBACKS, Failure

_SECONDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 6, 8, 12, 20)

FIRST_TOKEN_SECONDS = Histogram(
    "centralita_turn_first_token_seconds", "From a turn's start to the model's first word", buckets=_SECONDS
)
FIRST_SENTENCE_SECONDS = Histogram(
    "centralita_turn_first_sentence_seconds", "From a turn's start to its first sentence to speak", buckets=_SECONDS
)
TURN_SECONDS = Histogram("centralita_turn_seconds", "From a turn's start to its last word", buckets=_SECONDS)
TOKENS = Counter("centralita_model_tokens_total", "Tokens that the model has counted", ["kind"])
MODEL_FAILURES = Counter("centralita_model_failures_total", "Tries in which a model failed, by why", ["reason"])
ENDINGS = Counter("centralita_conversations_ended_total", "Conversations that were ended, by outcome", ["disposition"])

for _kind in ("prompt", "completion"):
    TOKENS.labels(kind=_kind)
for _failure in Failure:
    MODEL_FAILURES.labels(reason=_failure.value)

_NO_FALLBACK = (ReplySource.MODEL, ReplySource.CACHED_ANSWER, ReplySource.STOCK_PHRASE)
for _step in ReplySource:
    if _step not in _NO_FALLBACK:
        FALLBACKS.labels(step=_step.value)


def count_step(step: ReplySource) -> None:
    """Counts a turn in which something stood in for the model."""
    if step not in _NO_FALLBACK:
        FALLBACKS.labels(step=step.value).inc()
