"""Slots: who waits for one, who was given one, and which were given in vain."""

from typing import ClassVar

from pydantic import AliasChoices, AwareDatetime, Field

from contracts.event import CallEvent, Service
from contracts.values import CampaignId

_ORCHESTRATOR = frozenset({Service.ORCHESTRATOR})


class QueueJoined(CallEvent):
    """The call waits for a slot: its place in the stream ``QUEUE``, which is an index and no record."""

    event_name: ClassVar[str] = "queue.joined"
    owners: ClassVar[frozenset[Service]] = _ORCHESTRATOR
    version: ClassVar[int] = 2

    campaign_id: CampaignId
    attempt: int = Field(description="the one that waits to be dialled")
    due_at: AwareDatetime
    due_sequence: int = Field(
        validation_alias=AliasChoices("due_sequence", "due"), description="sequence of the call.due event"
    )


class AdmissionGranted(CallEvent):
    """The call has a slot. Appended by compare-and-set on the last grant of all, so grants stand in one order.

    The slot is held until a later event of the call says that it is not live, or until it is released.
    """

    event_name: ClassVar[str] = "admission.granted"
    owners: ClassVar[frozenset[Service]] = _ORCHESTRATOR
    version: ClassVar[int] = 2

    campaign_id: CampaignId
    attempt: int
    due_sequence: int = Field(
        validation_alias=AliasChoices("due_sequence", "due"), description="sequence of the call.due event"
    )
    replay_from_sequence: int = Field(
        validation_alias=AliasChoices("replay_from_sequence", "since"),
        description="reading the log from here finds every slot that is occupied after this grant",
    )


class AdmissionReleased(CallEvent):
    """The slot was given in vain: when it came, the call waited no more."""

    event_name: ClassVar[str] = "admission.released"
    owners: ClassVar[frozenset[Service]] = _ORCHESTRATOR
    version: ClassVar[int] = 2

    attempt: int
    grant_sequence: int = Field(
        validation_alias=AliasChoices("grant_sequence", "granted"), description="sequence of the grant"
    )
