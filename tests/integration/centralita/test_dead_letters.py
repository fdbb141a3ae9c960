"""Dead letters are listed, shown, dropped, and published again, without losing one or executing one twice."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from nats.aio.client import Client
from tests.builders.dead_letters import REQUEST, store_dead_letter

from centralita.operations.doctor import bus
from chassis.dead_letter_acts import (
    CannotRetry,
    UnknownDeadLetter,
    drop,
    find_dead_letter,
    message_of,
    retry,
)
from chassis.dead_letters import StoredDeadLetter, read_dead_letters, referenced_sequences
from chassis.event_log import EventLog, size_of
from chassis.findings import Result
from contracts import CallCreated, Envelope, ErasedRequest, RequestsErased
from contracts.envelope import FIRST_STORED_HEADER, first_stored_at
from contracts.examples import CALL_ID, EXAMPLES
from contracts.filters import call_filters
from contracts.streams import CALLS, DEAD_LETTERS, REQUESTS
from contracts.vocabulary import RequestResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.centralita.conftest import Command

CANCEL = EXAMPLES["call.cancel_requested"]


async def store_copy(client: Client, **changes: object) -> int:
    """Stores a dead letter as older builds did, with a copy of the message; returns its number."""
    fields = {
        "stream": REQUESTS.name,
        "sequence": 3,
        "consumer": "orchestrator-requests",
        "subject": "call.requested",
        "headers": {"Nats-Expected-Stream": "REQUESTS", "traceparent": "00-1-2-01"},
        "body": REQUEST.decode(),
        "body_base64": None,
        "reasons": ("Conflict at try 9",),
        "deliveries": 9,
        **changes,
    }
    ack = await client.jetstream().publish("dead_letter.call.requested", json.dumps(fields).encode())
    return ack.seq


async def last_message(client: Client, stream: str) -> int:
    return (await client.jetstream().stream_info(stream)).state.last_seq


async def all_dead_letters(client: Client) -> list[StoredDeadLetter]:
    return [dead_letter async for dead_letter in read_dead_letters(client)]


async def test_a_retried_message_is_on_its_subject_and_its_dead_letter_is_deleted(bus_client: Client) -> None:
    headers = {"Nats-Expected-Stream": REQUESTS.name, "traceparent": "00-1-2-01", "name": "Íñigo"}
    sequence = await store_dead_letter(bus_client, headers=headers)
    stored = await retry(bus_client, await find_dead_letter(bus_client, sequence))
    message = await bus_client.jetstream().get_msg(REQUESTS.name, stored, direct=True)
    assert message.subject == "call.requested"
    assert message.data == REQUEST
    found = message.headers or {}
    assert {name: found[name] for name in found if not name.startswith("Nats-")} == {
        "traceparent": "00-1-2-01",
        "name": "Íñigo",
        "ce-id": "REQUESTS/1",
    }
    assert "Nats-Expected-Stream" not in found
    assert found["Nats-Msg-Id"] == f"{DEAD_LETTERS.name}/{sequence}"
    assert await all_dead_letters(bus_client) == []


async def test_a_command_for_a_list_keeps_the_time_of_its_first_storage(bus_client: Client) -> None:
    command = EXAMPLES["number.block_requested"]
    sequence = await store_dead_letter(bus_client, command.subject, command.body())
    first = await bus_client.jetstream().get_msg(REQUESTS.name, 1)
    again = await store_dead_letter(bus_client, "call.requested")
    stored = await retry(bus_client, await find_dead_letter(bus_client, sequence))
    message = await bus_client.jetstream().get_msg(REQUESTS.name, stored)
    assert first.time
    assert message.time
    assert first_stored_at(message.headers, message.time) == first.time
    other = await retry(bus_client, await find_dead_letter(bus_client, again))
    assert FIRST_STORED_HEADER not in ((await bus_client.jetstream().get_msg(REQUESTS.name, other)).headers or {})


@pytest.mark.parametrize("content", [{}, {"body": None, "body_base64": "/w=="}], ids=["text", "no text"])
async def test_a_dead_letter_of_an_older_build_is_shown_and_retried_from_its_copy(
    bus_client: Client, content: dict[str, Any]
) -> None:
    dead_letter = await find_dead_letter(bus_client, await store_copy(bus_client, **content))
    stored = await retry(bus_client, dead_letter)
    message = await bus_client.jetstream().get_msg(REQUESTS.name, stored)
    assert message.data == (b"\xff" if content else REQUEST)
    assert message.headers == {
        "traceparent": "00-1-2-01",
        "ce-id": "REQUESTS/3",
        "Nats-Msg-Id": f"{DEAD_LETTERS.name}/{dead_letter.sequence}",
    }
    assert await all_dead_letters(bus_client) == []


async def test_a_message_at_the_payload_limit_is_shown_and_retried(bus_client: Client) -> None:
    own = {"ce-id": "REQUESTS/1", "Nats-Msg-Id": "upstreams-own-id"}
    body = b"x" * (bus_client.max_payload - size_of(b"", own))
    sequence = await store_dead_letter(bus_client, body=body, headers=own)
    dead_letter = await find_dead_letter(bus_client, sequence)
    message = await message_of(bus_client, dead_letter)
    assert message
    assert (message.data, message.headers) == (body, own)
    stored = await retry(bus_client, dead_letter)
    assert (await bus_client.jetstream().get_msg(REQUESTS.name, stored)).data == body


async def test_a_message_that_would_be_larger_than_the_payload_limit_is_not_published(bus_client: Client) -> None:
    """The server closes the connection of a client that publishes such a message."""
    sequence = await store_dead_letter(bus_client, body=b"x" * bus_client.max_payload)
    with pytest.raises(CannotRetry, match=r"headers and body have 10486\d\d bytes, and the server accepts 1048576"):
        await retry(bus_client, await find_dead_letter(bus_client, sequence))
    assert len(await all_dead_letters(bus_client)) == 1
    assert bus_client.is_connected


async def test_a_dead_letter_whose_message_is_gone_is_named_by_retry_and_doctor(bus_client: Client) -> None:
    whole, gone = await store_dead_letter(bus_client), await store_dead_letter(bus_client)
    await store_copy(bus_client)
    before = {one.check: one.found for one in await bus.check(bus_client)}
    await bus_client.jetstream().delete_msg(REQUESTS.name, 2)
    with pytest.raises(CannotRetry, match=r"message 2 of REQUESTS no longer exists; `centralita dead-letters drop 2`"):
        await retry(bus_client, await find_dead_letter(bus_client, gone))
    after = {one.check: (one.result, one.found) for one in await bus.check(bus_client)}
    assert (whole, gone, before["dead letters"]) == (1, 2, "3")
    assert after["dead letters"] == (Result.WARNING, "the messages of 1 no longer exist and cannot be resent: 2")


async def test_the_referenced_messages_of_a_stream_are_those_of_its_dead_letters(bus_client: Client) -> None:
    speech = EXAMPLES["speech.heard"]
    await store_dead_letter(bus_client)
    await store_dead_letter(bus_client, subject=speech.subject, body=b"{}")
    last = await store_dead_letter(bus_client)
    await store_copy(bus_client, sequence=99)
    assert await referenced_sequences(bus_client, REQUESTS.name) == {1, 2}
    assert await referenced_sequences(bus_client, CALLS.name) == {1}
    await drop(bus_client, last)
    assert await referenced_sequences(bus_client, REQUESTS.name) == {1}
    with pytest.raises(UnknownDeadLetter):
        await drop(bus_client, last)
    await bus_client.jetstream().delete_stream(DEAD_LETTERS.name)
    assert await referenced_sequences(bus_client, REQUESTS.name) == frozenset()


async def test_a_message_that_is_not_stored_stays_a_dead_letter(bus_client: Client) -> None:
    sequence = await store_copy(bus_client)
    dead_letter = await find_dead_letter(bus_client, sequence)
    await bus_client.jetstream().delete_stream(REQUESTS.name)
    with pytest.raises(Exception, match="no response from stream"):
        await retry(bus_client, dead_letter)
    assert [one.sequence for one in await all_dead_letters(bus_client)] == [sequence]


async def test_a_dead_letter_of_an_unknown_subject_is_kept(bus_client: Client) -> None:
    sequence = await store_copy(bus_client, subject="call.dreamt", stream=CALLS.name)
    with pytest.raises(CannotRetry, match=r"no stream stores the subject call\.dreamt any more"):
        await retry(bus_client, await find_dead_letter(bus_client, sequence))
    assert len(await all_dead_letters(bus_client)) == 1


@pytest.mark.parametrize("force", [False, True])
async def test_an_event_that_the_projection_left_out_is_never_published_again(bus_client: Client, force: bool) -> None:
    event = EXAMPLES["call.created"]
    sequence = await store_dead_letter(
        bus_client, subject=event.subject, body=event.model_dump_json().encode(), consumer="campaign-stats"
    )
    with pytest.raises(CannotRetry, match="centralita replay rebuild"):
        await retry(bus_client, await find_dead_letter(bus_client, sequence), force=force)
    assert (await bus_client.jetstream().stream_info(CALLS.name)).state.messages == 1
    assert len(await all_dead_letters(bus_client)) == 1


async def test_an_input_with_a_decision_in_the_log_is_not_retried_without_force(
    bus_client: Client, calls: EventLog
) -> None:
    created = EXAMPLES["call.created"]
    assert isinstance(created, CallCreated)
    cause = Envelope.read({}, id="REQUESTS/1", time=created.occurred_at)
    await calls.append(created, cause=cause)
    sequence = await store_dead_letter(bus_client, subject=CANCEL.subject, body=CANCEL.model_dump_json().encode())
    with pytest.raises(CannotRetry, match="the log contains the decision on it already"):
        await retry(bus_client, await find_dead_letter(bus_client, sequence))
    await retry(bus_client, await find_dead_letter(bus_client, sequence), force=True)
    assert await all_dead_letters(bus_client) == []


async def test_a_dead_letter_that_is_retried_twice_is_stored_once(bus_client: Client) -> None:
    dead_letter = await find_dead_letter(bus_client, await store_dead_letter(bus_client))
    first = await retry(bus_client, dead_letter)
    with pytest.raises(Exception, match="message 1 of REQUESTS no longer exists"):
        await retry(bus_client, dead_letter)
    assert await last_message(bus_client, REQUESTS.name) == first


async def test_an_event_of_a_call_is_published_to_the_log_again(bus_client: Client, calls: EventLog) -> None:
    event = EXAMPLES["speech.heard"]
    headers = {"ce-id": "heard-1", "Nats-Msg-Id": "heard-1"}
    sequence = await store_dead_letter(
        bus_client, subject=event.subject, body=event.model_dump_json().encode(), headers=headers
    )
    await retry(bus_client, await find_dead_letter(bus_client, sequence))
    first, second = await calls.read(call_filters(CALL_ID))
    assert first.event == second.event == event
    assert first.envelope.id == second.envelope.id == "heard-1"


async def test_a_dropped_or_retried_request_is_erased_and_recorded(bus_client: Client, calls: EventLog) -> None:
    dropped, retried = await store_dead_letter(bus_client), await store_dead_letter(bus_client)
    event = EXAMPLES["speech.heard"]
    of_the_log = await store_dead_letter(bus_client, subject=event.subject, body=event.model_dump_json().encode())
    await drop(bus_client, dropped)
    await drop(bus_client, of_the_log)
    assert await retry(bus_client, await find_dead_letter(bus_client, retried)) == 3
    js = bus_client.jetstream()
    assert (await js.stream_info(REQUESTS.name)).state.first_seq == 3
    assert len(await calls.read(call_filters(CALL_ID))) == 1, "an event of the log stays"
    found = [one.event for one in await calls.read([RequestsErased.subjects()])]
    assert [one.requests for one in found if isinstance(one, RequestsErased)] == [
        (ErasedRequest(sequence=1, result=RequestResult.DROPPED),),
        (ErasedRequest(sequence=2, result=RequestResult.RESENT),),
    ]


async def test_a_decided_request_stays_when_its_dead_letter_is_dropped(bus_client: Client, calls: EventLog) -> None:
    created = EXAMPLES["call.created"]
    assert isinstance(created, CallCreated)
    await calls.append(created, cause=Envelope.read({}, id="REQUESTS/1", time=created.occurred_at))
    sequence = await store_dead_letter(bus_client, subject=CANCEL.subject, body=CANCEL.model_dump_json().encode())
    await drop(bus_client, sequence)
    assert (await bus_client.jetstream().stream_info(REQUESTS.name)).state.messages == 1
    assert await all_dead_letters(bus_client) == []


@pytest.fixture
async def url(bus_client: Client, nats_url: str) -> dict[str, str]:
    """A server with two dead letters: a request whose body is not text, and one with a phone number in it."""
    await store_dead_letter(bus_client, body=b"\xff", reasons=("body: not JSON",))
    await store_dead_letter(bus_client)
    return {"NATS_URL": nats_url}


def test_the_command_lists_shows_and_retries_dead_letters(
    url: dict[str, str], command: "Callable[..., Command]"
) -> None:
    found = command("dead-letters", "list", "--json", environment=url).json()
    assert [(one["number"], one["reasons"]) for one in found] == [(1, ["body: not JSON"]), (2, ["Conflict at try 9"])]
    shown = command("dead-letters", "show", "2", environment=url)
    assert "+1••••••••23" in shown.out
    assert "+12125550123" not in shown.out
    whole = command("dead-letters", "show", "2", "--json", "--show-numbers", environment=url)
    assert whole.json()["body"]["phone_number"] == json.loads(REQUEST)["phone_number"]
    retried = command("dead-letters", "retry", "2", "7", "--json", environment=url)
    assert retried.code == 1
    assert [(one["number"], bool(one["stored_sequence"]), one["reason"]) for one in retried.json()] == [
        (2, True, None),
        (7, False, "there is no dead letter 7; `centralita dead-letters list` shows all of them"),
    ]
    assert command("dead-letters", "retry", environment=url).code == 2
    assert command("dead-letters", "retry", "--all", environment=url).code == 0
    assert "There are no dead letters." in command("dead-letters", "list", environment=url).out


def test_the_command_asks_before_it_drops_dead_letters(url: dict[str, str], command: "Callable[..., Command]") -> None:
    asked = command("dead-letters", "drop", "2", environment=url)
    assert (asked.code, "Drop dead letters 2?" in asked.err) == (1, True)
    assert len(command("dead-letters", "list", "--json", environment=url).json()) == 2
    dropped = command("dead-letters", "drop", "2", "7", "--yes", "--json", environment=url)
    assert (dropped.code, [one["reason"] for one in dropped.json()]) == (
        1,
        [None, "there is no dead letter 7; `centralita dead-letters list` shows all of them"],
    )
    assert command("dead-letters", "drop", environment=url).code == 2
    assert "1: dropped" in command("dead-letters", "drop", "--all", "--yes", environment=url).out


async def test_the_command_shows_a_dead_letter_whose_message_is_gone(
    bus_client: Client, nats_url: str, command: "Callable[..., Command]"
) -> None:
    await store_dead_letter(bus_client)
    await bus_client.jetstream().delete_msg(REQUESTS.name, 1)
    shown = await asyncio.to_thread(command, "dead-letters", "show", "1", environment={"NATS_URL": nats_url})
    assert (shown.code, "Conflict at try 9" in shown.out) == (1, True)
    assert "message 1 of REQUESTS no longer exists" in shown.err


@pytest.mark.parametrize("body", [b"[" * 100_000, b"9" * 10_000, b'{"a": "\\ud800"}', b""])
async def test_the_command_shows_a_body_that_python_cannot_read_as_json(
    body: bytes, bus_client: Client, nats_url: str, command: "Callable[..., Command]"
) -> None:
    await store_dead_letter(bus_client, body=body)
    shown = await asyncio.to_thread(command, "dead-letters", "show", "1", "--json", environment={"NATS_URL": nats_url})
    assert shown.json()["body"] == body.decode()
