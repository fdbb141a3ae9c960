"""The do-not-call lists: adding, removing, checking and listing numbers.

The orchestrator decides the commands and keeps the lists, with the state of each number. The edge reads them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from contracts import NumberBlockRequested, NumberCommand, NumberState, NumberUnblockRequested
from contracts.number_digests import NumberDigests
from contracts.number_state import ALL_CAMPAIGNS, ListScope
from contracts.personal import PLACEHOLDERS
from contracts.vocabulary import DoNotCallSource
from edge.application.calls import raise_if_refused
from edge.application.campaigns import Campaigns
from edge.ports import Numbers, Requests

ONE_LIST = "give campaign_id or list_name, not both"


class DoNotCallEntryResource(BaseModel):
    """One entry: the number is on the list of this campaign, on the named list, or on that of all campaigns."""

    campaign_id: str | None = Field(description="null: a named list, or that of all campaigns")
    list_name: str | None = Field(description="null: the list of the campaign, or that of all campaigns")
    listed_at: datetime
    source: DoNotCallSource
    call_id: UUID | None = Field(
        description="the call in which the person opted out; null for a key that is limited to campaigns"
    )


class DoNotCallNumber(BaseModel):
    """A number and its entries; without an entry it may be called."""

    id: str = Field(description="the keyed digest of the number", examples=["6f1c7a0b9d2e4f58a3b1c6d7e8f90a12"])
    phone_number: str | None = Field(
        description="E.164; null: it is not listed, the person was erased, or a key that is limited to campaigns reads "
        "an entry that is not on their lists"
    )
    entries: list[DoNotCallEntryResource]

    @classmethod
    def of(
        cls, number: NumberState, scopes: Collection[ListScope] | None, campaigns: frozenset[str] | None
    ) -> "DoNotCallNumber":
        """Returns the entries of a number on these lists; None: on all.

        `campaigns`: those of a limited key, which reads a number and its calls only in entries of their lists.
        """
        listed = [one for one in number.do_not_call if one.is_listed and (scopes is None or one.scope in scopes)]
        own = [one.scope for one in listed if campaigns is None or one.campaign_id in campaigns]
        entries = [
            DoNotCallEntryResource(
                campaign_id=one.campaign_id,
                list_name=one.list_name,
                listed_at=one.changed_at,
                source=one.source,
                call_id=one.call_id if one.scope in own else None,
            )
            for one in listed
        ]
        is_known = bool(own) and number.phone_number not in PLACEHOLDERS
        return cls(id=number.number_digest, phone_number=number.phone_number if is_known else None, entries=entries)


@dataclass(frozen=True, slots=True)
class ListPage:
    """Listed numbers; `next_sequence`: where the next page begins, if there may be one."""

    numbers: Sequence[DoNotCallNumber]
    next_sequence: int | None


class DoNotCallLists:
    """Commands and queries about the lists. Every method raises Unavailable without a connection to NATS."""

    def __init__(self, numbers: Numbers, campaigns: Campaigns, requests: Requests, digests: NumberDigests) -> None:
        self._numbers = numbers
        self._campaigns = campaigns
        self._requests = requests
        self._digests = digests

    def id_of(self, phone_number: str) -> str:
        """Returns the id of a number."""
        return self._digests.of(phone_number)

    async def check(
        self, phone_number: str, concerning: ListScope, campaigns: frozenset[str] | None
    ) -> DoNotCallNumber:
        """Returns the entries of a number; with a campaign, those that concern it; with a list, those of the list.

        `campaigns`: those of a limited key; None: the key is not limited.
        """
        number = await self._numbers.get(self.id_of(phone_number))
        found = DoNotCallNumber.of(number, await self._scopes(concerning), campaigns)
        is_shown = found.entries and number.phone_number not in (None, *PLACEHOLDERS)
        return found.model_copy(update={"phone_number": phone_number if is_shown else None})

    async def add(
        self, phone_number: str, scope: ListScope, campaigns: frozenset[str] | None
    ) -> tuple[DoNotCallNumber, bool]:
        """Lists a number. Returns its entries, and whether the command is decided. Raises Refused.

        To a limited key, the entries are those that concern the campaign of `scope`.
        """
        command = block_of(self._digests, phone_number, scope, DoNotCallSource.REQUEST)
        return await self._command(command, scope, campaigns)

    async def remove(
        self, number_id: str, scope: ListScope, campaigns: frozenset[str] | None
    ) -> tuple[DoNotCallNumber, bool]:
        """Removes the entry of a list. The rest is as for `add`."""
        command = NumberUnblockRequested(number_digest=number_id, **scope._asdict())
        return await self._command(command, scope, campaigns)

    async def page(
        self, concerning: ListScope, campaigns: frozenset[str] | None, *, after_sequence: int, limit: int
    ) -> ListPage:
        """Returns listed numbers and their entries, of which those are shown that `check` shows."""
        scopes = await self._scopes(concerning)
        page = await self._numbers.page(after_sequence=after_sequence, limit=limit)
        found = [DoNotCallNumber.of(number, scopes, campaigns) for number in page.numbers]
        return ListPage([one for one in found if one.entries], page.last_sequence if page.has_more else None)

    async def _scopes(self, concerning: ListScope) -> Collection[ListScope] | None:
        """Returns the lists that apply to a campaign, or the named list; None: all lists."""
        if concerning.list_name is not None:
            return (concerning,)
        if concerning.campaign_id is None:
            return None
        terms = (await self._campaigns.state(concerning.campaign_id)).dial_terms
        return ALL_CAMPAIGNS, concerning, *(ListScope(list_name=name) for name in terms.do_not_call_lists)

    async def _command(
        self, command: NumberCommand, scope: ListScope, campaigns: frozenset[str] | None
    ) -> tuple[DoNotCallNumber, bool]:
        outcome = await self._requests.send(command)
        raise_if_refused(outcome)
        scopes = await self._scopes(ALL_CAMPAIGNS if campaigns is None else scope)
        number = await self._numbers.get(command.number_digest)
        return DoNotCallNumber.of(number, scopes, campaigns), outcome is not None


def block_of(
    digests: NumberDigests, phone_number: str, scope: ListScope, source: DoNotCallSource
) -> NumberBlockRequested:
    """Returns the command that lists a number."""
    digest = digests.of(phone_number)
    return NumberBlockRequested(number_digest=digest, phone_number=phone_number, source=source, **scope._asdict())
