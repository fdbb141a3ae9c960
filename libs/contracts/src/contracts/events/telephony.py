"""Reports of the telephone network: one event per callback, in any order."""

from typing import ClassVar

from pydantic import AliasChoices, Field

from contracts.event import CallEvent, Service
from contracts.personal import PersonalText
from contracts.vocabulary import AnsweredBy, TelephonyStatus


class TelephonyStatusReported(CallEvent):
    """One status callback of one attempt."""

    event_name: ClassVar[str] = "telephony.status_reported"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.EDGE})
    version: ClassVar[int] = 2

    attempt: int
    provider_call_id: str
    status: TelephonyStatus
    sequence_number: int | None = Field(default=None, description="the provider's, from 0; null on the voice webhook")
    duration_seconds: int | None = None
    is_permanent: bool = Field(
        default=False,
        validation_alias=AliasChoices("is_permanent", "permanent"),
        description="dialling again cannot succeed, e.g. no such number",
    )
    reason: str | None = Field(default=None, description="the network's code, e.g. 'SIP 486'")


class AnswerClassified(CallEvent):
    """The result of answering-machine detection."""

    event_name: ClassVar[str] = "telephony.answer_classified"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.EDGE})

    attempt: int
    provider_call_id: str
    answered_by: AnsweredBy
    is_after_beep: bool = Field(
        default=False, description="a machine, and its beep was heard; otherwise its greeting ended in silence"
    )


class MessageReported(CallEvent):
    """The network plays the message to a machine, or has played it to its end."""

    event_name: ClassVar[str] = "telephony.message_reported"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.EDGE})

    attempt: int
    provider_call_id: str
    is_finished: bool = Field(default=False, description="false: it begins")


class PersonRecognized(CallEvent):
    """The callee spoke after a machine verdict, and not as a voicemail does: a person answered."""

    event_name: ClassVar[str] = "telephony.person_recognized"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.EDGE})

    attempt: int
    turn: int = Field(description="the turn of the utterance")


class OptOutKeyPressed(CallEvent):
    """The callee pressed the opt-out key of the call."""

    event_name: ClassVar[str] = "telephony.opt_out_key_pressed"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.EDGE})

    attempt: int
    key: str


class DigitsSent(CallEvent):
    """The agent presses keys, after the words of its reply. It is stored before, so keys are pressed once at most."""

    event_name: ClassVar[str] = "telephony.digits_sent"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.EDGE, Service.VOICE})

    attempt: int
    turn: int = Field(description="the turn whose reply requests the keys")
    digits: PersonalText = Field(description="0–9, * and #, and w for half a second")
