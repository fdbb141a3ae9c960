"""Every event, and how a message becomes one."""

from collections.abc import Mapping

from pydantic import ValidationError

from contracts.event import Event
from contracts.events.admissions import AdmissionGranted, AdmissionReleased, QueueJoined
from contracts.events.audio import AudioFailed, AudioReady, AudioRequested
from contracts.events.calls import (
    CallChanged,
    CallConcluded,
    CallCreated,
    CallDue,
    CallHangupRequested,
    CallSettlementRequested,
    CallStatusChanged,
)
from contracts.events.campaigns import CampaignPaused, CampaignResumed
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
from contracts.events.timers import TimerDue
from contracts.invalid import InvalidMessage, reasons_of

_TYPES: tuple[type[Event], ...] = (
    CallRequested,
    CallCancelRequested,
    CallRetryRequested,
    CallChangeRequested,
    CampaignPauseRequested,
    CampaignResumeRequested,
    CallCreated,
    CallStatusChanged,
    CallDue,
    CallChanged,
    CallConcluded,
    CallHangupRequested,
    CallSettlementRequested,
    QueueJoined,
    AdmissionGranted,
    AdmissionReleased,
    DialCleared,
    DialClaimed,
    DialPlaced,
    DialRefused,
    DialUnknown,
    DialLookedUp,
    TelephonyStatusReported,
    AnswerClassified,
    SpeechHeard,
    ReplyGenerated,
    AudioRequested,
    AudioReady,
    AudioFailed,
    ConversationEnded,
    CampaignPaused,
    CampaignResumed,
    TimerDue,
)

EVENTS: Mapping[str, type[Event]] = {event.event_name: event for event in _TYPES}
"""Every event type by its fact, which is also the first two tokens of its subject."""


def decode(subject: str, body: bytes) -> Event:
    """The event that a message carries. Raises InvalidMessage."""
    fact = ".".join(subject.split(".")[:2])
    if fact not in EVENTS:
        raise InvalidMessage([f"subject: no event is called {fact!r}"])
    try:
        event = EVENTS[fact].model_validate_json(body)
    except ValidationError as error:
        raise InvalidMessage(reasons_of(error)) from error
    if event.subject != subject:
        raise InvalidMessage([f"subject: the body belongs on {event.subject!r}"])
    return event
