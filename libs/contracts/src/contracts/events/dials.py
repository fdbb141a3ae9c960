"""What voice says of an attempt to dial. Nobody is dialled twice (law 4)."""

from typing import ClassVar

from pydantic import AliasChoices, Field

from contracts.event import CallEvent, Service
from contracts.vocabulary import TelephonyStatus


class _DialFact(CallEvent):
    owners: ClassVar[frozenset[Service]] = frozenset({Service.VOICE})

    attempt: int


class DialCleared(_DialFact):
    """The account's pace allows this attempt to be dialled now. Appended by compare-and-set on the last one of all."""

    event_name: ClassVar[str] = "dial.cleared"
    version: ClassVar[int] = 2

    replay_from_sequence: int = Field(
        validation_alias=AliasChoices("replay_from_sequence", "since"),
        description="reading the log from here finds every permit that still counts after this one",
    )


class DialClaimed(_DialFact):
    """This attempt is about to be dialled. Appended by compare-and-set, before the request leaves; at most once."""

    event_name: ClassVar[str] = "dial.claimed"


class DialPlaced(_DialFact):
    """The provider has taken the call and named it."""

    event_name: ClassVar[str] = "dial.placed"

    provider: str = Field(default="twilio", description="the telephone provider that accepted the attempt")
    provider_call_id: str


class DialRefused(_DialFact):
    """The provider has refused for certain: the phone did not ring."""

    event_name: ClassVar[str] = "dial.refused"
    version: ClassVar[int] = 2

    is_permanent: bool = Field(validation_alias=AliasChoices("is_permanent", "permanent"))
    reason: str
    code: int | None = None


class DialUnknown(_DialFact):
    """The request left and no answer is known. Never dialled again; callbacks or a look-up settle it."""

    event_name: ClassVar[str] = "dial.unknown"

    reason: str


class DialLookedUp(_DialFact):
    """What the provider answered when it was asked for an overdue attempt; no status: it knows of no such call."""

    event_name: ClassVar[str] = "dial.looked_up"

    provider_call_id: str | None = None
    status: TelephonyStatus | None = None
    duration_seconds: int | None = None
