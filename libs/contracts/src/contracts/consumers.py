"""Durable consumers as data: which service handles which events."""

from dataclasses import dataclass, field

from contracts.event import Event
from contracts.events.admissions import AdmissionGranted
from contracts.events.calls import CallHangupRequested, CallMessageRequested, CallSettlementRequested, CallStatusChanged
from contracts.events.campaign_requests import (
    CampaignChangeRequested,
    CampaignCreateRequested,
    CampaignFinishRequested,
    CampaignPauseRequested,
    CampaignResumeRequested,
    CampaignStartRequested,
)
from contracts.events.campaigns import CampaignFinished
from contracts.events.conversations import CallbackScheduled, ConversationEnded, SpeechHeard
from contracts.events.dials import DialLookedUp, DialPlaced, DialRefused, DialUnknown
from contracts.events.numbers import NumberBlockRequested, NumberUnblockRequested
from contracts.events.persons import PersonEraseRequested
from contracts.events.requests import (
    CallCancelRequested,
    CallChangeRequested,
    CallRequested,
    CallRetryRequested,
    ContactRequested,
)
from contracts.events.telephony import (
    AnswerClassified,
    MessageReported,
    OptOutKeyPressed,
    PersonRecognized,
    TelephonyStatusReported,
)
from contracts.events.timers import TimerDue
from contracts.events.transfers import TransferAnswered, TransferEnded, TransferStarted
from contracts.streams import CALLS, REQUESTS, Stream
from contracts.vocabulary import CallStatus


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
    (
        CampaignPauseRequested,
        CampaignResumeRequested,
        CampaignCreateRequested,
        CampaignChangeRequested,
        CampaignStartRequested,
        CampaignFinishRequested,
    ),
    ack_wait=10,
    workers=1,
    max_ack_pending=1,
)
ORCHESTRATOR_CONTACTS = Consumer("orchestrator-contacts", REQUESTS, (ContactRequested,))
ORCHESTRATOR_FACTS = Consumer(
    "orchestrator-facts",
    CALLS,
    (
        DialRefused,
        DialLookedUp,
        TelephonyStatusReported,
        AnswerClassified,
        MessageReported,
        PersonRecognized,
        OptOutKeyPressed,
        TransferStarted,
        TransferAnswered,
        TransferEnded,
        ConversationEnded,
        CallbackScheduled,
        TimerDue,
        AdmissionGranted,
    ),
    former_events=(DialPlaced, DialUnknown),
)
ORCHESTRATOR_FINISHES = Consumer("orchestrator-finishes", CALLS, (CampaignFinished,), extends_ack_deadline=True)
"""Its handler looks at each call that waits."""
VOICE_DIALS = Consumer(
    "voice-dials", CALLS, (CallStatusChanged,), status=CallStatus.DIALING, ack_wait=15, extends_ack_deadline=True
)
"""Its `ack_wait` is shorter than the 20 s within which voice carries an order out, and so than the shortest deadline of
an attempt, which is 25 s: a ring time of 5 s, and 20 s for the report of the network. So if a replica dies before its
claim, another one dials within the same attempt."""
VOICE_HANGUPS = Consumer(
    "voice-hangups", CALLS, (CallHangupRequested,), max_ack_pending=MAX_DELAYED, backoff=OUTAGE_BACKOFF
)
VOICE_MESSAGES = Consumer(
    "voice-messages", CALLS, (CallMessageRequested,), max_ack_pending=MAX_DELAYED, backoff=OUTAGE_BACKOFF
)
VOICE_SETTLEMENTS = Consumer(
    "voice-settlements", CALLS, (CallSettlementRequested,), max_ack_pending=MAX_DELAYED, backoff=OUTAGE_BACKOFF
)
CONVERSATION_TURNS = Consumer("conversation-turns", CALLS, (SpeechHeard,), ack_wait=5, extends_ack_deadline=True)
"""Its callee waits on the line: if a replica dies, another one answers before voice ends the live conversation, which
is 12 s after the utterance (ADR 77)."""
ORCHESTRATOR_NUMBERS = Consumer(
    "orchestrator-numbers",
    REQUESTS,
    (NumberBlockRequested, NumberUnblockRequested),
    max_ack_pending=500,
)
ORCHESTRATOR_PERSONS = Consumer(
    "orchestrator-persons",
    REQUESTS,
    (PersonEraseRequested,),
    workers=2,
    max_ack_pending=500,
    extends_ack_deadline=True,
)
"""An erasure reads each open call, and waits for the end of live ones."""
CONSUMERS = (
    ORCHESTRATOR_REQUESTS,
    ORCHESTRATOR_COMMANDS,
    ORCHESTRATOR_CAMPAIGNS,
    ORCHESTRATOR_CONTACTS,
    ORCHESTRATOR_NUMBERS,
    ORCHESTRATOR_PERSONS,
    ORCHESTRATOR_FACTS,
    ORCHESTRATOR_FINISHES,
    VOICE_DIALS,
    VOICE_HANGUPS,
    VOICE_MESSAGES,
    VOICE_SETTLEMENTS,
    CONVERSATION_TURNS,
)
RETIRED_CONSUMERS = ((CALLS, "voice-greetings"),)
"""Durable consumers of older builds, which provisioning removes."""
