"""The metrics of this service."""

from prometheus_client import Counter, Gauge, Histogram

APPLIED = Counter("centralita_projection_events", "Events of the log that are in the documents")
SKIPPED = Counter(
    "centralita_projection_skipped_events",
    "Events of the log that cannot be decoded or written to MongoDB; each became a dead letter",
)
CONFLICTS = Counter("centralita_projection_lost_races", "Batches that another replica had applied first")
BATCH_SECONDS = Histogram("centralita_projection_batch_seconds", "Time from the arrival of a batch to its commit")
LAG_EVENTS = Gauge("centralita_projection_lag_events", "Events of the log that are not yet in the documents")
LAG_SECONDS = Gauge(
    "centralita_projection_lag_seconds",
    "Age of the oldest event that is not in the documents, or time for which the log could not be followed",
)

PENDING = Gauge("centralita_consumer_pending_messages", "Messages not yet delivered to a consumer", ["consumer"])
UNACKNOWLEDGED = Gauge(
    "centralita_consumer_unacknowledged_messages", "Messages delivered and not acknowledged", ["consumer"]
)
REDELIVERED = Gauge(
    "centralita_consumer_redelivered_messages", "Of the unacknowledged messages, those delivered before", ["consumer"]
)
DEAD_LETTER_MESSAGES = Gauge("centralita_dead_letter_messages", "Messages in the stream of dead letters")
STREAM_BYTES = Gauge("centralita_stream_bytes", "Size of a stream or bucket", ["stream"])
STREAM_MAX_BYTES = Gauge(
    "centralita_stream_max_bytes", "Size at which a stream or bucket refuses new messages, if it has one", ["stream"]
)
WAITING_CONTACTS = Gauge("centralita_waiting_contacts", "Contacts of campaigns that wait for their calls")
CAMPAIGN_CALLS = Gauge(
    "centralita_campaign_calls", "Calls by status, of the campaigns with most open calls", ["campaign", "status"]
)
