"""All metrics of the service. Calls are counted by the replica whose decision was stored."""

from prometheus_client import Counter, Gauge, Histogram

from call_orchestrator.domain.slots import Slots
from contracts import Call, CallStatus, ConversationMode
from contracts.vocabulary import RefusalCode

CALLS = Counter("centralita_calls", "Calls that entered a status, by conversation mode", ["status", "mode"])
STATE_SECONDS = Histogram(
    "centralita_call_state_seconds",
    "How long calls were in a status before they left it",
    ["status"],
    buckets=(0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 14_400, 86_400),
)
LIVE = Gauge("centralita_live_calls", "Calls that occupy a slot according to the log; the same in every replica")
LIVE_LIMIT = Gauge("centralita_live_calls_limit", "Calls that may be live at once; infinite without a limit")
WAITING = Gauge("centralita_waiting_calls", "Due calls that wait for a slot")
BACKLOG_LIMIT = Gauge("centralita_backlog_limit", "Calls that may wait for a slot; further requests are refused")
REFUSED_REQUESTS = Counter("centralita_refused_requests", "Requests that were refused, by reason", ["reason"])
CONTACTS = Counter(
    "centralita_contacts",
    "Contacts that left their stream: taken as calls, refused, or expired with their campaign",
    ["outcome"],
)
FAILED_CAMPAIGNS = Gauge(
    "centralita_failed_campaigns",
    "Campaigns whose contacts could not be taken, or counted at their end, at the last try of this replica",
)
RETENTION_ENDED = Counter("centralita_retention_ended", "Commands to erase a person whose data is not kept any longer")
WAITING_PAUSED = Gauge(
    "centralita_waiting_calls_paused",
    "Of the waiting calls, those of closed campaigns: paused, not started, outside their period, finished",
)
GRANTABLE = Gauge(
    "centralita_grantable_calls", "Waiting calls that could be granted a slot now, at most one of each campaign"
)
SET_ASIDE = Gauge("centralita_queue_entries_set_aside", "Entries of the queue whose event could not be read")
DROPPED_ENTRIES = Counter(
    "centralita_queue_entries_dropped", "Entries of the queue that were removed because the log has no such event"
)
PAUSED = Gauge("centralita_paused_campaigns", "Paused campaigns according to the log; the same in every replica")
SLOT_WAIT_SECONDS = Histogram(
    "centralita_slot_wait_seconds",
    "From a call's due time to its slot",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400),
)
LOST_GRANTS = Counter("centralita_lost_grants", "Grants that lost against a grant of another replica")
RELEASED_SLOTS = Counter("centralita_released_slots", "Slots granted to calls that no longer waited")

REFUSED_REQUESTS.labels(reason=RefusalCode.BACKLOG_FULL)
for _outcome in ("taken", "refused", "expired"):
    CONTACTS.labels(outcome=_outcome)
for _status in CallStatus:
    for _mode in ConversationMode:
        CALLS.labels(status=_status.value, mode=_mode.value)


def count_decision(before: Call | None, after: Call) -> None:
    """Counts a stored decision if it changed the status of the call."""
    if before and before.status is after.status:
        return
    CALLS.labels(status=after.status.value, mode=after.mode.value).inc()
    if before:
        seconds = (after.status_changed_at - before.status_changed_at).total_seconds()
        STATE_SECONDS.labels(status=before.status.value).observe(seconds)


def register_slots(slots: Slots) -> None:
    """Makes the gauges read the present fold when they are scraped."""
    LIVE_LIMIT.set(float("inf") if slots.limits.max_live is None else slots.limits.max_live)
    LIVE.set_function(lambda: len(slots.occupied))
    WAITING.set_function(lambda: len(slots.waiting))
    WAITING_PAUSED.set_function(lambda: slots.waiting_in(slots.closed or ()))
    GRANTABLE.set_function(slots.grantable)
