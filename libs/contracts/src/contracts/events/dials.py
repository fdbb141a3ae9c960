"""Events about dialling. An attempt is dialled at most once (law 4)."""

from typing import ClassVar

from pydantic import AliasChoices, Field

from contracts.event import CallEvent, ChainEvent, Service
from contracts.vocabulary import TelephonyStatus


class _DialEvent(CallEvent):
    owners: ClassVar[frozenset[Service]] = frozenset({Service.VOICE})

    attempt: int


class DialCleared(ChainEvent):
    """The rate limiter permits this attempt. Each permit is guarded by the previous one, so all form one chain."""

    event_name: ClassVar[str] = "dial.cleared"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.VOICE})
    version: ClassVar[int] = 2

    attempt: int
    replay_from_sequence: int = Field(
        validation_alias=AliasChoices("replay_from_sequence", "since"),
        description="reading the log from here finds every permit that still counts after this one",
    )


class DialClaimed(_DialEvent):
    """The claim: only the process that appended it may send the dial request, and only afterwards. Guarded."""

    event_name: ClassVar[str] = "dial.claimed"


class DialPlaced(_DialEvent):
    """The provider accepted the attempt and returned its id."""

    event_name: ClassVar[str] = "dial.placed"

    provider: str = Field(default="twilio", description="the telephone provider that accepted the attempt")
    provider_call_id: str


class DialRefused(_DialEvent):
    """The attempt was certainly undialled: the provider refused it, or it was never sent."""

    event_name: ClassVar[str] = "dial.refused"
    version: ClassVar[int] = 2

    is_permanent: bool = Field(validation_alias=AliasChoices("is_permanent", "permanent"))
    reason: str
    code: int | None = None


class DialUnknown(_DialEvent):
    """The dial request was sent and no answer is known. It is never repeated; callbacks or a look-up settle it."""

    event_name: ClassVar[str] = "dial.unknown"

    reason: str


class DialLookedUp(_DialEvent):
    """The provider's answer about an overdue attempt. Without a status, the provider has no such call."""

    event_name: ClassVar[str] = "dial.looked_up"

    provider_call_id: str | None = None
    status: TelephonyStatus | None = None
    duration_seconds: int | None = None
