"""The size of each stream and bucket, compared with its limit. A full stream or bucket refuses new messages."""

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from centralita.operations.doctor.checks import Finding, ok, skipped, warning
from centralita.operations.doctor.limits import AREA
from contracts.buckets import ANSWERS, CALL_CLIPS, CLIPS, DIALS
from contracts.streams import AUDIT, CALLS, CONTACTS, DEAD_LETTERS, KEYS, MEGABYTE, NUMBERS, QUEUE, REQUESTS, SCHEDULES

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


async def check_storage(client: Client) -> list[Finding]:
    """Returns the size of each stream and bucket; a warning if it has reached `NEARLY_FULL` of its limit."""
    findings = []
    for stream, remedy in REMEDIES.items():
        name = f"size of {stream.name}"
        try:
            info = await client.jetstream().stream_info(stream.name)
        except (NotFoundError, NatsError):  # the stream has its own finding
            findings.append(skipped(AREA, name, "it could not be read"))
            continue
        size, limit = info.state.bytes, info.config.max_bytes or 0
        if limit <= 0:
            findings.append(ok(AREA, name, f"{_megabytes(size)}, {info.state.messages} messages; no limit"))
            continue
        found = f"{_megabytes(size)} of {_megabytes(limit)} ({size / limit:.0%})"
        is_nearly_full = size >= NEARLY_FULL * limit
        findings.append(warning(AREA, name, found, remedy) if is_nearly_full else ok(AREA, name, found))
    return findings


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:,.1f} MB"
