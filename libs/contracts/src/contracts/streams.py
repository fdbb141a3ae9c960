"""Streams as data: what must exist on the server before a service starts.

`contracts.consumers` and `contracts.buckets` describe the rest of it, and `contracts.filters` what is read of a stream.
"""

from dataclasses import dataclass
from datetime import timedelta

from contracts.audit import ALL_ENTRIES
from contracts.event import Service
from contracts.events.timers import SCHEDULES_OF_CALLS, TimerDue, fired_subject

MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stream:
    """A JetStream stream. Sizes are in bytes, ages in seconds; None means no limit.

    A stream that has reached its `max_bytes` refuses new messages. Provisioning may be given other sizes.
    """

    name: str
    subjects: tuple[str, ...]
    description: str
    max_age: int | None = None
    max_bytes: int | None = None
    schedules: bool = False
    newest_only: bool = False
    """Only the newest message of each subject is kept."""
    work_queue: bool = False
    """A message leaves the stream once its consumer has acknowledged it. While it is there, the server refuses another
    one on the same subject."""
    has_ttls: bool = False
    """A message may name the time after which the server removes it."""
    append_only: bool = False
    """The server refuses every deletion and purge."""
    owner: Service | None = None
    """The service in whose account the stream is: no other one may change or delete it, and this one may do anything
    with it. None: the stream is shared, and in the central account."""
    source: "Source | None" = None
    """Where the server copies further messages from."""

    def live(self, subject: str) -> str:
        """Returns the subject on which the server publishes the messages of `subject` again, once they are stored.

        Refused messages and duplicates do not appear there. The message has its sequence as a header.
        """
        return f"live.{self.name}.{subject}"


@dataclass(frozen=True, slots=True)
class Source:
    """Messages of another stream that the server copies into a stream, each once, in their order."""

    stream: Stream
    subjects: str
    """The filter of the messages in the other stream."""
    stored_as: str
    """The subject of the copies; ``$1`` is the first wildcard of `subjects`."""


REQUESTS = Stream(
    "REQUESTS",
    (
        "call.requested",
        "call.cancel_requested.*",
        "call.retry_requested.*",
        "call.change_requested.*",
        "campaign.create_requested.*",
        "campaign.change_requested.*",
        "campaign.start_requested.*",
        "campaign.finish_requested.*",
        "campaign.pause_requested.*",
        "campaign.resume_requested.*",
        "contact.requested.*",
        "number.block_requested.*",
        "number.unblock_requested.*",
        "person.erase_requested.*",
    ),
    "Requests and commands of upstream systems and the edge",
    max_bytes=2048 * MEGABYTE,
)
SCHEDULES = Stream(
    "SCHEDULES",
    (*SCHEDULES_OF_CALLS, fired_subject("*")),
    "The deadline of each open call, and the deadlines that have passed in the last days",
    schedules=True,
)
CALLS = Stream(
    "CALLS",
    (
        "call.*.*.*",
        "admission.granted",
        "admission.released",
        "admission.*.*",  # where older builds stored both
        "dial.cleared",
        "dial.*.*",  # where older builds stored permits, too
        "telephony.*.*",
        "speech.*.*",
        "reply.*.*",
        "audio.*.*",
        "conversation.*.*",
        "campaign.created.*",
        "campaign.changed.*",
        "campaign.started.*",
        "campaign.finished.*",
        "campaign.paused.*",
        "campaign.resumed.*",
        "campaign.contacts_expired.*",
        "contact.refused.*",
        "person.erased.*",
        "request.erased",
        TimerDue.subjects(),
    ),
    "All events of all calls: the system of record",
    source=Source(SCHEDULES, fired_subject("*"), TimerDue.subject_for("$1")),
)
CONTACTS = Stream(
    "CONTACTS",
    ("contact.added.*.*.*", "contact.group_added.*.*"),
    "Contacts of campaigns that wait for their calls, and the groups that they form",
    max_bytes=2048 * MEGABYTE,
    work_queue=True,
    owner=Service.ORCHESTRATOR,
)
QUEUE = Stream(
    "QUEUE",
    ("queue.*.*",),
    "Calls that wait for a slot: an index of the log",
    max_bytes=256 * MEGABYTE,
    newest_only=True,
    owner=Service.ORCHESTRATOR,
)
NUMBERS = Stream(
    "NUMBERS",
    ("number.changed.*",),
    "The newest state of each number: do-not-call entries, its live attempt and its dials",
    newest_only=True,
    has_ttls=True,
)
DEAD_LETTERS = Stream(
    "DEAD_LETTERS",
    ("dead_letter.>",),
    "Messages that could not be processed, each with its reasons",
    max_bytes=256 * MEGABYTE,
)
AUDIT = Stream(
    "AUDIT",
    (ALL_ENTRIES,),
    "The audit log: administrative acts, each with its API key's name",
    max_bytes=512 * MEGABYTE,
    append_only=True,
)
KEYS = Stream(
    "KEYS",
    ("key.*",),
    "The key of each person, wrapped under the master key, on the digest of the telephone number",
    max_bytes=1024 * MEGABYTE,
    newest_only=True,
)
"""Not a bucket of the key-value store: its client forbids to delete a value and overwrite its bytes on disk."""
CHECKED_KEY = "key.check"
"""The key that shows under which master key all others are wrapped. The first service that starts makes it."""
STREAMS = (SCHEDULES, CALLS, REQUESTS, CONTACTS, QUEUE, NUMBERS, DEAD_LETTERS, AUDIT, KEYS)
"""In the order of provisioning: CALLS copies from SCHEDULES; a subject that moves to REQUESTS leaves CALLS before."""

ARCHIVE_ID, ARCHIVED_SEQUENCE = "centralita-archive-id", "centralita-archived-sequence"
"""Metadata of the stream CALLS on the server: which archive has the messages that are no longer in the stream, and the
highest sequence of such a message. `centralita archive` sets both; provisioning keeps them."""

RECORDED_AFTER = "centralita-requests-recorded-after"
"""Metadata of the stream REQUESTS on the server: the sequence after which the log shows what became of each erased
request. Older builds recorded nothing about those that they refused."""

SEALED_STREAMS = (CALLS, REQUESTS, CONTACTS, NUMBERS)
"""The streams that had personal data in clear in older builds. `centralita seal` stores their messages again."""


def sealed_copy(stream: str) -> str:
    """Returns the name of the stream that `centralita seal` needs meanwhile."""
    return f"{stream}_SEALED"


MIN_BACKLOG_LIMIT = 20
"""The smallest `MAX_BACKLOG`. While fewer calls wait for a slot, no request is refused because of the backlog."""
DUE_SOON = timedelta(minutes=5)
"""A request for a time within this period counts as due now: a full backlog refuses it, too."""
