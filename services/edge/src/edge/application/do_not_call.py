"""The do-not-call lists: adding, removing, checking, importing and listing numbers.

The orchestrator decides the commands and keeps the lists, with the state of each number. The edge reads them.
"""

import asyncio
import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from contracts import CampaignId, NumberBlockRequested, NumberCommand, NumberState, NumberUnblockRequested, PhoneNumber
from contracts.number_digests import NumberDigests
from contracts.vocabulary import DoNotCallSource
from edge.application.calls import raise_if_refused
from edge.ports import Numbers, Requests

MAX_SHOWN = 100
"""How many refused rows an answer names."""
MAX_PENDING = 50
"""Rows of an import whose outcome is awaited at a time. So a single command waits behind few of them."""
NUMBER_COLUMN, CAMPAIGN_COLUMN = "phone_number", "campaign_id"
_NUMBER: TypeAdapter[str] = TypeAdapter(PhoneNumber)
_CAMPAIGN: TypeAdapter[str] = TypeAdapter(CampaignId)


class DoNotCallEntryResource(BaseModel):
    """One entry: the number is not called in this campaign, or in any."""

    campaign_id: str | None = Field(description="null: all campaigns")
    listed_at: datetime
    source: DoNotCallSource
    call_id: UUID | None = Field(description="the call in which the person opted out")


class DoNotCallNumber(BaseModel):
    """A number and its entries; without an entry it may be called."""

    id: str = Field(description="the keyed digest of the number", examples=["6f1c7a0b9d2e4f58a3b1c6d7e8f90a12"])
    phone_number: str | None = Field(description="E.164; null: the number is not listed")
    entries: list[DoNotCallEntryResource]

    @classmethod
    def of(cls, number: NumberState, campaign_id: str | None) -> "DoNotCallNumber":
        """Returns the entries of a number; with a campaign, those that concern it."""
        entries = [
            DoNotCallEntryResource(
                campaign_id=one.campaign_id, listed_at=one.changed_at, source=one.source, call_id=one.call_id
            )
            for one in number.do_not_call
            if one.is_listed and (campaign_id is None or one.campaign_id in (None, campaign_id))
        ]
        return cls(id=number.number_digest, phone_number=number.phone_number if entries else None, entries=entries)


class RefusedRow(BaseModel):
    """A row of an import that was not added."""

    line: int
    reason: str


class ImportedNumbers(BaseModel):
    """The result of an import."""

    added: int = Field(description="numbers that are listed now, also those that were listed before")
    undecided: int = Field(description="rows that are stored, but not decided yet")
    refused: int
    refused_rows: list[RefusedRow] = Field(description=f"the first {MAX_SHOWN} of them")


@dataclass(frozen=True, slots=True)
class ListPage:
    """Listed numbers; `next_sequence`: where the next page begins, if there may be one."""

    numbers: Sequence[DoNotCallNumber]
    next_sequence: int | None


class WrongHeader(Exception):
    """The first line of an import does not name the columns."""


@dataclass(slots=True)
class _Import:
    added: int = 0
    undecided: int = 0
    refused: list[RefusedRow] = field(default_factory=list)

    def result(self) -> ImportedNumbers:
        return ImportedNumbers(
            added=self.added,
            undecided=self.undecided,
            refused=len(self.refused),
            refused_rows=sorted(self.refused, key=lambda row: row.line)[:MAX_SHOWN],
        )


class DoNotCallLists:
    """Commands and queries about the lists. Every method raises Unavailable without a connection to NATS."""

    def __init__(self, numbers: Numbers, requests: Requests, digests: NumberDigests) -> None:
        self._numbers = numbers
        self._requests = requests
        self._digests = digests

    def id_of(self, phone_number: str) -> str:
        """Returns the id of a number."""
        return self._digests.of(phone_number)

    async def get(self, number_id: str, campaign_id: str | None = None) -> DoNotCallNumber:
        """Returns the entries of a number; with a campaign, those that concern it."""
        return DoNotCallNumber.of(await self._numbers.get(number_id), campaign_id)

    async def add(self, phone_number: str, campaign_id: str | None) -> tuple[DoNotCallNumber, bool]:
        """Lists a number. Returns its entries, and whether the command is decided. Raises Refused."""
        return await self._command(self._block(phone_number, campaign_id, DoNotCallSource.REQUEST))

    async def remove(self, number_id: str, campaign_id: str | None) -> tuple[DoNotCallNumber, bool]:
        """Removes the entry of a campaign, or that of all campaigns. The rest is as for `add`."""
        return await self._command(NumberUnblockRequested(number_digest=number_id, campaign_id=campaign_id))

    async def import_csv(self, text: str, allowed: frozenset[str] | None) -> ImportedNumbers:
        """Lists the numbers of a CSV file. `allowed`: the campaigns that rows must name; None: any, or none.

        Wrong rows are refused, and the others are added. The same import again changes nothing. Raises WrongHeader.
        """
        rows = csv.DictReader(text.removeprefix("\ufeff").splitlines(), strict=False)
        if NUMBER_COLUMN not in (rows.fieldnames or ()):
            raise WrongHeader
        result, pending = _Import(), asyncio.Semaphore(MAX_PENDING)
        async with asyncio.TaskGroup() as tasks:
            for row in rows:
                await pending.acquire()
                task = tasks.create_task(self._import_row(rows.line_num, row, allowed, result))
                task.add_done_callback(lambda _: pending.release())
        return result.result()

    async def page(self, campaign_id: str | None, *, after_sequence: int, limit: int) -> ListPage:
        """Returns listed numbers; with a campaign, those whose entries concern it."""
        page = await self._numbers.page(after_sequence=after_sequence, limit=limit)
        found = [DoNotCallNumber.of(number, campaign_id) for number in page.numbers]
        return ListPage([one for one in found if one.entries], page.last_sequence if page.has_more else None)

    async def _import_row(
        self, line: int, row: dict[str, str | None], allowed: frozenset[str] | None, result: _Import
    ) -> None:
        campaign_id = (row.get(CAMPAIGN_COLUMN) or "").strip() or None
        try:
            number = _valid(NUMBER_COLUMN, _NUMBER, (row.get(NUMBER_COLUMN) or "").strip())
            if campaign_id is not None:
                _valid(CAMPAIGN_COLUMN, _CAMPAIGN, campaign_id)
            if allowed is not None and campaign_id not in allowed:
                raise ValueError(f"campaign_id: this key is limited to {', '.join(sorted(allowed))}")
        except ValueError as error:
            result.refused.append(RefusedRow(line=line, reason=str(error)))
            return
        outcome = await self._requests.send(self._block(number, campaign_id, DoNotCallSource.IMPORT))
        if outcome and not outcome.accepted:
            result.refused.append(RefusedRow(line=line, reason="; ".join(outcome.reasons)))
        result.added += bool(outcome and outcome.accepted)
        result.undecided += outcome is None

    def _block(self, phone_number: str, campaign_id: str | None, source: DoNotCallSource) -> NumberBlockRequested:
        return NumberBlockRequested(
            number_digest=self.id_of(phone_number), phone_number=phone_number, campaign_id=campaign_id, source=source
        )

    async def _command(self, command: NumberCommand) -> tuple[DoNotCallNumber, bool]:
        outcome = await self._requests.send(command)
        raise_if_refused(outcome)
        return await self.get(command.number_digest), outcome is not None


def _valid(column: str, type: TypeAdapter[str], value: str) -> str:
    """Returns the value of a column. Raises ValueError, which names the column."""
    try:
        return type.validate_python(value)
    except ValidationError as error:
        raise ValueError(f"{column}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
