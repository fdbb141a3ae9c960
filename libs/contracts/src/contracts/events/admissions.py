"""Slots: which calls wait for one, and which slots are granted and released."""

from typing import ClassVar

from pydantic import AliasChoices, Field

from contracts.dial_terms import NO_DIAL_TERMS, DialTerms
from contracts.event import CallEvent, ChainEvent, Service
from contracts.instants import Instant

_ORCHESTRATOR = frozenset({Service.ORCHESTRATOR})


class QueueJoined(CallEvent):
    """The call waits for a slot. The stream ``QUEUE`` is an index of the log and can be rebuilt from it."""

    event_name: ClassVar[str] = "queue.joined"
    owners: ClassVar[frozenset[Service]] = _ORCHESTRATOR
    version: ClassVar[int] = 2

    campaign_id: str
    attempt: int = Field(description="the attempt that the slot is for")
    due_at: Instant
    due_sequence: int = Field(
        validation_alias=AliasChoices("due_sequence", "due"),
        description="sequence of the event since which the call waits",
    )


class AdmissionGranted(ChainEvent):
    """The call has a slot. Each grant is guarded by the previous one, so all grants form one chain.

    The slot is occupied until a later event of the call leaves it not live, or until the grant is released.
    """

    event_name: ClassVar[str] = "admission.granted"
    owners: ClassVar[frozenset[Service]] = _ORCHESTRATOR
    version: ClassVar[int] = 2

    campaign_id: str
    attempt: int
    due_sequence: int = Field(
        validation_alias=AliasChoices("due_sequence", "due"),
        description="sequence of the event since which the call waits",
    )
    replay_from_sequence: int = Field(
        validation_alias=AliasChoices("replay_from_sequence", "since"),
        description="reading the log from here finds every slot that is occupied after this grant",
    )
    dial_terms: DialTerms = Field(
        default=NO_DIAL_TERMS, description="what of the campaign's terms restricts the dial, read from the leader"
    )


class AdmissionReleased(ChainEvent):
    """The slot is free again: when it was granted, the call no longer waited."""

    event_name: ClassVar[str] = "admission.released"
    owners: ClassVar[frozenset[Service]] = _ORCHESTRATOR
    version: ClassVar[int] = 2

    attempt: int
    grant_sequence: int = Field(
        validation_alias=AliasChoices("grant_sequence", "granted"), description="sequence of the grant"
    )
