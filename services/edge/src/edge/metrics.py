"""Prometheus metrics of the edge."""

from prometheus_client import Counter, Histogram

from contracts.audit import Stage
from contracts.transfers import TransferKind, TransferStatus
from contracts.vocabulary import DegradationReason

REFUSED = Counter("centralita_rest_refused_total", "REST requests refused because of their key or a limit", ["reason"])
WEBHOOKS = Counter("centralita_webhooks_total", "Webhooks of the telephone provider", ["kind", "result"])
WEBHOOK_SECONDS = Histogram("centralita_webhook_seconds", "Time to answer a webhook", ["kind"])
AUDIT_ENTRIES = Counter("centralita_audit_entries_total", "Entries of the audit log, by stage", ["stage"])
DEGRADED = Counter(
    "centralita_degraded_conversations_total", "Live conversations that go on in turns, by reason", ["reason"]
)
TRANSFERS = Counter(
    "centralita_transfers_total", "Transfers that ended, by their kind and how they ended", ["kind", "status"]
)
TRANSFER_SECONDS = Histogram(
    "centralita_transfer_seconds",
    "How long the legs to persons lasted",
    ["kind"],
    buckets=(5, 15, 30, 60, 120, 300, 600, 1_800, 3_600),
)

_BY_KEY = ("no_key", "wrong_key", "wrong_key_slowed", "missing_scope", "other_campaign", "daily_cap", "too_many")
for _reason in (*_BY_KEY, "backlog_full", "too_many_streams"):
    REFUSED.labels(reason=_reason)
for _stage in Stage:
    AUDIT_ENTRIES.labels(stage=_stage)
for _degradation in DegradationReason:
    DEGRADED.labels(reason=_degradation)
for _kind in TransferKind:
    TRANSFER_SECONDS.labels(kind=_kind)
    for _status in TransferStatus:
        TRANSFERS.labels(kind=_kind, status=_status)
