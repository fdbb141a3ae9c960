"""What the telephone network reports, one callback a fact, in whatever order it comes."""

from typing import ClassVar

from pydantic import AliasChoices, Field

from contracts.event import CallEvent, Service
from contracts.vocabulary import AnsweredBy, TelephonyStatus


class TelephonyStatusReported(CallEvent):
    """One callback of one attempt."""

    event_name: ClassVar[str] = "telephony.status_reported"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.EDGE})
    version: ClassVar[int] = 2

    attempt: int
    provider_call_id: str
    status: TelephonyStatus
    sequence_number: int | None = Field(default=None, description="the provider's, from 0; none on the voice webhook")
    duration_seconds: int | None = None
    is_permanent: bool = Field(
        default=False,
        validation_alias=AliasChoices("is_permanent", "permanent"),
        description="dialling again cannot succeed, e.g. no such number",
    )
    reason: str | None = Field(default=None, description="the network's code, e.g. 'SIP 486'")


class AnswerClassified(CallEvent):
    """Answering-machine detection has come to a result."""

    event_name: ClassVar[str] = "telephony.answer_classified"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.EDGE})

    attempt: int
    provider_call_id: str
    answered_by: AnsweredBy
