"""The shapes of the REST API for calls: what it returns, and the bodies that are not events of the contracts."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.json_schema import SkipJsonSchema

from chassis.event_log import StoredEvent, UnreadableEvent
from contracts import (
    RETRYABLE_STATUSES,
    CallChangeRequested,
    CallStatus,
    ConversationMode,
    Disposition,
    Purpose,
    RetryableStatus,
    VoicemailDelivery,
    VoicemailPolicy,
)
from contracts.call import Permission
from contracts.queries import MAX_PAGE
from contracts.retry_policy import RetryPolicy
from edge.application.calls import CallDetails

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_CURSOR = rf"^{_UUID}\.{_UUID}$"
_UNSUCCESSFUL = frozenset({CallStatus.FAILED, CallStatus.BUSY, CallStatus.NO_ANSWER, CallStatus.EXPIRED})


class CallResource(BaseModel):
    """One call. Durations are in seconds, instants in UTC."""

    id: UUID
    request_id: str
    campaign_id: str
    contact_id: str
    phone_number: str
    status: CallStatus
    created_at: datetime
    updated_at: datetime = Field(description="when the call last changed")
    scheduled_at: datetime | None = Field(description="before the first attempt: not dialled before this instant")
    next_attempt_at: datetime | None = Field(description="waiting to be dialled again: not before this instant")
    dialed_at: datetime | None = Field(description="when the latest attempt began")
    answered_at: datetime | None
    ended_at: datetime | None
    attempts: int = Field(description="attempts so far, including those that never reached the network")
    retry_attempts: int = Field(description="times that it was dialled after the first; at most max_retries")
    max_retries: int
    max_attempts: int | None = Field(description="dials in all that its campaign permits; null: no such limit")
    max_attempts_per_day: int | None = Field(description="dials in 24 hours that its campaign permits; null: no limit")
    retry_delay_seconds: int
    retry_policy: RetryPolicy | None = Field(description="rules of retries by outcome; null: none")
    goal: Disposition | None = Field(description="the goal of its campaign, for the rule goal_missed; null: none")
    outcome_retries: dict[str, int] = Field(description="retries so far, by outcome that has a rule in retry_policy")
    call_timeout_seconds: int = Field(description="maximum ring time")
    max_call_seconds: int = Field(description="maximum talk time")
    voicemail: VoicemailPolicy | None = Field(description="message to leave when a machine answers; null: none")
    voicemail_delivery: VoicemailDelivery | None = Field(
        description="how much of the message was left in the last attempt; null: no machine answered, or no message"
    )
    duration: int | None = Field(description="talk time of all attempts in seconds, as the provider bills it")
    callback_at: datetime | None = Field(
        description="when the person asked in the last attempt to be called again; null: they did not"
    )
    callback_reason: str | None = Field(description="why, in the words of the agent")
    callbacks: int = Field(description="times that the call waited because the person asked for it")
    disposition: Disposition | None = Field(description="how the conversation ended")
    reason: str | None = Field(description="why the call has this status")
    permission: Permission | None = Field(
        description="what the calling policy said at the last event; null: it was not asked, or it permitted the dial"
    )
    error_message: str | None = Field(description="why the call ended without success")
    twilio_sid: str | None = Field(description="the telephone provider's id of the latest attempt that has one")
    script_template: str
    variables: dict[str, str]
    language: str
    mode: ConversationMode = Field(description="how the conversation is held")
    has_tools: bool = Field(description="whether its campaign had tools of the model when the call was created")
    purpose: Purpose | None = Field(description="why the person is called; null: unknown")
    time_zone: str | None = Field(description="IANA time zone of the callee; null: that of the number")
    consent_at: datetime | None = Field(description="when the person consented to be called; null: not known")
    consent_source: str | None = Field(description="where the consent is recorded; null: not known")
    caller_id: str | None = Field(description="the number that calls; null: that of the installation")
    voice: str | None = Field(description="id of the voice that speaks; null: that of the installation")
    company: str | None = Field(description="on whose behalf it is made; null: the greeting names none")
    disclosure: str | None = Field(description="what the greeting begins with, if the call has a company")
    message_disclosure: str | None = Field(description="what the voicemail message begins with then")
    opt_out_key: str = Field(description="the key by which the callee asks for no more calls; off: none")
    retention_days: int | None = Field(
        description="days after the last call of the person until they are erased; null: as the installation is set"
    )
    metadata: dict[str, str]
    key_name: str | None = Field(description="name of the API key that requested it; null: requested over NATS")

    @classmethod
    def of(cls, details: CallDetails) -> "CallResource":
        """Returns the public form of a call; counters that only the state machine needs are left out."""
        call = details.call
        return cls(
            id=call.call_id,
            request_id=call.request_id,
            campaign_id=call.campaign_id,
            contact_id=call.contact_id,
            phone_number=call.phone_number,
            status=call.status,
            created_at=call.created_at,
            updated_at=details.updated_at,
            scheduled_at=call.due_at if call.attempt == 0 else None,
            next_attempt_at=call.due_at if call.attempt else None,
            dialed_at=call.dialed_at,
            answered_at=call.answered_at,
            ended_at=call.ended_at,
            attempts=call.attempt,
            retry_attempts=max(0, call.attempt - call.undialled_attempts - 1),
            max_retries=call.max_retries,
            max_attempts=call.max_attempts,
            max_attempts_per_day=call.max_attempts_per_day,
            retry_delay_seconds=call.retry_delay_seconds,
            retry_policy=call.retry_policy,
            goal=call.goal,
            outcome_retries=call.outcome_retries,
            call_timeout_seconds=call.call_timeout_seconds,
            max_call_seconds=call.max_call_seconds,
            voicemail=call.voicemail,
            voicemail_delivery=call.voicemail_delivery,
            duration=call.duration_seconds,
            callback_at=call.callback_at,
            callback_reason=call.callback_reason,
            callbacks=call.callbacks,
            disposition=call.disposition,
            reason=call.reason,
            permission=call.permission,
            error_message=call.reason if call.status in _UNSUCCESSFUL else None,
            twilio_sid=details.provider_call_id,
            script_template=call.script_template,
            variables=call.variables,
            language=call.language,
            mode=call.mode,
            has_tools=call.has_tools,
            purpose=call.purpose,
            time_zone=call.time_zone,
            consent_at=call.consent_at,
            consent_source=call.consent_source,
            caller_id=call.caller_id,
            voice=call.voice,
            company=call.company,
            disclosure=call.disclosure,
            message_disclosure=call.message_disclosure,
            opt_out_key=call.opt_out_key,
            retention_days=call.retention_days,
            metadata=call.metadata,
            key_name=call.key_name,
        )


class InitiatedCall(BaseModel):
    """The answer to ``/initiate``."""

    message: str
    call: CallResource


class CallAccepted(BaseModel):
    """The request is stored and not yet decided; the call will be at ``Location``."""

    id: UUID
    request_id: str


class StoredCancel(BaseModel):
    """The cancel is stored; the request of the call is not decided yet."""

    id: UUID


class CallChange(CallChangeRequested):
    """The fields to change; others stay as they are."""

    call_id: SkipJsonSchema[UUID] = Field(default=UUID(int=0), description="given by the path")

    def command(self, call_id: UUID) -> CallChangeRequested:
        """Returns the command for the call in the path. Raises RequestValidationError if the body names another."""
        if self.call_id not in (call_id, UUID(int=0)):
            error = {"type": "value_error", "loc": ("body", "call_id"), "msg": "is given by the path; leave it out"}
            raise RequestValidationError([error])
        return CallChangeRequested(call_id=call_id, **self.changes())


class CallSelection(BaseModel):
    """Which calls of a campaign to retry, and how many of them with this request."""

    model_config = ConfigDict(extra="forbid")

    statuses: Annotated[list[RetryableStatus], Field(min_length=1, max_length=len(RETRYABLE_STATUSES))]
    limit: int = Field(default=100, ge=1, le=MAX_PAGE, description="maximum number of calls")
    cursor: Annotated[str, StringConstraints(pattern=_CURSOR)] | None = Field(
        default=None, description="`next` of the previous page; without it, a new bulk retry begins"
    )


class Message(BaseModel):
    """Text in place of the callee's speech."""

    model_config = ConfigDict(extra="forbid")

    message: Annotated[str, StringConstraints(min_length=1, max_length=2_000, strip_whitespace=True)]


class EventResource(BaseModel):
    """One event of a call."""

    sequence: int = Field(description="position in the log of all calls")
    type: str = Field(examples=["call.status_changed.v1"])
    time: datetime
    source: str = Field(description="the service that published it")
    data: dict[str, Any]
    unreadable: list[str] = Field(
        default=[], description="why this version cannot decode the event; then `data` is empty"
    )
    subject: str = Field(examples=["call.status_changed.0d0f4ec7-0f3f-5d2c-9b93-0b1c3f6a6a52.dialing"])
    id: str | None = Field(default=None, description="id of the message; null: unreadable")
    causation_id: str | None = Field(default=None, description="id of the message that led to this one")
    correlation_id: str | None = Field(default=None, description="that of the request, if its sender set one")
    traceparent: str | None = Field(default=None, description="W3C trace context: version, trace, span and flags")

    @classmethod
    def of(cls, stored: StoredEvent | UnreadableEvent) -> "EventResource":
        """Returns the public form of a stored event."""
        if isinstance(stored, UnreadableEvent):
            return cls(
                sequence=stored.sequence,
                type=".".join(stored.subject.split(".")[:2]),
                time=stored.time,
                source="unknown",
                data={},
                unreadable=list(stored.reasons),
                subject=stored.subject,
            )
        envelope = stored.envelope
        return cls(
            sequence=stored.sequence,
            type=stored.event.type_name(),
            time=envelope.time,
            source=envelope.source,
            data=stored.event.model_dump(mode="json"),
            subject=stored.event.subject,
            id=envelope.id,
            causation_id=envelope.causation_id,
            correlation_id=envelope.correlation_id,
            traceparent=envelope.traceparent,
        )
