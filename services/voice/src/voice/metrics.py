"""All metrics of the service."""

from prometheus_client import Counter, Gauge, Histogram

from contracts import ConversationMode, InterruptionReason, MediaClosedReason, TurnLatencies

DIALS = Counter("centralita_dials", "Dial attempts, by the outcome of the request", ["outcome"])
GATED_DIALS = Gauge("centralita_held_dials", "Dial orders that wait while the telephone provider is unavailable")
DIAL_RATE_LIMIT = Gauge("centralita_dials_per_second_limit", "The account's rate limit of dials")
DIAL_WAIT_SECONDS = Histogram("centralita_dial_wait_seconds", "How long an attempt waits for the rate limiter's permit")
PERMIT_CONFLICTS = Counter("centralita_lost_clearances", "Permits that were not appended because another came first")

SENTENCES = Counter("centralita_sentences", "Sentences requested, by outcome", ["outcome"])
FIRST_BYTE_SECONDS = Histogram(
    "centralita_speech_first_byte_seconds", "From the request to the speech vendor to its first audio"
)
FIRST_AUDIO_SECONDS = Histogram(
    "centralita_turn_first_audio_seconds",
    "From the telephone provider's request for a turn to the first audio sent",
    buckets=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.25, 1.5, 2, 2.5, 3, 4, 6, 8, 12, 20),
)

CLIP_HITS = Counter("centralita_clip_hits", "Clips found in the Object Store")
CLIP_MISSES = Counter("centralita_clip_misses", "Clips not found in the Object Store")
CLIPS_NOT_STORED = Counter("centralita_clips_not_stored", "Clips that could not be stored", ["reason"])

LIVE_STREAMS = Gauge("centralita_live_streams", "Media streams that this process has accepted, by mode", ["mode"])
LIVE_REFUSED = Counter(
    "centralita_live_refused", "Handshakes of media streams that were refused, by status", ["status"]
)
LIVE_CLOSED = Counter("centralita_live_closed", "Media streams that have ended, by reason and mode", ["reason", "mode"])
LIVE_MALFORMED = Counter("centralita_live_malformed", "Messages of media streams that could not be used")
LIVE_REPORTED_ERRORS = Counter(
    "centralita_live_reported_errors", "Errors that the telephone provider reported on streams of text"
)
LIVE_UNDERRUNS = Counter("centralita_live_underruns", "How often audio was due to be sent and was not there")
LIVE_PAUSES = Counter("centralita_live_pauses", "How often a sound of the callee paused a reply")
LIVE_RESUMES = Counter("centralita_live_resumes", "How often a paused reply went on")
LIVE_INTERRUPTIONS = Counter("centralita_live_interruptions", "Replies that were interrupted, by reason", ["reason"])
LIVE_LOOP_LAG_SECONDS = Histogram(
    "centralita_live_loop_lag_seconds",
    "How late the event loop is",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1),
)
LIVE_STAGE_SECONDS = Histogram(
    "centralita_live_stage_seconds",
    "The parts of the time from the callee's last sound to the first sound of the reply",
    ["stage"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2, 3, 5),
)

for _mode in (ConversationMode.LIVE, ConversationMode.RELAY):
    LIVE_STREAMS.labels(mode=_mode.value)
    for _closed in MediaClosedReason:
        LIVE_CLOSED.labels(reason=_closed.value, mode=_mode.value)
for _interruption in InterruptionReason:
    LIVE_INTERRUPTIONS.labels(reason=_interruption.value)
for _part in TurnLatencies.model_fields:
    LIVE_STAGE_SECONDS.labels(stage=_part.removesuffix("_seconds"))
