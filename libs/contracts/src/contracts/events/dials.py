"""Events about dialling. An attempt is dialled at most once (law 4)."""

import hashlib
from typing import ClassVar, Self

from pydantic import AliasChoices, Field

from contracts.call import Call
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

    number_digest: str | None = Field(
        default=None,
        description="16 bits of the SHA-256 of the phone number, in hexadecimal: thousands of numbers share each value",
    )

    @classmethod
    def of(cls, call: Call, attempt: int) -> Self:
        """Returns the claim of an attempt of a call."""
        return cls(call_id=call.call_id, attempt=attempt, number_digest=_digest_of_number(call.phone_number))

    def may_dial(self, phone_number: str) -> bool:
        """Returns false if the attempt is certainly to another number."""
        return self.number_digest in (None, _digest_of_number(phone_number))


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


def _digest_of_number(phone_number: str) -> str:
    """Returns a digest that tells most numbers apart and identifies none of them."""
    return hashlib.sha256(phone_number.encode()).hexdigest()[:4]
