"""Transfers: the callee is connected with a person of the company (docs/transfers.md).

A transfer belongs to the turn in whose reply the agent announced it. It begins once that reply was heard, unless the
callee has claimed another turn before.
"""

from typing import ClassVar

from pydantic import Field

from contracts.event import CallEvent, Service
from contracts.personal import PersonalText
from contracts.transfers import TransferKind, TransferStatus


class TransferRequested(CallEvent):
    """The agent will transfer the callee, once its words were heard."""

    event_name: ClassVar[str] = "conversation.transfer_requested"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.CONVERSATION})

    attempt: int
    turn: int = Field(ge=1, description="the turn in whose reply it is announced")
    destination: str = Field(description="its name in the terms of the campaign")
    kind: TransferKind
    phone_number: PersonalText = Field(description="that of the terms, in E.164")
    summary: PersonalText = Field(default="", description="what the person hears before a warm transfer")


class _TransferEvent(CallEvent):
    owners: ClassVar[frozenset[Service]] = frozenset({Service.EDGE})

    attempt: int
    turn: int


class TransferStarted(_TransferEvent):
    """The telephone provider was instructed to dial the person."""

    event_name: ClassVar[str] = "telephony.transfer_started"

    destination: str
    kind: TransferKind
    ring_seconds: int = Field(description="how long the telephone of the person rings at most")
    max_seconds: int = Field(description="how long both may talk at most")
    words: PersonalText = Field(
        default="", description="what the callee said after the announcement, which claims no turn; empty: nothing"
    )


class TransferAnswered(_TransferEvent):
    """The person has answered. Of a warm transfer: has accepted it by the key, or has not."""

    event_name: ClassVar[str] = "telephony.transfer_answered"

    is_accepted: bool = True


class TransferEnded(_TransferEvent):
    """The transfer is over: both have talked, or no person was connected."""

    event_name: ClassVar[str] = "telephony.transfer_ended"

    destination: str
    status: TransferStatus
    seconds: int = Field(default=0, description="how long the leg of the person lasted, as the provider reports it")
