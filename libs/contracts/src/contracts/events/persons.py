"""The erasure of a person: the command, and the fact that certifies it.

A person is a telephone number, named by its digest. Neither event contains personal data.
"""

from typing import ClassVar

from pydantic import ConfigDict, Field

from contracts.event import NumberEvent, Service
from contracts.instants import Instant
from contracts.values import NumberDigest
from contracts.vocabulary import ErasureReason


class PersonEraseRequested(NumberEvent):
    """A command to erase a person: open calls are canceled, waiting contacts removed, and the key is destroyed."""

    model_config = ConfigDict(extra="forbid")

    event_name: ClassVar[str] = "person.erase_requested"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.EDGE, Service.ORCHESTRATOR})

    number_digest: NumberDigest
    reason: ErasureReason = ErasureReason.REQUEST
    kept_until: Instant | None = Field(
        default=None, description="only if the personal data of no call is kept longer, and no call is open or to come"
    )

    @property
    def digest(self) -> str:
        """The digest of the number."""
        return self.number_digest


class PersonErased(NumberEvent):
    """The person is erased: the certificate. What was sealed under the key can no longer be read.

    The counts are those of the delivery that finished the command. What an interrupted one removed is not counted.
    """

    event_name: ClassVar[str] = "person.erased"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.ORCHESTRATOR})

    number_digest: str
    reason: ErasureReason = ErasureReason.REQUEST
    requested_at: Instant = Field(description="when the erasure began; earlier requests lead to no call")
    erased_at: Instant = Field(description="when the key was destroyed")
    had_key: bool = Field(default=False, description="false: nothing was sealed under a key of this person")
    contacts_removed: int = Field(
        default=0, description="waiting contacts, at least: a delivery that was interrupted is not counted"
    )
    dead_letters_removed: int = Field(default=0, description="dead letters that named the person, at least, as above")

    @property
    def digest(self) -> str:
        """The digest of the number."""
        return self.number_digest
