"""The turns of an import: other requests run between them, and each row of an interrupted one has one result."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from contracts import CampaignTerms
from contracts.campaign import Campaign
from contracts.number_digests import NumberDigests
from contracts.queries import CallingTimes, CallingTimesQuery
from edge.application.contact_import import BATCH, ContactImports
from edge.application.errors import ImportInterrupted
from edge.application.import_result import ImportCounts
from edge.ports import Unavailable

LINES = 2_000


class OneCampaign:
    async def state(self, campaign_id: str) -> Campaign:
        return Campaign(campaign_id=campaign_id, terms=CampaignTerms(script_template="Hello."))


class NoContacts:
    async def groups(self, _: str) -> set[str]:
        return set()


async def one_part(content: bytes) -> AsyncIterator[bytes]:
    yield content


@pytest.mark.parametrize(
    ("content", "from_line"),
    [(b"phone_number\n" + b"\n" * LINES, 1), (b"phone_number\n" + b"1\n" * LINES, LINES + 10)],
    ids=["empty lines", "skipped lines"],
)
async def test_other_tasks_run_between_the_lines_of_one_part(content: bytes, from_line: int) -> None:
    imports = ContactImports(cast("Any", NoContacts()), cast("Any", OneCampaign()), NumberDigests(b"k" * 32))
    counts, turns = ImportCounts("spring", is_dry_run=True, with_csv=False), 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    await imports.run(one_part(content), counts, is_csv=True, from_line=from_line)
    counting.cancel()
    assert counts.rows == 0
    assert turns >= LINES / 50


class OneOutage(NoContacts):
    """Contacts of a server that answers one question only: when a group may be called."""

    def __init__(self) -> None:
        self.questions = 0

    async def calling_times(self, _: CallingTimesQuery) -> CallingTimes:
        self.questions += 1
        if self.questions > 1:
            raise Unavailable("call-orchestrator does not answer")
        return CallingTimes(first_at=datetime.now(UTC), rule="calling_hours", detail="")

    async def listed(self, *_: object) -> dict[str, str]:
        return {}


async def test_an_outage_within_a_turn_names_the_first_line_without_a_result() -> None:
    numbers = [f"+1212555{number:04}" for number in range(BATCH + 3)]
    lines = ["phone_number", *numbers, "+13055550001", "wrong"]  # the second group is that of line BATCH + 5
    imports = ContactImports(cast("Any", OneOutage()), cast("Any", OneCampaign()), NumberDigests(b"k" * 32))
    counts = ImportCounts("spring", is_dry_run=True, with_csv=False)
    with pytest.raises(ImportInterrupted) as interrupted:
        await imports.run(one_part("\n".join(lines).encode()), counts, is_csv=True)
    assert interrupted.value.line == BATCH + 2
    assert counts.added == BATCH
