"""One example of every event, about one call of one campaign, for the documents and the tests."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from contracts.action_examples import action_examples
from contracts.call import Call, Permission
from contracts.campaign_examples import CAMPAIGN_EXAMPLES, CAMPAIGN_ID, CONTACT_ID
from contracts.event import Event
from contracts.events.admissions import AdmissionGranted, AdmissionReleased, QueueJoined
from contracts.events.audio import AudioFailed, AudioReady, AudioRequested, SentenceAudio
from contracts.events.calls import (
    CallChanged,
    CallCommandRefused,
    CallConcluded,
    CallCreated,
    CallDue,
    CallHangupRequested,
    CallMessageRequested,
    CallMessageStarted,
    CallMessageWithdrawn,
    CallPutOff,
    CallSettlementRequested,
    CallStatusChanged,
)
from contracts.events.conversations import (
    ConversationEnded,
    ReplyGenerated,
    SpeechHeard,
    SpeechInterrupted,
    SpeechPlayed,
    ToolCall,
    TurnLatencies,
)
from contracts.events.dials import DialClaimed, DialCleared, DialLookedUp, DialPlaced, DialRefused, DialUnknown
from contracts.events.media import KeysPressed, MediaClosed, MediaDegraded, MediaKind, MediaLost, MediaOpened
from contracts.events.requests import (
    CallCancelRequested,
    CallChangeRequested,
    CallRequested,
    CallRetryRequested,
)
from contracts.events.telephony import (
    AnswerClassified,
    MessageReported,
    OptOutKeyPressed,
    PersonRecognized,
    TelephonyStatusReported,
)
from contracts.events.timers import TimerDue
from contracts.number_examples import NUMBER_EXAMPLES, PHONE_NUMBER
from contracts.tool_examples import TOOL_EXAMPLES
from contracts.values import call_id_of
from contracts.vocabulary import (
    AnsweredBy,
    CallStatus,
    DegradationReason,
    Disposition,
    HangupReason,
    InterruptionReason,
    MediaClosedReason,
    MediaLostReason,
    SpeechFallback,
    TelephonyStatus,
    VoicemailDelivery,
)
from contracts.voicemail import VoicemailPolicy

REQUEST_ID = "appointment-1027"
CALL_ID = call_id_of(REQUEST_ID)
_PROVIDER_CALL_ID = "CA" + "0" * 32
_STREAM_ID = "MZ" + "0" * 32
_CREATED = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
_DIALED = _CREATED + timedelta(seconds=1)
_ANSWERED = _CREATED + timedelta(seconds=9)

CALL = Call(
    call_id=CALL_ID,
    request_id=REQUEST_ID,
    campaign_id=CAMPAIGN_ID,
    contact_id=CONTACT_ID,
    phone_number=PHONE_NUMBER,
    script_template="Hola {{name}}, le llamamos de la clínica.\n\nConfirma la cita de mañana a las diez.",
    variables={"name": "Ana"},
    language="es",
    metadata={"branch": "centro"},
    max_retries=3,
    retry_delay_seconds=3600,
    call_timeout_seconds=30,
    max_call_seconds=600,
    created_at=_CREATED,
    status=CallStatus.PENDING,
    attempt=0,
    due_at=_CREATED,
    deadline_at=_CREATED,
    status_changed_at=_CREATED,
)
"""The call when it was created."""

_DIALING = CALL.model_copy(
    update={
        "status": CallStatus.DIALING,
        "attempt": 1,
        "due_at": None,
        "status_changed_at": _DIALED,
        "dialed_at": _DIALED,
        "deadline_at": _DIALED + timedelta(seconds=60),
    }
)
_TALKING = _DIALING.model_copy(
    update={
        "status": CallStatus.IN_PROGRESS,
        "status_changed_at": _ANSWERED,
        "answered_at": _ANSWERED,
        "deadline_at": _ANSWERED + timedelta(seconds=600),
    }
)
_CONCLUDED = _TALKING.model_copy(
    update={"disposition": Disposition.CONFIRMED, "deadline_at": _ANSWERED + timedelta(seconds=40)}
)
_MACHINE = _TALKING.model_copy(
    update={
        "voicemail": VoicemailPolicy(message="Hola {{name}}, le llamaremos mañana."),
        "voicemail_delivery": VoicemailDelivery.NONE,
        "deadline_at": _ANSWERED + timedelta(seconds=60),
    }
)
_HANGING_UP = _CONCLUDED.model_copy(update={"hangup_reason": HangupReason.CONCLUDED})

_QUEUED = CALL.model_copy(update={"is_queued": True, "deadline_at": _CREATED + timedelta(days=1)})

_OPENS = _CREATED + timedelta(hours=17)
_PUT_OFF = CALL.model_copy(
    update={
        "due_at": _OPENS,
        "deadline_at": _OPENS,
        "dial_expires_at": _OPENS + timedelta(days=1),
        "permission": Permission(
            rule="calling_hours",
            detail="22:00 on Monday in America/New_York; sales calls to US are permitted from 08:00 to 21:00",
            policy_version="3f1c9a2b",
        ),
    }
)

_ALL: tuple[Event, ...] = (
    CallRequested(
        request_id=REQUEST_ID,
        campaign_id=CAMPAIGN_ID,
        contact_id=CALL.contact_id,
        phone_number=CALL.phone_number,
        script_template=CALL.script_template,
        variables=CALL.variables,
        max_retries=3,
        metadata=CALL.metadata,
    ),
    CallCancelRequested(call_id=CALL_ID),
    CallRetryRequested(call_id=CALL_ID),
    CallChangeRequested(call_id=CALL_ID, scheduled_at=_CREATED + timedelta(hours=2), max_retries=1),
    CallCreated(call=CALL, occurred_at=_CREATED),
    CallDue(call=_QUEUED, occurred_at=_CREATED),
    CallPutOff(call=_PUT_OFF, occurred_at=_CREATED),
    QueueJoined(call_id=CALL_ID, campaign_id=CAMPAIGN_ID, attempt=1, due_at=_CREATED, due_sequence=1041),
    AdmissionGranted(call_id=CALL_ID, campaign_id=CAMPAIGN_ID, attempt=1, due_sequence=1041, replay_from_sequence=988),
    AdmissionReleased(call_id=CALL_ID, attempt=1, grant_sequence=1043),
    CallStatusChanged(
        call=_DIALING, occurred_at=_DIALED, previous=CallStatus.PENDING, status=CallStatus.DIALING, attempt=1
    ),
    CallCommandRefused(
        call=CALL,
        occurred_at=_CREATED,
        command="call.retry_requested",
        reason="the call is waiting to be dialled; initiate it to dial now",
    ),
    CallChanged(call=CALL, occurred_at=_CREATED, changed=("max_retries",)),
    CallConcluded(call=_CONCLUDED, occurred_at=_ANSWERED + timedelta(seconds=30)),
    CallHangupRequested(call=_HANGING_UP, occurred_at=_ANSWERED + timedelta(seconds=40)),
    CallMessageRequested(call=_MACHINE, occurred_at=_ANSWERED + timedelta(seconds=6)),
    CallMessageStarted(
        call=_MACHINE.model_copy(update={"voicemail_delivery": VoicemailDelivery.CUT}),
        occurred_at=_ANSWERED + timedelta(seconds=7),
    ),
    CallMessageWithdrawn(
        call=_MACHINE.model_copy(update={"voicemail_delivery": None}), occurred_at=_ANSWERED + timedelta(seconds=9)
    ),
    CallSettlementRequested(call=_DIALING, occurred_at=_DIALED + timedelta(seconds=60)),
    DialCleared(call_id=CALL_ID, attempt=1, replay_from_sequence=1031),
    DialClaimed.of(CALL, 1),
    DialPlaced(call_id=CALL_ID, attempt=1, provider_call_id=_PROVIDER_CALL_ID),
    DialRefused(call_id=CALL_ID, attempt=1, is_permanent=True, reason="the number cannot be dialled", code=21211),
    DialUnknown(call_id=CALL_ID, attempt=1, reason="no answer within 15 s"),
    DialLookedUp(
        call_id=CALL_ID,
        attempt=1,
        provider_call_id=_PROVIDER_CALL_ID,
        status=TelephonyStatus.COMPLETED,
        duration_seconds=42,
    ),
    TelephonyStatusReported(
        call_id=CALL_ID,
        attempt=1,
        provider_call_id=_PROVIDER_CALL_ID,
        status=TelephonyStatus.RINGING,
        sequence_number=1,
    ),
    AnswerClassified(call_id=CALL_ID, attempt=1, provider_call_id=_PROVIDER_CALL_ID, answered_by=AnsweredBy.HUMAN),
    MessageReported(call_id=CALL_ID, attempt=1, provider_call_id=_PROVIDER_CALL_ID, is_finished=True),
    PersonRecognized(call_id=CALL_ID, attempt=1, turn=2),
    OptOutKeyPressed(call_id=CALL_ID, attempt=1, key="9"),
    MediaOpened(call_id=CALL_ID, attempt=1, generation=1, stream_id=_STREAM_ID, previous_turn=0, kind=MediaKind.RELAY),
    MediaClosed(
        call_id=CALL_ID,
        attempt=1,
        generation=1,
        reason=MediaClosedReason.DRAINED,
        seconds=12.4,
        frames=620,
        underruns=1,
        unclaimed_text="Well, on Tuesday I",
    ),
    MediaLost(call_id=CALL_ID, attempt=1, generation=2, reason=MediaLostReason.DIED),
    MediaDegraded(call_id=CALL_ID, attempt=1, reason=DegradationReason.LOST_STREAMS),
    KeysPressed(call_id=CALL_ID, attempt=1, turn=1, keys="1027"),
    SpeechInterrupted(
        call_id=CALL_ID,
        attempt=1,
        turn=0,
        sentence=0,
        heard="Hola Ana, le llamamos",
        heard_seconds=1.2,
        reason=InterruptionReason.WORDS,
    ),
    SpeechPlayed(
        call_id=CALL_ID,
        attempt=1,
        turn=1,
        is_complete=True,
        seconds=2.3,
        latencies=TurnLatencies(
            endpoint_seconds=0.5,
            log_seconds=0.002,
            first_sentence_seconds=0.41,
            synthesis_seconds=0.13,
            playout_seconds=0.004,
        ),
    ),
    SpeechHeard(call_id=CALL_ID, attempt=1, turn=1, text="Sí, allí estaré.", confidence=0.93, language="es"),
    ReplyGenerated(
        call_id=CALL_ID,
        attempt=1,
        turn=1,
        text="Perfecto, gracias. Hasta mañana.",
        sentences=2,
        model="gpt-4o-mini",
        prompt_tokens=210,
        completion_tokens=12,
        first_token_seconds=0.31,
        latency_seconds=0.52,
        tool_calls=(ToolCall(name="end_call", arguments={"disposition": "confirmed"}),),
    ),
    AudioRequested(
        call_id=CALL_ID, attempt=1, turn=1, sentence=0, text="Perfecto, gracias.", language="es", is_reusable=False
    ),
    AudioReady(
        call_id=CALL_ID,
        attempt=1,
        turn=1,
        sentence=0,
        duration_seconds=1.4,
        is_cached=False,
        provider="elevenlabs",
        first_byte_seconds=0.21,
        later=(
            SentenceAudio(
                sentence=1,
                duration_seconds=0.9,
                is_cached=True,
                provider="clips",
                fallback=SpeechFallback.CLIP,
            ),
        ),
    ),
    AudioFailed(call_id=CALL_ID, attempt=1, turn=1, sentence=2, reason="quota exceeded", fallback="say"),
    ConversationEnded(
        call_id=CALL_ID,
        attempt=1,
        turn=1,
        disposition=Disposition.CONFIRMED,
        summary="The appointment is confirmed.",
        fields={"time": "10:00"},
        goodbye_seconds=2.5,
    ),
    *TOOL_EXAMPLES,
    *action_examples(_TALKING, _ANSWERED + timedelta(seconds=20)),
    *CAMPAIGN_EXAMPLES,
    *NUMBER_EXAMPLES,
    TimerDue(call_id=CALL_ID, deadline_at=_DIALED + timedelta(seconds=60)),
)

EXAMPLES: Mapping[str, Event] = {event.event_name: event for event in _ALL}
"""An example of every event, by event name."""
