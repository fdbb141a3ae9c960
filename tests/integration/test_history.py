"""Reading the history of one call on a real nats-server: what is read, by which requests, and from a node that lags."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import APIError
from tests.builders.calls import a_call
from tests.builders.events import call_created, status_changed

from chassis import history
from chassis.direct_get import MAX_PAGE, Page, StoredMessage, get_newest_of_each, get_page
from chassis.event_log import EventLog, StoredEvent
from chassis.stream_reader import last_sequence, read
from contracts import AudioFailed, CallStatus, ConversationEnded, DialClaimed, Event, SpeechHeard
from contracts.examples import EXAMPLES
from contracts.filters import call_filters, call_state_filter
from contracts.streams import CALLS

CALL_IDS = [UUID(int=number) for number in range(4)]
KINDS = (SpeechHeard, AudioFailed, ConversationEnded, DialClaimed)
STATUSES = (CallStatus.DIALING, CallStatus.RINGING, CallStatus.IN_PROGRESS, CallStatus.COMPLETED)
SPEECH = EXAMPLES[SpeechHeard.event_name]
Requests = list[tuple[str, dict[str, Any]]]


def an_event(chance: random.Random) -> Event:
    """Returns an event of one of the calls."""
    call_id = chance.choice(CALL_IDS)
    if chance.random() < 0.3:
        call = a_call(chance.choice(STATUSES), call_id=call_id)
        return chance.choice([status_changed(call), call_created(call)])
    return EXAMPLES[chance.choice(KINDS).event_name].model_copy(update={"call_id": call_id})


async def append_random_events(calls: EventLog, count: int, chance: random.Random) -> None:
    """Appends events of all calls."""
    for _ in range(count):
        await calls.append(an_event(chance))


async def sequences_in_the_log(client: Client, call_id: UUID, *, state_only: bool = False) -> list[int]:
    """Returns the sequences of a call's events, found by reading the whole log."""
    end = await last_sequence(client, CALLS.name)
    async with aclosing(read(client, CALLS.name, end_sequence=end)) as messages:
        found = [(message.subject.split("."), message.seq) async for message in messages]
    return [
        sequence for tokens, sequence in found if tokens[2] == str(call_id) and (tokens[0] == "call" or not state_only)
    ]


@asynccontextmanager
async def recorded_requests(client: Client) -> AsyncIterator[Requests]:
    """Yields the requests for stored messages that the server receives meanwhile: subject and body."""
    requests: Requests = []

    async def record(message: Msg) -> None:
        requests.append((message.subject, json.loads(message.data or b"{}")))

    subjects = (f"$JS.API.DIRECT.GET.{CALLS.name}", "$JS.API.DIRECT.GET.>", f"$JS.API.STREAM.MSG.GET.{CALLS.name}")
    subscriptions = [await client.subscribe(subject, cb=record) for subject in subjects]
    await client.flush()
    yield requests
    await client.flush()
    await asyncio.sleep(0)
    for subscription in subscriptions:
        await subscription.unsubscribe()


def pages_of_wildcards(requests: Requests) -> list[dict[str, Any]]:
    return [body for _, body in requests if "*" in body.get("next_by_subj", "") and body.get("seq", 1) == 1]


@pytest.mark.parametrize("seed", range(3))
async def test_the_history_of_a_call_is_all_of_its_events_in_log_order(
    bus_client: Client, calls: EventLog, seed: int
) -> None:
    chance = random.Random(seed)
    await append_random_events(calls, 120, chance)
    for call_id in CALL_IDS:
        expected = await sequences_in_the_log(bus_client, call_id)
        decisions = await sequences_in_the_log(bus_client, call_id, state_only=True)
        after = chance.choice([0, *expected])
        history = await calls.read(call_filters(call_id))
        assert [stored.sequence for stored in history] == expected
        assert [stored.sequence for stored in await calls.read([call_state_filter(call_id)])] == decisions
        later = await calls.read(call_filters(call_id), after_sequence=after)
        assert [stored.sequence for stored in later] == [sequence for sequence in expected if sequence > after]
        facts = await calls.read_after(f"*.*.{call_id}", after)
        assert [fact.sequence for fact in facts] == [s for s in expected if s > after and s not in decisions]
        newest = await calls.last_of_any_node(call_state_filter(call_id))
        assert newest == await calls.last(call_state_filter(call_id))


async def test_no_page_of_a_wildcard_begins_at_the_head_of_the_log(bus_client: Client, calls: EventLog) -> None:
    await append_random_events(calls, 60, random.Random(1))
    for call_id in CALL_IDS:
        async with recorded_requests(bus_client) as requests:
            events = await calls.read(call_filters(call_id))
        subjects = {stored.event.subject for stored in events}
        assert pages_of_wildcards(requests) == []
        pages = [body["next_by_subj"] for _, body in requests if "next_by_subj" in body]
        assert set(pages) == subjects
        assert len([body for _, body in requests if "multi_last" in body])


@pytest.mark.parametrize("other_calls", [0, 200])
async def test_the_history_of_a_call_costs_the_same_number_of_requests_in_a_longer_log(
    bus_client: Client, calls: EventLog, other_calls: int
) -> None:
    await append_random_events(calls, other_calls, random.Random(other_calls))
    mine = a_call(CallStatus.DIALING, call_id=UUID(int=99))
    stored = [
        await calls.append(event)
        for event in (call_created(mine), status_changed(mine), SPEECH.model_copy(update={"call_id": mine.call_id}))
    ]
    async with recorded_requests(bus_client) as requests:
        assert await calls.read(call_filters(mine.call_id)) == stored
    # The newest of both filters at the leader, the subjects, and a page of each of the three subjects.
    by_subject = [subject for subject, _ in requests]
    assert by_subject.count(f"$JS.API.STREAM.MSG.GET.{CALLS.name}") == 2
    assert len({json.dumps(body) for subject, body in requests if "DIRECT" in subject}) == 1 + 3
    async with recorded_requests(bus_client) as requests:
        facts = await calls.read_after(f"*.*.{mine.call_id}", stored[1].sequence, known_sequence=stored[2].sequence)
    assert facts == stored[2:]
    assert {subject for subject, _ in requests} == {f"$JS.API.DIRECT.GET.{CALLS.name}"}


async def test_a_subject_with_more_messages_than_a_page_is_read_to_its_end(bus_client: Client, calls: EventLog) -> None:
    js, body = bus_client.jetstream(), SPEECH.model_dump_json().encode()
    sequences = [(await js.publish(SPEECH.subject, body)).seq for _ in range(MAX_PAGE + 10)]
    call_id = SPEECH.subject.split(".")[2]
    assert [stored.sequence for stored in await calls.read(call_filters(call_id))] == sequences
    assert [stored.sequence for stored in await calls.read_after(f"*.*.{call_id}", 1)] == sequences[1:]


class Lag:
    """Answers of a node that lags: `count` of its answers to each kind of request lack the newest message."""

    def __init__(self, count: int) -> None:
        self._remaining = {"page": count, "each": count}

    def behind(self, kind: str, messages: list[StoredMessage]) -> list[StoredMessage]:
        """Returns what the node has of the messages."""
        if not messages or not self._remaining[kind]:
            return messages
        self._remaining[kind] -= 1
        return messages[:-1]

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Lets the requests of `chassis.history` go to this node."""

        async def page(*query: Any, **options: Any) -> Page:
            return Page(self.behind("page", (await get_page(*query, **options)).messages))

        async def each(*query: Any) -> list[StoredMessage]:
            return self.behind("each", await get_newest_of_each(*query))

        monkeypatch.setattr(history, "get_page", page)
        monkeypatch.setattr(history, "get_newest_of_each", each)


@pytest.fixture
async def stored(calls: EventLog) -> list[StoredEvent]:
    """The events of a call."""
    call = a_call(CallStatus.DIALING, call_id=UUID(int=99))
    events = [EXAMPLES[kind.event_name].model_copy(update={"call_id": call.call_id}) for kind in KINDS]
    return [await calls.append(event) for event in (call_created(call), *events, status_changed(call), *events)]


@pytest.mark.parametrize("answers", [1, 3])
async def test_a_node_that_lags_is_asked_again(
    calls: EventLog, stored: list[StoredEvent], monkeypatch: pytest.MonkeyPatch, answers: int
) -> None:
    [call_id] = {stored_event.event.model_dump().get("call_id") for stored_event in stored} - {None}
    Lag(answers).install(monkeypatch)
    assert await calls.read(call_filters(call_id)) == stored
    assert await calls.read([call_state_filter(call_id)]) == [stored[0], stored[5]]

    Lag(answers).install(monkeypatch)
    facts = await calls.read_after(f"*.*.{call_id}", stored[2].sequence, known_sequence=stored[-1].sequence)
    assert facts == [*stored[3:5], *stored[6:]]

    Lag(1).install(monkeypatch)  # without a known sequence the newest may be missing, and nothing else
    assert await calls.read_after(f"*.*.{call_id}", stored[2].sequence) == [*stored[3:5], *stored[6:-1]]


async def test_events_that_are_appended_meanwhile_leave_no_gap(
    bus_client: Client, calls: EventLog, stored: list[StoredEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    appended = asyncio.Event()
    late = [kept.event for kept in stored[-2:]]

    async def append_and_get(*query: Any, **options: Any) -> Page:
        if not appended.is_set():
            appended.set()
            for event in late:
                await calls.append(event)
        return await get_page(*query, **options)

    monkeypatch.setattr(history, "get_page", append_and_get)
    [call_id] = {kept.event.model_dump().get("call_id") for kept in stored} - {None}
    assert await calls.read(call_filters(call_id)) == stored
    assert len(await calls.read(call_filters(call_id))) == len(stored) + len(late)


Delete = Callable[..., Awaitable[Any]]


@pytest.mark.parametrize("remaining", [0, 1])
@pytest.mark.parametrize("filter", [SPEECH.subject, f"*.*.{SPEECH.subject.split('.')[2]}"])
async def test_events_can_be_read_while_the_newest_of_them_is_deleted(
    bus_client: Client, calls: EventLog, monkeypatch: pytest.MonkeyPatch, remaining: int, filter: str
) -> None:
    stored = [await calls.append(SPEECH) for _ in range(remaining + 1)]

    def deleting(request: Delete) -> Delete:
        async def delete_and_request(*query: Any, **options: Any) -> Any:
            with suppress(APIError):  # only the first time
                await bus_client.jetstream().delete_msg(CALLS.name, stored[-1].sequence)
            return await request(*query, **options)

        return delete_and_request

    for name in ("get_page", "get_newest_of_each"):
        monkeypatch.setattr(history, name, deleting(getattr(history, name)))
    async with asyncio.timeout(60):
        assert await calls.read([filter]) == stored[:remaining]
