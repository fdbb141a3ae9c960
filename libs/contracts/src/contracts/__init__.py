"""The messages between Centralita's services and its upstream systems: events, values, subjects, streams.

A contract is data: a frozen pydantic model for the body, one subject, named owners and a version. Nothing in it is
specific to Python: ``schemas/`` and ``asyncapi.json`` beside this package describe the same for every other language.
"""

from contracts.call import Call
from contracts.campaign import Campaign, CampaignTerms
from contracts.campaign_terms import RequestedTerms
from contracts.envelope import Envelope
from contracts.event import CallDecision, CallEvent, CampaignDecision, CampaignEvent, ChainEvent, Event, Service
from contracts.events import EVENTS, decode
from contracts.events.admissions import AdmissionGranted, AdmissionReleased, QueueJoined
from contracts.events.audio import AudioFailed, AudioReady, AudioRequested, SentenceAudio
from contracts.events.calls import (
    CallChanged,
    CallCommandRefused,
    CallConcluded,
    CallCreated,
    CallDue,
    CallHangupRequested,
    CallPutOff,
    CallSettlementRequested,
    CallStatusChanged,
)
from contracts.events.campaigns import (
    CampaignChanged,
    CampaignCreated,
    CampaignFinished,
    CampaignPaused,
    CampaignResumed,
    CampaignStarted,
)
from contracts.events.contacts import ContactAdded, ContactGroupAdded
from contracts.events.conversations import ConversationEnded, ReplyGenerated, SpeechHeard, ToolCall
from contracts.events.dials import DialClaimed, DialCleared, DialLookedUp, DialPlaced, DialRefused, DialUnknown
from contracts.events.numbers import NumberChanged
from contracts.events.requests import (
    CallCancelRequested,
    CallChangeRequested,
    CallCommand,
    CallRequested,
    CallRetryRequested,
    CampaignChangeRequested,
    CampaignCommand,
    CampaignCreateRequested,
    CampaignFinishRequested,
    CampaignPauseRequested,
    CampaignResumeRequested,
    CampaignStartRequested,
    ContactRequested,
)
from contracts.events.telephony import AnswerClassified, TelephonyStatusReported
from contracts.events.timers import TimerDue
from contracts.invalid import InvalidMessage, reasons_of
from contracts.number_state import NumberState
from contracts.queries import (
    CallList,
    CallListQuery,
    CampaignCalls,
    CampaignCallsQuery,
    CampaignList,
    CampaignListQuery,
    CampaignStatistics,
    CampaignStatisticsQuery,
    CommandOutcome,
    outcome_subject,
)
from contracts.values import CallId, CampaignId, ContactId, Language, PhoneNumber, call_id_of
from contracts.vocabulary import (
    FINAL_STATUSES,
    LIVE_STATUSES,
    RETRYABLE_STATUSES,
    AnsweredBy,
    CallStatus,
    CampaignStatus,
    Disposition,
    HangupReason,
    Purpose,
    ReplySource,
    RetryableStatus,
    SpeechFallback,
    TelephonyStatus,
)

__all__ = [
    "EVENTS",
    "FINAL_STATUSES",
    "LIVE_STATUSES",
    "RETRYABLE_STATUSES",
    "AdmissionGranted",
    "AdmissionReleased",
    "AnswerClassified",
    "AnsweredBy",
    "AudioFailed",
    "AudioReady",
    "AudioRequested",
    "Call",
    "CallCancelRequested",
    "CallChangeRequested",
    "CallChanged",
    "CallCommand",
    "CallCommandRefused",
    "CallConcluded",
    "CallCreated",
    "CallDecision",
    "CallDue",
    "CallEvent",
    "CallHangupRequested",
    "CallId",
    "CallList",
    "CallListQuery",
    "CallPutOff",
    "CallRequested",
    "CallRetryRequested",
    "CallSettlementRequested",
    "CallStatus",
    "CallStatusChanged",
    "Campaign",
    "CampaignCalls",
    "CampaignCallsQuery",
    "CampaignChangeRequested",
    "CampaignChanged",
    "CampaignCommand",
    "CampaignCreateRequested",
    "CampaignCreated",
    "CampaignDecision",
    "CampaignEvent",
    "CampaignFinishRequested",
    "CampaignFinished",
    "CampaignId",
    "CampaignList",
    "CampaignListQuery",
    "CampaignPauseRequested",
    "CampaignPaused",
    "CampaignResumeRequested",
    "CampaignResumed",
    "CampaignStartRequested",
    "CampaignStarted",
    "CampaignStatistics",
    "CampaignStatisticsQuery",
    "CampaignStatus",
    "CampaignTerms",
    "ChainEvent",
    "CommandOutcome",
    "ContactAdded",
    "ContactGroupAdded",
    "ContactId",
    "ContactRequested",
    "ConversationEnded",
    "DialClaimed",
    "DialCleared",
    "DialLookedUp",
    "DialPlaced",
    "DialRefused",
    "DialUnknown",
    "Disposition",
    "Envelope",
    "Event",
    "HangupReason",
    "InvalidMessage",
    "Language",
    "NumberChanged",
    "NumberState",
    "PhoneNumber",
    "Purpose",
    "QueueJoined",
    "ReplyGenerated",
    "ReplySource",
    "RequestedTerms",
    "RetryableStatus",
    "SentenceAudio",
    "Service",
    "SpeechFallback",
    "SpeechHeard",
    "TelephonyStatus",
    "TelephonyStatusReported",
    "TimerDue",
    "ToolCall",
    "call_id_of",
    "decode",
    "outcome_subject",
    "reasons_of",
]
