"""Prometheus metrics of the edge."""

from prometheus_client import Counter, Histogram

from contracts.audit import Stage

REFUSED = Counter("centralita_rest_refused_total", "REST requests refused because of their key or a limit", ["reason"])
WEBHOOKS = Counter("centralita_webhooks_total", "Webhooks of the telephone provider", ["kind", "result"])
WEBHOOK_SECONDS = Histogram("centralita_webhook_seconds", "Time to answer a webhook", ["kind"])
AUDIT_ENTRIES = Counter("centralita_audit_entries_total", "Entries of the audit log, by stage", ["stage"])

_BY_KEY = ("no_key", "wrong_key", "wrong_key_slowed", "missing_scope", "other_campaign", "daily_cap", "too_many")
for _reason in (*_BY_KEY, "backlog_full", "too_many_streams"):
    REFUSED.labels(reason=_reason)
for _stage in Stage:
    AUDIT_ENTRIES.labels(stage=_stage)
