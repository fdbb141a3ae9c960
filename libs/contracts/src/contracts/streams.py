"""Streams, consumers and buckets as data: what must exist on the server before a service starts."""

import json
from dataclasses import dataclass, field
from typing import ClassVar

from contracts.audit import ALL_ENTRIES
from contracts.event import ChainEvent, Event
from contracts.events import EVENTS
from contracts.events.admissions import AdmissionGranted, AdmissionReleased
from contracts.events.audio import AudioRequested
from contracts.events.calls import CallHangupRequested, CallSettlementRequested, CallStatusChanged
from contracts.events.conversations import ConversationEnded, ReplyGenerated, SpeechHeard
from contracts.events.dials import DialClaimed, DialCleared, DialLookedUp, DialPlaced, DialRefused, DialUnknown
from contracts.events.requests import (
    CallCancelRequested,
    CallChangeRequested,
    CallRequested,
    CallRetryRequested,
    CampaignPauseRequested,
    CampaignResumeRequested,
)
from contracts.events.telephony import AnswerClassified, TelephonyStatusReported
from contracts.events.timers import SCHEDULES_OF_CALLS, TimerDue, fired_subject
from contracts.vocabulary import LIVE_STATUSES, CallStatus

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
    append_only: bool = False
    """The server refuses every deletion and purge."""
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


@dataclass(frozen=True)
class Bucket:
    """A bucket of the server, shared by the replicas of a service. A full bucket rejects writes."""

    name: str
    description: str
    max_bytes: int
    max_age_seconds: int

    prefix: ClassVar[str]

    @property
    def stream(self) -> Stream:
        """The stream in which the server keeps the bucket."""
        return Stream(f"{self.prefix}_{self.name}", (), self.description)


@dataclass(frozen=True)
class ObjectBucket(Bucket):
    """A bucket of the Object Store."""

    prefix: ClassVar[str] = "OBJ"


@dataclass(frozen=True)
class KeyValueBucket(Bucket):
    """A bucket of the key-value store. The size of each value is limited, too."""

    max_value_bytes: int

    prefix: ClassVar[str] = "KV"


@dataclass(frozen=True, slots=True)
class Consumer:
    """A durable push consumer whose messages are shared out among the replicas of a service.

    `ack_wait` (seconds): a message that is not acknowledged for this long is delivered to another replica. `backoff`
    (seconds): the delay before each delivery that follows a failure; after one more failure the message becomes a dead
    letter.
    """

    name: str
    stream: Stream
    events: tuple[type[Event], ...]
    """The event types that it delivers; the filters on the server are derived from them."""
    status: CallStatus | None = None
    """Of `call.*` events, deliver only those that leave the call in this status."""
    ack_wait: int = 30
    workers: int = 64
    backoff: tuple[float, ...] = field(default=(0.2, 1, 5, 15, 30, 60, 120, 300))
    extends_ack_deadline: bool = False
    """While a handler runs, the ack deadline is extended, so it may take longer than `ack_wait`."""
    max_ack_pending: int = 2_000
    """How many messages may be delivered or wait for their next delivery, over all replicas. The server delivers no new
    message beyond it, so messages that fail or wait must not reach it. One: messages are handled in the order of the
    stream, and one that is delivered again comes before the next one.

    Messages that no worker has begun wait in the process, and `ack_wait` counts for them, too. 64 workers finish 2,000
    within 30 s if each takes less than a second. If they do not, the server delivers messages twice, which costs work
    but is harmless (law 6)."""
    split_from: "Consumer | None" = None
    """The consumer that delivered these events in older builds. Provisioning begins after what that one has handled."""
    former_events: tuple[type[Event], ...] = ()
    """The event types that it delivered in older builds. What was pending then is acknowledged without a handler."""

    @property
    def filters(self) -> tuple[str, ...]:
        """The subjects that the server delivers."""
        subjects = (subject for event in self.events for subject in (event.subjects(), *event.former_subjects()))
        return tuple(subject.removesuffix("*") + self.status if self.status else subject for subject in subjects)

    @property
    def deliver_subject(self) -> str:
        """The subject on which the server delivers the messages."""
        return f"deliver.{self.name}"


REQUESTS = Stream(
    "REQUESTS",
    (
        "call.requested",
        "call.cancel_requested.*",
        "call.retry_requested.*",
        "call.change_requested.*",
        "campaign.pause_requested.*",
        "campaign.resume_requested.*",
    ),
    "Requests and commands of upstream systems and the edge",
    max_bytes=2048 * MEGABYTE,
)
SCHEDULES = Stream(
    "SCHEDULES",
    (SCHEDULES_OF_CALLS, fired_subject("*")),
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
        "campaign.paused.*",
        "campaign.resumed.*",
        TimerDue.subjects(),
    ),
    "All events of all calls: the system of record",
    source=Source(SCHEDULES, fired_subject("*"), TimerDue.subject_for("$1")),
)
QUEUE = Stream(
    "QUEUE",
    ("queue.*.*",),
    "Calls that wait for a slot: an index of the log",
    max_bytes=256 * MEGABYTE,
    newest_only=True,
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
STREAMS = (SCHEDULES, CALLS, REQUESTS, QUEUE, DEAD_LETTERS, AUDIT)
"""In the order of provisioning: CALLS copies from SCHEDULES; a subject that moves to REQUESTS leaves CALLS before."""

ARCHIVE_ID, ARCHIVED_SEQUENCE = "centralita-archive-id", "centralita-archived-sequence"
"""Metadata of the stream CALLS on the server: which archive has the messages that are no longer in the stream, and the
highest sequence of such a message. `centralita archive` sets both; provisioning keeps them."""

MIN_BACKLOG_LIMIT = 20
"""The smallest `MAX_BACKLOG`. While fewer calls wait for a slot, no request is refused because of the backlog."""
MAX_DELAYED = 10_000
"""`Consumer.max_ack_pending` where a delayed message must never block a new one, which may concern another call. A cell
has far fewer calls at a time than this, and one message of each that still matters."""
OUTAGE_BACKOFF = (0.2, 1.0, 5.0, *[15.0] * 180)
"""`Consumer.backoff` while the telephone provider is down: 45 minutes of short delays, so that a message is carried out
soon after the outage. Messages that fail for longer become dead letters; the state machine asks again at its deadline.
"""

ORCHESTRATOR_REQUESTS = Consumer(
    "orchestrator-requests",
    REQUESTS,
    (CallRequested,),
    max_ack_pending=500,  # so few are handled within `ack_wait` on a busy machine, too: a request is delivered once
)
ORCHESTRATOR_COMMANDS = Consumer(
    "orchestrator-commands",
    REQUESTS,
    (CallCancelRequested, CallRetryRequested, CallChangeRequested),
    max_ack_pending=20_000,  # commands whose request is still queued must not block commands of existing calls
    split_from=ORCHESTRATOR_REQUESTS,
)
ORCHESTRATOR_CAMPAIGNS = Consumer(
    "orchestrator-campaigns",
    REQUESTS,
    (CampaignPauseRequested, CampaignResumeRequested),
    ack_wait=10,
    workers=1,
    max_ack_pending=1,
)
ORCHESTRATOR_FACTS = Consumer(
    "orchestrator-facts",
    CALLS,
    (
        DialRefused,
        DialLookedUp,
        TelephonyStatusReported,
        AnswerClassified,
        ConversationEnded,
        TimerDue,
        AdmissionGranted,
    ),
    former_events=(DialPlaced, DialUnknown),
)
VOICE_DIALS = Consumer(
    "voice-dials", CALLS, (CallStatusChanged,), status=CallStatus.DIALING, ack_wait=15, extends_ack_deadline=True
)
"""Its `ack_wait` is shorter than the shortest deadline of an attempt, which is 25 s: a ring time of 5 s, and 20 s for
the report of the network. So if a replica dies before its claim, another one dials within the same attempt."""
VOICE_HANGUPS = Consumer(
    "voice-hangups", CALLS, (CallHangupRequested,), max_ack_pending=MAX_DELAYED, backoff=OUTAGE_BACKOFF
)
VOICE_SETTLEMENTS = Consumer(
    "voice-settlements", CALLS, (CallSettlementRequested,), max_ack_pending=MAX_DELAYED, backoff=OUTAGE_BACKOFF
)
CONVERSATION_TURNS = Consumer("conversation-turns", CALLS, (SpeechHeard,))
CONSUMERS = (
    ORCHESTRATOR_REQUESTS,
    ORCHESTRATOR_COMMANDS,
    ORCHESTRATOR_CAMPAIGNS,
    ORCHESTRATOR_FACTS,
    VOICE_DIALS,
    VOICE_HANGUPS,
    VOICE_SETTLEMENTS,
    CONVERSATION_TURNS,
)
RETIRED_CONSUMERS = ((CALLS, "voice-greetings"),)
"""Durable consumers of older builds, which provisioning removes."""

CLIPS = ObjectBucket(
    "clips",
    "Reusable speech, under the digest of voice and text",
    max_bytes=512 * 1024 * 1024,
    max_age_seconds=7 * 24 * 3600,
)
ANSWERS = KeyValueBucket(
    "answers",
    "Answers to frequent questions, under the digest of the question; each expires by itself",
    max_bytes=16 * 1024 * 1024,
    max_age_seconds=24 * 3600,
    max_value_bytes=4096,
)
DIALS = KeyValueBucket(
    "dials",
    "Dials that each API key has reserved, under the key's name and the day, and for each id",
    max_bytes=128 * 1024 * 1024,
    max_age_seconds=2 * 24 * 3600,
    max_value_bytes=4096,
)
BUCKETS: tuple[Bucket, ...] = (CLIPS, ANSWERS, DIALS)
WATCHED_STREAMS = (*STREAMS, *(bucket.stream for bucket in BUCKETS))
"""The streams whose sizes campaign-stats exports as metrics."""


def call_filters(call_id: object) -> tuple[str, str]:
    """Returns the two filters that match every event of one call in the stream CALLS."""
    return call_state_filter(call_id), call_facts_filter(call_id)


def call_facts_filter(call_id: object) -> str:
    """Returns the filter that matches the facts of one call: all of its events but the decisions."""
    return f"*.*.{call_id}"


def call_state_filter(call_id: object) -> str:
    """Returns the filter for the decisions on a call: its last message is the state, its sequence the guard (law 1)."""
    return f"call.*.{call_id}.*"


def call_commands_filter(call_id: object) -> str:
    """Returns the filter for the commands of a call in the stream REQUESTS."""
    return f"call.*.{call_id}"


def campaign_state_filter(campaign_id: object) -> str:
    """Returns the filter for the decisions on a campaign in the stream CALLS; ``*``: on every campaign."""
    return f"campaign.*.{campaign_id}"


_CHAINS = frozenset(name for name, event in EVENTS.items() if issubclass(event, ChainEvent))


def subject_ids(subject: str) -> dict[str, str]:
    """Returns the id in a subject by its field's name (``call_id`` or ``campaign_id``); empty if it has none."""
    family, _, *rest = subject.split(".")
    return {"campaign_id" if family == "campaign" else "call_id": rest[0]} if rest else {}


def message_ids(subject: str, body: bytes) -> dict[str, str]:
    """As `subject_ids`; the id of an event of a chain is in its body."""
    if subject not in _CHAINS:
        return subject_ids(subject)
    try:
        return {"call_id": str(json.loads(body)["call_id"])}
    except (ValueError, KeyError, TypeError):
        return {}


_SLOT_EVENTS: tuple[type[Event], ...] = (AdmissionGranted, AdmissionReleased, DialClaimed)
SLOT_FILTERS = (
    *(f"call.*.*.{status}" for status in CallStatus if status not in LIVE_STATUSES),
    *(subject for event in _SLOT_EVENTS for subject in (event.subjects(), *event.former_subjects())),
)
"""What call-orchestrator reads of CALLS to compute which slots are occupied."""
CAMPAIGN_FILTERS = (campaign_state_filter("*"),)
"""What call-orchestrator reads of CALLS to know which campaigns are paused."""
DIAL_FILTERS = tuple(
    subject
    for event in (DialCleared, DialPlaced, DialRefused, DialUnknown)
    for subject in (event.subjects(), *event.former_subjects())
)
"""What voice reads of CALLS to compute the permits of the rate limit."""
TURN_FILTERS = (AudioRequested.subjects(), ReplyGenerated.subjects())
"""What voice reads of CALLS to speak the sentences of a turn."""


PROJECTION_FILTERS = (
    call_state_filter("*"),
    ReplyGenerated.subjects(),
    ConversationEnded.subjects(),
    campaign_state_filter("*"),
)
"""What campaign-stats reads of CALLS. It has no durable consumer: its checkpoint is in MongoDB (ADR 6)."""
