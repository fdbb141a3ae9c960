"""What becomes of calls, counted by the replica whose decision was stored."""

from prometheus_client import Counter, Histogram

from contracts import Call, CallStatus

MODE = "turn_based"
"""How conversations are held: what is heard and what is said take turns."""

CALLS = Counter("centralita_calls", "Calls that came into a status, by how they are held", ["status", "mode"])
STATE_SECONDS = Histogram(
    "centralita_call_state_seconds",
    "How long calls were in a status before they left it",
    ["status"],
    buckets=(0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 14_400, 86_400),
)

for _status in CallStatus:
    CALLS.labels(status=_status.value, mode=MODE)


def observe(before: Call | None, after: Call) -> None:
    """Counts a decision, if it brought the call into another status."""
    if before and before.status is after.status:
        return
    CALLS.labels(status=after.status.value, mode=MODE).inc()
    if before:
        STATE_SECONDS.labels(status=before.status.value).observe(
            (after.status_changed_at - before.status_changed_at).total_seconds()
        )
