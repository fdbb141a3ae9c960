"""All metrics of the service."""

from prometheus_client import Counter, Histogram

from contracts import Disposition, ReplySource, ToolStatus
from contracts.agent_tools import BUILT_IN_NAMES
from providers import FALLBACKS, Failure

_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 6, 8, 12, 20)

FIRST_TOKEN_SECONDS = Histogram(
    "centralita_turn_first_token_seconds", "From the start of a turn to the model's first word", buckets=_BUCKETS
)
FIRST_SENTENCE_SECONDS = Histogram(
    "centralita_turn_first_sentence_seconds", "From the start of a turn to its first sentence", buckets=_BUCKETS
)
TURN_SECONDS = Histogram("centralita_turn_seconds", "From the start of a turn to its last sentence", buckets=_BUCKETS)
TOKENS = Counter("centralita_model_tokens_total", "Tokens of requests to models, as the vendor counts them", ["kind"])
MODEL_FAILURES = Counter("centralita_model_failures_total", "Failed requests to models, by reason", ["reason"])
INTERRUPTED_REPLIES = Counter(
    "centralita_interrupted_replies", "Replies whose generation was cancelled, because the callee interrupted them"
)
READ_AHEAD = Counter(
    "centralita_turns_read_ahead", "Turns that were read before their utterance, by whether that was used", ["result"]
)
CONVERSATIONS_ENDED = Counter(
    "centralita_conversations_ended_total", "Conversations that ended, by disposition", ["disposition"]
)
CACHE_HITS = Counter("centralita_answer_cache_hits", "Answers that were found in the answer cache")
CACHE_MISSES = Counter("centralita_answer_cache_misses", "Answers that were not found in the answer cache")

TOOL_CALLS = Counter(
    "centralita_tool_calls", "Executed tool calls of the model, by tool and status", ["tool", "status"]
)
"""The label `tool` is a built-in tool, or `http`: the names of others are the campaigns', and have no bound."""
TOOL_SECONDS = Histogram(
    "centralita_tool_seconds", "From the claim of a tool call to its result", ["tool"], buckets=_BUCKETS
)

_FIRST_CHOICES = (ReplySource.MODEL, ReplySource.CACHED_ANSWER, ReplySource.STOCK_PHRASE)

# Every label exists from the start: an increase from no series to 1 is invisible to Prometheus.
for _result in ("used", "outdated"):
    READ_AHEAD.labels(result=_result)
for _kind in ("prompt", "completion"):
    TOKENS.labels(kind=_kind)
for _failure in Failure:
    MODEL_FAILURES.labels(reason=_failure.value)
TOOL_CALLS.labels(tool="send_digits", status=ToolStatus.SUCCEEDED.value)
for _tool in ("http", "schedule_callback"):
    TOOL_SECONDS.labels(tool=_tool)
    for _status in ToolStatus:
        TOOL_CALLS.labels(tool=_tool, status=_status.value)
for _source in ReplySource:
    if _source not in _FIRST_CHOICES:
        FALLBACKS.labels(step=_source.value)


def count_source(source: ReplySource) -> None:
    """Counts the reply of a turn if it is a fallback."""
    if source not in _FIRST_CHOICES:
        FALLBACKS.labels(step=source.value).inc()


def count_ending(disposition: Disposition) -> None:
    """Counts a conversation that has ended."""
    CONVERSATIONS_ENDED.labels(disposition=disposition.value).inc()


def count_tool(name: str, status: ToolStatus, seconds: float) -> None:
    """Counts an executed tool call."""
    tool = name if name in BUILT_IN_NAMES else "http"
    TOOL_CALLS.labels(tool=tool, status=status.value).inc()
    TOOL_SECONDS.labels(tool=tool).observe(seconds)


def count_digits() -> None:
    """Counts a reply that requests keys."""
    TOOL_CALLS.labels(tool="send_digits", status=ToolStatus.SUCCEEDED.value).inc()
