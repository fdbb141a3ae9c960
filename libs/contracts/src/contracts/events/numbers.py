"""The states of telephone numbers: which attempt dials one, when it was dialled, and whether it may be called.

The commands about do-not-call lists are in the stream ``REQUESTS``. Only the edge may publish them, because it records
each act in the audit log.
"""

from typing import ClassVar

from pydantic import ConfigDict, Field

from contracts.event import NumberEvent, Service
from contracts.instants import Instant
from contracts.number_state import NumberState
from contracts.values import CampaignId, DoNotCallListName, NumberDigest, PhoneNumber
from contracts.vocabulary import DoNotCallSource


class NumberChanged(NumberEvent):
    """The state of a number after a change. The stream ``NUMBERS`` keeps the newest one of each number.

    One that lists the number on no do-not-call list expires after the longest frequency cap.
    """

    event_name: ClassVar[str] = "number.changed"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.ORCHESTRATOR})

    number: NumberState
    occurred_at: Instant

    @property
    def digest(self) -> str:
        """The digest of the number."""
        return self.number.number_digest


class _NumberCommand(NumberEvent):
    model_config = ConfigDict(extra="forbid")

    owners: ClassVar[frozenset[Service]] = frozenset({Service.EDGE})

    number_digest: NumberDigest
    campaign_id: CampaignId | None = Field(default=None, description="null: all campaigns, or a named list")
    list_name: DoNotCallListName | None = Field(default=None, description="null: no named list")

    @property
    def digest(self) -> str:
        """The digest of the number."""
        return self.number_digest


class NumberBlockRequested(_NumberCommand):
    """A command to list a number: no call to it begins from now on in the campaigns to which the list applies."""

    event_name: ClassVar[str] = "number.block_requested"

    phone_number: PhoneNumber = Field(description="E.164")
    source: DoNotCallSource = DoNotCallSource.REQUEST


class NumberUnblockRequested(_NumberCommand):
    """A command to remove an entry of a do-not-call list."""

    event_name: ClassVar[str] = "number.unblock_requested"


NumberCommand = NumberBlockRequested | NumberUnblockRequested
"""A command about a number."""


def is_number_command(subject: str) -> bool:
    """Whether messages of a subject change a do-not-call list. The time of each counts: the newest change stays."""
    return subject.startswith(tuple(f"{one.event_name}." for one in (NumberBlockRequested, NumberUnblockRequested)))
