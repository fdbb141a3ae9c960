"""Builds calls."""

from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict, Unpack
from uuid import UUID

from contracts import Call, CallStatus, Disposition, HangupReason, VoicemailPolicy, call_id_of
from contracts.retry_policy import RetryPolicy
from contracts.turn_taking import TurnTakingTerms

NOW = datetime(2030, 1, 15, 12, tzinfo=UTC)
"""The instant of every default: when the call was created and when its status began."""


class CallChanges(TypedDict, total=False):
    """The fields of a call that tests change."""

    call_id: UUID
    request_id: str
    campaign_id: str
    contact_id: str
    phone_number: str
    number_digest: str | None
    script_template: str
    variables: dict[str, str]
    language: str
    metadata: dict[str, str]
    max_retries: int
    retry_delay_seconds: int
    retry_policy: RetryPolicy | None
    outcome_retries: dict[str, int]
    caller_id: str | None
    company: str | None
    voice: str | None
    call_timeout_seconds: int
    max_call_seconds: int
    created_at: datetime
    attempt: int
    undialled_attempts: int
    undialled_in_a_row: int
    dial_expires_at: datetime | None
    due_at: datetime | None
    is_queued: bool
    deadline_at: datetime | None
    status_changed_at: datetime
    dialed_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    duration_seconds: int | None
    reason: str | None
    disposition: Disposition | None
    hangup_reason: HangupReason | None
    settlement_checks: int
    command_sequence: int | None
    granted_sequence: int | None
    voicemail: VoicemailPolicy | None
    turn_taking: TurnTakingTerms | None


def a_call(status: CallStatus = CallStatus.PENDING, **changes: Unpack[CallChanges]) -> Call:
    """Returns a call with everything that its status needs. The call id follows from `request_id`."""
    request_id = changes.get("request_id", "request-1")
    fields: dict[str, Any] = {
        "call_id": call_id_of(request_id),
        "request_id": request_id,
        "campaign_id": "reminders",
        "contact_id": "contact-1",
        "phone_number": "+12125550123",
        "script_template": "Hola {{name}}.\n\nConfirma la cita.",
        "variables": {"name": "Ana"},
        "language": "es",
        "metadata": {},
        "max_retries": 3,
        "retry_delay_seconds": 3600,
        "call_timeout_seconds": 30,
        "max_call_seconds": 600,
        "created_at": NOW,
        "status": status,
        "status_changed_at": NOW,
        **_fields_of(status),
        **changes,
    }
    return Call.model_validate(fields)


def _fields_of(status: CallStatus) -> dict[str, Any]:
    if status is CallStatus.PENDING:
        return {"attempt": 0, "due_at": NOW, "deadline_at": NOW}
    attempt = {"attempt": 1, "dialed_at": NOW}
    if status.is_final:
        return {**attempt, "ended_at": NOW}
    answered = {"answered_at": NOW} if status is CallStatus.IN_PROGRESS else {}
    return {**attempt, **answered, "deadline_at": NOW + timedelta(minutes=1)}
