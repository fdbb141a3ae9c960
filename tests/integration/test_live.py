"""Listening to a stream on a real nats-server: history, then new messages, each once and in order, or an error."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import nats
import pytest
from nats.aio.client import Client
from tests.fakes.lost_messages import lose

from centralita.embedded.servers import restartable_nats_server
from chassis import live, stream_scan
from chassis.background import cancel_until_done, run_in_background
from chassis.deletion import erase_message
from chassis.direct_get import StoredMessage, get_page
from chassis.event_log import EventLog, Guard, publish
from chassis.live import Incomplete, chained, listen
from chassis.provision import provision
from chassis.stream_scan import decoded
from chassis.unreadable import UnreadableEvent
from contracts import DialPlaced, SpeechHeard
from contracts.examples import EXAMPLES
from contracts.streams import CALLS, QUEUE, Stream

FILTERS = ["dial.placed.*", "dial.refused.*", "audio.requested.*"]
SPEECH = EXAMPLES[SpeechHeard.event_name]
PUBLISHERS, MESSAGES = 64, 12


@pytest.fixture(autouse=True)
def _short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "CHECK_SECONDS", 0.3)
    monkeypatch.setattr(live, "GRACE_SECONDS", 0.3)


async def store(client: Client, subject: str) -> int:
    return (await publish(client, subject, b"{}", {})).seq


class Listening:
    """A listener that begins again after each loss, as its callers do."""

    def __init__(self, client: Client, stream: Stream = CALLS) -> None:
        self.sequences: list[int] = []
        self.losses = 0
        self._client = client
        self._stream = stream

    async def run(self) -> None:
        while True:
            filters = FILTERS if self._stream is CALLS else self._stream.subjects
            try:
                async with aclosing(listen(self._client, self._stream, filters, start_sequence=1)) as batches:
                    async for batch in batches:
                        self.sequences += [message.seq for message in batch]
            except Incomplete:
                self.losses += 1
                self.sequences = []

    async def wait_for(self, sequence: int) -> None:
        async with asyncio.timeout(60):
            while not self.sequences or self.sequences[-1] < sequence:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def listening(client: Client, stream: Stream = CALLS) -> AsyncIterator[Listening]:
    one = Listening(client, stream)
    async with run_in_background(one.run()):
        yield one


async def publish_many(client: Client, number: int) -> list[int]:
    """Stores messages, half of which match, and returns the sequences of these."""
    families = ("dial.placed", "speech.heard", "audio.requested", "dial.claimed")
    return [
        sequence
        for each in range(MESSAGES)
        if (sequence := await store(client, f"{families[each % 4]}.{number}")) and each % 4 in (0, 2)
    ]


async def test_64_publishers_lose_nothing_and_nothing_arrives_twice_or_out_of_order(bus_client: Client) -> None:
    before = await publish_many(bus_client, 0)
    async with listening(bus_client) as one:
        published = await asyncio.gather(*(publish_many(bus_client, number) for number in range(PUBLISHERS)))
        expected = sorted([*before, *(sequence for sequences in published for sequence in sequences)])
        await one.wait_for(expected[-1])
        await asyncio.sleep(2 * live.CHECK_SECONDS)  # also what arrives late would be in the list
        assert one.sequences == expected
        assert one.losses == 0


async def test_the_history_ends_although_a_message_is_stored_after_each_page(
    bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = 0

    async def store_after_the_page(*arguments: Any, **options: Any) -> Any:
        nonlocal pages
        pages += 1
        page = await get_page(*arguments, **options)
        await store(bus_client, "dial.placed.0")
        return page

    await store(bus_client, "dial.placed.0")
    monkeypatch.setattr(stream_scan, "get_page", store_after_the_page)
    async with listening(bus_client) as one:
        for number in range(20):
            await one.wait_for(await store(bus_client, f"audio.requested.{number}"))
        assert pages == 1
        assert one.losses == 0


async def test_a_listener_to_a_stream_that_was_created_again_is_incomplete(bus_client: Client) -> None:
    for number in range(3):
        await store(bus_client, f"dial.placed.{number}")
    async with aclosing(listen(bus_client, CALLS, FILTERS, start_sequence=1)) as batches:
        assert len(await anext(batches)) == 3
        js = bus_client.jetstream()
        await js.delete_stream(CALLS.name)
        await provision(bus_client)
        with pytest.raises(Incomplete):
            await anext(batches)


@pytest.mark.parametrize("lost", [1, 3, 5], ids=["the first", "one in the middle", "the last"])
async def test_a_lost_message_is_found_and_the_next_listener_yields_it(
    bus_client: Client, lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await store(bus_client, "dial.placed.0")
    lose(monkeypatch, bus_client, first + lost)
    history_ended, following = asyncio.Event(), live._Listener.next

    async def next_of_live(self: live._Listener) -> list[StoredMessage]:
        history_ended.set()
        return await following(self)

    monkeypatch.setattr(live._Listener, "next", next_of_live)
    async with listening(bus_client) as one:
        await one.wait_for(first)
        await history_ended.wait()
        subjects = [f"{family}.{number}" for number in range(2) for family in ("dial.placed", "audio.requested")]
        sequences = [await store(bus_client, subject) for subject in [*subjects, "dial.refused.1"]]
        async with asyncio.timeout(60):
            while one.losses == 0:
                await asyncio.sleep(0.01)
        await one.wait_for(sequences[-1])
        assert one.sequences == [first, *sequences]
        assert one.losses == 1


async def test_what_a_process_that_stood_still_has_not_read_is_not_lost(
    bus_client: Client, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, listed = await nats.connect(nats_url), asyncio.Event()

    async def page_of_another_connection(_: Client, *arguments: Any, **options: Any) -> Any:
        page = await get_page(other, *arguments, **options)
        if page.messages and page.messages[-1].seq == 2:
            listed.set()
        return page

    async def end_of_another_connection(_: Client, *arguments: Any, **options: Any) -> Any:
        return await stream_scan.end_of(other, *arguments, **options)

    monkeypatch.setattr(live, "get_page", page_of_another_connection)
    monkeypatch.setattr(live, "end_of", end_of_another_connection)
    async with listening(bus_client, QUEUE) as one:
        await one.wait_for(await store(other, "queue.joined.a"))
        connection = bus_client._transport._io_writer.transport  # type: ignore[union-attr]
        connection.pause_reading()
        await store(other, "queue.joined.b")
        await listed.wait()
        await asyncio.sleep(3 * live.GRACE_SECONDS)
        connection.resume_reading()
        await one.wait_for(2)
        assert one.losses == 0
    await other.close()


CHAIN = "dial.cleared"


async def link(client: Client, guard_sequence: int) -> int:
    return (await publish(client, CHAIN, b"{}", Guard(CHAIN, guard_sequence).headers(CHAIN))).seq


async def test_a_message_of_a_chain_that_was_lost_is_found_at_the_next_one(
    bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "CHECK_SECONDS", 3600)
    lose(monkeypatch, bus_client, 5)
    first = await link(bus_client, 0)
    listening_on = listen(bus_client, CALLS, [CHAIN, "speech.heard.*"], start_sequence=first)
    async with aclosing(chained(listening_on, CHAIN, end_sequence=first)) as batches:
        assert [message.seq for message in await anext(batches)] == [first]
        await store(bus_client, "speech.heard.1")
        assert [message.seq for message in await anext(batches)] == [2]
        third = await link(bus_client, first)
        assert [message.seq for message in await anext(batches)] == [third]
        imported = await store(bus_client, CHAIN)
        assert [message.seq for message in await anext(batches)] == [imported], "it has no guard"
        lost = await link(bus_client, imported)
        await link(bus_client, lost)
        with pytest.raises(Incomplete, match=r"dial\.cleared 6 follows 5"):
            await anext(batches)


async def test_a_chain_may_lack_archived_messages_in_its_history(bus_client: Client) -> None:
    sequence, sequences = 0, list[int]()
    for _ in range(3):
        sequences.append(sequence := await link(bus_client, sequence))
    await bus_client.jetstream().delete_msg(CALLS.name, sequences[1])
    listening_on = listen(bus_client, CALLS, [CHAIN], start_sequence=1)
    async with aclosing(chained(listening_on, CHAIN, end_sequence=sequence)) as batches:
        assert [message.seq for message in await anext(batches)] == [sequences[0], sequences[2]]
        last = await link(bus_client, sequence)
        assert [message.seq for message in await anext(batches)] == [last]


async def test_a_late_message_raises_incomplete_instead_of_coming_out_of_order(bus_client: Client) -> None:
    await store(bus_client, "speech.heard.0")
    message = StoredMessage(subject="dial.placed.1", seq=5, stream=CALLS.name)
    batches = listen(bus_client, CALLS, FILTERS, start_sequence=1)
    first = asyncio.ensure_future(anext(batches))

    async def forge(sequence: int) -> None:
        headers = {"Nats-Stream": CALLS.name, "Nats-Subject": message.subject, "Nats-Sequence": str(sequence)}
        headers["Nats-Time-Stamp"] = "2026-03-02T09:00:00Z"
        await bus_client.publish(CALLS.live(message.subject), b"", headers=headers)

    while not first.done():  # until the subscription exists; a repetition is left out
        await forge(7)
        await asyncio.sleep(0.02)
    assert [one.seq for one in await first] == [7]
    await forge(6)
    with pytest.raises(Incomplete, match="message 6 arrived after 7"):
        await anext(batches)


async def test_a_queue_entry_that_is_deleted_meanwhile_is_no_loss(bus_client: Client) -> None:
    js = bus_client.jetstream()
    async with listening(bus_client, QUEUE) as one:
        await one.wait_for(await store(bus_client, "queue.joined.a"))
        for number in range(10):
            sequence = await store(bus_client, f"queue.joined.{number % 3}")
            await one.wait_for(sequence)
            if number % 2:
                await js.delete_msg(QUEUE.name, sequence)
        await asyncio.sleep(3 * live.CHECK_SECONDS)
        assert one.sequences == list(range(1, 12))
        assert one.losses == 0


async def test_each_check_begins_where_the_one_before_it_ended(
    bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, subjects = list[int](), set[str]()

    async def note(*arguments: Any, start_sequence: int, **options: Any) -> Any:
        begun.append(start_sequence)
        subjects.add(arguments[2])
        return await get_page(*arguments, start_sequence=start_sequence, **options)

    monkeypatch.setattr(live, "get_page", note)
    async with listening(bus_client) as one:
        await one.wait_for(await store(bus_client, "dial.placed.0"))
        for number in range(300):
            last = await store(bus_client, f"speech.heard.{number}")
        async with asyncio.timeout(60):
            while not begun or min(begun[-2:]) <= last:
                await store(bus_client, "speech.heard.0")
                await asyncio.sleep(0.05)
        assert ">" in subjects
        assert one.losses == 0


@pytest.mark.parametrize("together", [0, 100])
async def test_few_messages_are_listed_together_and_many_by_their_subjects(
    bus_client: Client, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(live, "MAX_TOGETHER", together)
    subjects = list[str]()

    async def note(*arguments: Any, **options: Any) -> Any:
        subjects.append(arguments[2])
        return await get_page(*arguments, **options)

    monkeypatch.setattr(live, "get_page", note)
    async with listening(bus_client) as one:
        await one.wait_for(await store(bus_client, "dial.placed.0"))
        await store(bus_client, "speech.heard.0")
        async with asyncio.timeout(60):
            while len(subjects) < (2 if together else 4):
                await store(bus_client, "audio.requested.0")
                await asyncio.sleep(0.05)
        assert {*subjects} == ({">"} if together else {"dial.*.*", "audio.requested.*"})
        assert one.losses == 0


async def test_messages_that_were_deleted_at_the_end_are_no_loss(
    bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = list[int]()

    async def note(*arguments: Any, start_sequence: int, **options: Any) -> Any:
        pages.append(start_sequence)
        return await get_page(*arguments, start_sequence=start_sequence, **options)

    async with listening(bus_client) as one:
        await one.wait_for(await store(bus_client, "dial.placed.0"))
        await one.wait_for(last := await store(bus_client, "dial.placed.1"))
        await erase_message(bus_client, CALLS.name, last)
        monkeypatch.setattr(live, "get_page", note)
        async with asyncio.timeout(60):  # the checks go on behind what was deleted
            while not pages or pages[-1] <= last:
                await store(bus_client, "speech.heard.0")
                await asyncio.sleep(0.05)
        assert one.losses == 0


async def test_a_check_of_a_stream_in_which_nothing_was_stored_is_one_request(
    bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests, publish_as_before = list[str](), bus_client.publish

    async def note(subject: str, *arguments: Any, **options: Any) -> None:
        if "API." in subject:
            requests.append(subject.partition("API.")[2])
        await publish_as_before(subject, *arguments, **options)

    async with listening(bus_client) as one:
        await one.wait_for(await store(bus_client, "dial.placed.0"))
        monkeypatch.setattr(bus_client, "publish", note)
        async with asyncio.timeout(60):
            while len(requests) < 12 or {*requests[-6:]} != {f"STREAM.INFO.{CALLS.name}"}:
                await asyncio.sleep(0.05)
        assert one.losses == 0


async def test_after_the_death_of_the_server_nothing_is_missing(tmp_path: Path) -> None:
    with restartable_nats_server(tmp_path) as server:
        clients = [await nats.connect(server.url, reconnect_time_wait=0.1) for _ in range(2)]
        await provision(clients[0])
        async with listening(clients[0]) as one:
            sequences = [await store(clients[1], f"dial.placed.{number}") for number in range(5)]
            await one.wait_for(sequences[-1])
            server.kill()
            server.start()
            sequences += [await store(clients[1], f"dial.placed.{number}") for number in range(5)]
            await one.wait_for(sequences[-1])
            assert one.sequences == sequences
            assert one.losses > 0
        for client in clients:
            await client.close()


async def test_events_are_decoded_and_one_that_cannot_be_ends_the_listener_or_is_skipped(
    bus_client: Client, calls: EventLog
) -> None:
    stored = await calls.append(SPEECH)
    await bus_client.jetstream().publish(SPEECH.subject, b"no JSON")
    listening_on = listen(bus_client, CALLS, [SPEECH.subject], start_sequence=1)
    async with aclosing(decoded(listening_on, CALLS)) as batches:
        assert await anext(batches) == [stored]
        with pytest.raises(UnreadableEvent):
            await anext(batches)
    skipped: list[UnreadableEvent] = []
    listening_on = listen(bus_client, CALLS, [SPEECH.subject], start_sequence=1)
    async with aclosing(decoded(listening_on, CALLS, skip=skipped.append)) as batches:
        assert await anext(batches) == [stored]
        following = await calls.append(DialPlaced(call_id=UUID(int=1), attempt=1, provider_call_id="CA1"))
        last = await calls.append(SPEECH)
        assert following.sequence < last.sequence
        assert await anext(batches) == [last]
    assert [error.sequence for error in skipped] == [2]


async def test_on_a_connection_that_is_closed_a_listener_waits_until_it_is_cancelled(nats_url: str) -> None:
    client = await nats.connect(nats_url)
    await provision(client)
    batches = listen(client, CALLS, FILTERS, start_sequence=1)
    waiting = asyncio.create_task(_consume(batches))
    await asyncio.sleep(0.2)
    await client.drain()
    await asyncio.sleep(2 * live.CHECK_SECONDS)
    assert not waiting.done()
    await cancel_until_done(waiting)
    assert waiting.cancelled()


async def _consume(batches: AsyncIterator[list[StoredMessage]]) -> None:
    async for _ in batches:
        pass
