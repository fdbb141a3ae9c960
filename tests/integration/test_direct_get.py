"""Pages of stored messages on a real nats-server, by direct get."""

import asyncio
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from chassis import direct_get
from chassis.direct_get import get_page
from chassis.event_log import publish
from contracts.streams import CALLS

FILTER = "dial.placed.*"


@pytest.fixture
async def dials(bus_client: Client) -> list[int]:
    """Stores dials with another message between two of them; returns the sequences of the dials."""
    subjects = [f"{family}.{number}" for number in range(3) for family in ("dial.placed", "speech.heard")]
    return [(await publish(bus_client, subject, b"{}", {})).seq for subject in subjects][::2]


def sequences(page: direct_get.Page) -> list[int]:
    return [message.seq for message in page.messages]


async def test_a_stored_header_ends_no_page_and_changes_no_position(bus_client: Client) -> None:
    headers = {"Status": "204", "Nats-Sequence": "9", "Nats-Subject": "other", "Nats-Last-Sequence": "7"}
    for _ in range(3):
        await publish(bus_client, "dial.placed.1", b"{}", headers)
    page = await get_page(bus_client, CALLS.name, FILTER)
    assert sequences(page) == [1, 2, 3]
    assert {message.subject for message in page.messages} == {"dial.placed.1"}


@pytest.mark.parametrize("lost", [0, 1, 2, 3], ids=["the first", "one in the middle", "the last", "the end"])
async def test_a_page_of_which_a_part_was_lost_is_an_error(
    bus_client: Client, dials: list[int], lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, received = direct_get._Reply.add, 0

    def add_with_a_loss(self: Any, message: Msg) -> None:
        nonlocal received
        received += 1
        if received != lost + 1:
            add(self, message)

    monkeypatch.setattr(direct_get, "REQUEST_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(direct_get._Reply, "add", add_with_a_loss)
    with pytest.raises(TimeoutError):
        await get_page(bus_client, CALLS.name, FILTER)
    monkeypatch.undo()
    assert sequences(await get_page(bus_client, CALLS.name, FILTER)) == dials


async def test_all_requests_of_a_connection_need_one_subscription(bus_client: Client) -> None:
    before = len(bus_client._subs)
    stored = [(await publish(bus_client, "dial.placed.1", b"{}", {})).seq for _ in range(3)]
    pages = await asyncio.gather(*(get_page(bus_client, CALLS.name, FILTER) for _ in range(5)))
    assert [sequences(page) for page in pages] == [stored] * 5
    assert len(bus_client._subs) == before + 1


async def test_a_page_says_how_many_messages_follow_it(bus_client: Client, dials: list[int]) -> None:
    page = await get_page(bus_client, CALLS.name, FILTER, limit=1)
    assert (sequences(page), page.pending, page.has_more) == (dials[:1], 2, True)
    everything = await get_page(bus_client, CALLS.name, ">", start_sequence=dials[1])
    assert (sequences(everything), everything.pending) == ([3, 4, 5, 6], 0)
