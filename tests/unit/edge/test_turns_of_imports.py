"""An import of contacts leaves other requests of the process their turn, also between empty and skipped lines."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from contracts import CampaignTerms
from contracts.campaign import Campaign
from contracts.number_digests import NumberDigests
from edge.application.contact_import import ContactImports
from edge.application.import_result import ImportCounts

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
