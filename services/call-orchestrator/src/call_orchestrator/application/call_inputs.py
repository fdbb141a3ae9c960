"""Translates stored messages into inputs of the state machine."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never
from uuid import UUID

from call_orchestrator.domain import inputs
from contracts import (
    AdmissionGranted,
    AnswerClassified,
    CallbackScheduled,
    CallCancelRequested,
    CallChangeRequested,
    CallCommand,
    CallRequested,
    CallRetryRequested,
    Campaign,
    ConversationEnded,
    DialLookedUp,
    DialRefused,
    Envelope,
    MessageReported,
    OptOutKeyPressed,
    PersonRecognized,
    TelephonyStatusReported,
    TimerDue,
    TransferAnswered,
    TransferEnded,
    TransferStarted,
    call_id_of,
)
from contracts.dial_terms import DialTerms
from contracts.transfers import SCREENING_SECONDS, TransferKind

TransferEvent = TransferStarted | TransferAnswered | TransferEnded
AttemptEvent = (
    DialRefused
    | DialLookedUp
    | TelephonyStatusReported
    | AnswerClassified
    | MessageReported
    | PersonRecognized
    | TransferEvent
    | OptOutKeyPressed
    | ConversationEnded
    | CallbackScheduled
)
DecidingEvent = CallRequested | CallCommand | AttemptEvent | TimerDue | AdmissionGranted
"""Every message that the orchestrator decides about a call."""


@dataclass(frozen=True, slots=True)
class CallInput:
    """An input for one call and the envelope of its message.

    `request` and `command` are the message if it is one, and `sequence` is its position in the stream REQUESTS.
    `grant_sequence` is its sequence if it grants a slot.
    """

    call_id: UUID
    input: inputs.Input
    cause: Envelope
    is_redelivered: bool = False
    request: CallRequested | None = None
    command: CallCommand | None = None
    sequence: int | None = None
    sent_at: datetime | None = None
    """When the message was sent (`chassis.event_log.StoredEvent.sent_at`); None: the time of its envelope."""
    grant_sequence: int | None = None
    dial_terms: DialTerms | None = None
    """What of the campaign's terms restricts the dial, as its grant carries it. None: the input is no grant."""
    callback_reason: str | None = None
    """Why the callee asked to be called again. None: the input is no such request."""
    campaign: Campaign | None = None
    """The campaign as it was read for a grant that is carried out late. None: it is as it was at the grant."""

    @property
    def is_new_request(self) -> bool:
        """Whether it is a request that was not delivered before, so that there is probably no call yet."""
        return self.request is not None and not self.is_redelivered

    @property
    def requested_at(self) -> datetime:
        """When a request or command was sent."""
        return self.sent_at or self.cause.time


def call_input(
    event: DecidingEvent,
    cause: Envelope,
    *,
    is_redelivered: bool = False,
    sequence: int | None = None,
    sent_at: datetime | None = None,
) -> CallInput:
    """Returns the input in a message. The id of its message identifies a request without an id.

    `sequence`: the position of a request or command in the stream REQUESTS. `sent_at`: as in `CallInput`.
    """
    if isinstance(event, CallRequested):
        request_id = event.request_id or cause.id
        request = event.model_copy(update={"request_id": request_id})
        return CallInput(
            call_id_of(request_id),
            _input(event),
            cause,
            is_redelivered,
            request=request,
            sequence=sequence,
            sent_at=sent_at,
        )
    command = event if isinstance(event, CallCommand) else None
    dial_terms = event.dial_terms if isinstance(event, AdmissionGranted) else None
    return CallInput(
        event.call_id,
        _input(event),
        cause,
        is_redelivered,
        command=command,
        sequence=sequence,
        sent_at=sent_at,
        dial_terms=dial_terms,
        callback_reason=event.reason if isinstance(event, CallbackScheduled) else None,
    )


def _input(event: DecidingEvent) -> inputs.Input:
    match event:
        case CallRequested():
            return inputs.CallRequested(scheduled_at=event.scheduled_at)
        case CallChangeRequested():
            changes_terms = bool(event.changes().keys() - {"scheduled_at", "metadata"})
            return inputs.CallChangeRequested(scheduled_at=event.scheduled_at, changes_terms=changes_terms)
        case CallCancelRequested():
            return inputs.CallCancelRequested()
        case CallRetryRequested():
            return inputs.CallRetryRequested()
        case TimerDue():
            return inputs.TimerDue(
                deadline_at=event.deadline_at,
                is_number_free=event.is_number_free,
                is_campaign_finished=event.is_campaign_finished,
            )
        case AdmissionGranted():
            return inputs.AdmissionGranted(attempt=event.attempt)
        case _:
            return _attempt_input(event)


def _attempt_input(event: AttemptEvent) -> inputs.Input:
    match event:
        case DialRefused():
            return inputs.DialRefused(attempt=event.attempt, is_permanent=event.is_permanent, reason=event.reason)
        case DialLookedUp():
            return inputs.DialLookedUp(
                attempt=event.attempt, status=event.status, duration_seconds=event.duration_seconds
            )
        case TelephonyStatusReported():
            return inputs.TelephonyStatusReported(
                attempt=event.attempt,
                status=event.status,
                duration_seconds=event.duration_seconds,
                is_permanent=event.is_permanent,
                reason=event.reason,
            )
        case AnswerClassified():
            return inputs.AnswerClassified(
                attempt=event.attempt, answered_by=event.answered_by, is_after_beep=event.is_after_beep
            )
        case MessageReported():
            return inputs.MessageReported(attempt=event.attempt, is_finished=event.is_finished)
        case PersonRecognized():
            return inputs.PersonRecognized(attempt=event.attempt)
        case TransferStarted() | TransferAnswered() | TransferEnded():
            return _transfer_input(event)
        case OptOutKeyPressed():
            return inputs.OptOutKeyPressed(attempt=event.attempt)
        case ConversationEnded():
            return inputs.ConversationEnded(
                attempt=event.attempt, disposition=event.disposition, goodbye_seconds=event.goodbye_seconds
            )
        case CallbackScheduled():
            return inputs.CallbackScheduled(attempt=event.attempt, at=event.at, number=event.number)
        case _:
            assert_never(event)


def _transfer_input(event: TransferEvent) -> inputs.TransferInput:
    match event:
        case TransferStarted():
            screening_seconds = SCREENING_SECONDS if event.kind is TransferKind.WARM else 0
            seconds = event.ring_seconds + screening_seconds + event.max_seconds
            return inputs.TransferStarted(attempt=event.attempt, turn=event.turn, longest=timedelta(seconds=seconds))
        case TransferAnswered():
            return inputs.TransferAnswered(attempt=event.attempt, turn=event.turn, is_accepted=event.is_accepted)
        case TransferEnded():
            return inputs.TransferEnded(attempt=event.attempt, turn=event.turn, status=event.status)
        case _:
            assert_never(event)
