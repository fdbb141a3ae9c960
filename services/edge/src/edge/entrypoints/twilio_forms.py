"""Twilio's words for what happened, made into facts. Each fact comes with an id made of Twilio's own names for it."""

from collections.abc import Mapping
from uuid import UUID

from starlette.exceptions import HTTPException

from contracts import AnswerClassified, AnsweredBy, TelephonyStatus, TelephonyStatusReported
from edge.application.line import Heard

STATUSES = {
    "queued": TelephonyStatus.QUEUED,
    "initiated": TelephonyStatus.INITIATED,
    "ringing": TelephonyStatus.RINGING,
    "in-progress": TelephonyStatus.IN_PROGRESS,
    "completed": TelephonyStatus.COMPLETED,
    "busy": TelephonyStatus.BUSY,
    "no-answer": TelephonyStatus.NO_ANSWER,
    "failed": TelephonyStatus.FAILED,
    "canceled": TelephonyStatus.CANCELED,
}
"""``CallStatus`` of a callback (Twilio's Call resource)."""

NO_SUCH_NUMBER = frozenset({"404", "410", "484", "604"})
"""SIP answers (RFC 3261) that another dial cannot mend: not found, gone, address incomplete, exists nowhere."""

Form = Mapping[str, str]


def answer_reported(call_id: UUID, attempt: int, form: Form) -> tuple[TelephonyStatusReported, str]:
    """The voice webhook: Twilio asks what to say, so somebody has picked up."""
    sid = _needed(form, "CallSid")
    fact = TelephonyStatusReported(
        call_id=call_id, attempt=attempt, provider_call_id=sid, status=TelephonyStatus.IN_PROGRESS
    )
    return fact, f"twilio/{sid}/answer"


def status_reported(call_id: UUID, attempt: int, form: Form) -> tuple[TelephonyStatusReported, str]:
    """A status callback. Raises HTTPException (422) if a field is missing or says what we do not know."""
    sid, word = _needed(form, "CallSid"), _needed(form, "CallStatus")
    if word not in STATUSES:
        raise HTTPException(422, f"CallStatus {word!r} is not known")
    sequence, code = _number(form, "SequenceNumber"), form.get("SipResponseCode", "")
    fact = TelephonyStatusReported(
        call_id=call_id,
        attempt=attempt,
        provider_call_id=sid,
        status=STATUSES[word],
        sequence_number=sequence,
        duration_seconds=_number(form, "CallDuration"),
        is_permanent=word == "failed" and (not code or code in NO_SUCH_NUMBER),
        reason=f"SIP {code}" if code else None,
    )
    return fact, f"twilio/{sid}/{word if sequence is None else sequence}"


def answer_classified(call_id: UUID, attempt: int, form: Form) -> tuple[AnswerClassified, str]:
    """The result of answering-machine detection; a word that is new to us is `unknown`."""
    sid, word = _needed(form, "CallSid"), _needed(form, "AnsweredBy")
    if word.startswith("machine_"):
        answered_by = AnsweredBy.MACHINE
    else:
        answered_by = AnsweredBy(word) if word in set(AnsweredBy) else AnsweredBy.UNKNOWN
    fact = AnswerClassified(call_id=call_id, attempt=attempt, provider_call_id=sid, answered_by=answered_by)
    return fact, f"twilio/{sid}/amd"


def heard(call_id: UUID, attempt: int, turn: int, said: bool, form: Form) -> Heard:
    """The result of a ``<Gather>``; no ``SpeechResult`` is a silence."""
    text = form.get("SpeechResult", "").strip()
    return Heard(
        call_id=call_id,
        attempt=attempt,
        turn=turn,
        text=text,
        confidence=_confidence(form) if text else None,
        said=said,
        event_id=f"twilio/{_needed(form, 'CallSid')}/heard/{turn}",
    )


def _needed(form: Form, name: str) -> str:
    if not (value := form.get(name)):
        raise HTTPException(422, f"{name} is missing")
    return value


def _number(form: Form, name: str) -> int | None:
    value = form.get(name, "")
    return int(value) if value.isascii() and value.isdigit() else None


def _confidence(form: Form) -> float | None:
    try:
        value = float(form.get("Confidence", ""))
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None
