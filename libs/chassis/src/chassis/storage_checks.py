"""The size of each stream and bucket, compared with its limit. A full stream or bucket refuses new messages."""

from chassis.findings import Finding, ok, skipped, warning
from chassis.jetstream_info import JetStreamInfo, StreamState, stream_states
from contracts.buckets import ANSWERS, CALL_CLIPS, CLIPS, DIALS
from contracts.streams import (
    AUDIT,
    CALLS,
    CONTACTS,
    DEAD_LETTERS,
    KEYS,
    MEGABYTE,
    NUMBERS,
    QUEUE,
    REQUESTS,
    SCHEDULES,
    Stream,
)

AREA = "limits"
NEARLY_FULL = 0.8
_ARCHIVE = "archive ended calls (`centralita archive`, LOG_RETENTION_DAYS)"
_EXPIRES = "its entries expire; if this lasts, raise its size in contracts.buckets"
REMEDIES = {
    CALLS: f"{_ARCHIVE}, or give nats-server a larger disk",
    SCHEDULES: "it has one message for each open call; give nats-server a larger disk",
    REQUESTS: f"{_ARCHIVE}, or raise REQUESTS_MAX_MEGABYTES and run `python -m chassis.provision`",
    CONTACTS: "let the contacts be called, finish campaigns, or raise CONTACTS_MAX_MEGABYTES and run `python -m "
    "chassis.provision`",
    QUEUE: "more calls wait than are dialled: raise MAX_CONCURRENT_CALLS, or request fewer calls",
    NUMBERS: "it has one message for each number that was dialled lately or is listed; give nats-server a larger disk",
    DEAD_LETTERS: "resend or drop dead letters: `centralita dead-letters list`",
    AUDIT: "export it (`GET /api/v1/audit`), raise AUDIT_MAX_MEGABYTES and run `python -m chassis.provision`",
    KEYS: "it has one message for each person who was called or imported; raise its size in contracts.streams and run "
    "`python -m chassis.provision`",
    CLIPS.stream: _EXPIRES,
    CALL_CLIPS.stream: _EXPIRES,
    ANSWERS.stream: _EXPIRES,
    DIALS.stream: _EXPIRES,
}
"""What to do before a stream or bucket is full."""


def check_storage(info: JetStreamInfo) -> list[Finding]:
    """Returns the size of each stream and bucket; a warning if it has reached `NEARLY_FULL` of its limit."""
    states = {state.name: state for state in stream_states(info)}
    return [_size(states.get(stream.name), stream, remedy) for stream, remedy in REMEDIES.items()]


def _size(state: StreamState | None, stream: Stream, remedy: str) -> Finding:
    name = f"size of {stream.name}"
    if state is None:  # the stream has its own finding
        return skipped(AREA, name, "it could not be read")
    if state.max_bytes is None:
        return ok(AREA, name, f"{_megabytes(state.bytes)}, {state.messages} messages; no limit")
    found = f"{_megabytes(state.bytes)} of {_megabytes(state.max_bytes)} ({state.bytes / state.max_bytes:.0%})"
    is_nearly_full = state.bytes >= NEARLY_FULL * state.max_bytes
    return warning(AREA, name, found, remedy) if is_nearly_full else ok(AREA, name, found)


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:,.1f} MB"
