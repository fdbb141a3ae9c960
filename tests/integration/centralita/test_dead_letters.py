"""Dead letters are listed, shown, and published again, without losing one or executing one twice."""

import json
from typing import TYPE_CHECKING

import pytest
from nats.aio.client import Client

from centralita.operations.dead_letters import (
    CannotRetry,
    StoredDeadLetter,
    find_dead_letter,
    read_dead_letters,
    retry,
)
from chassis.event_log import EventLog
from contracts import CallCreated, Envelope
from contracts.dead_letters import DeadLetter
from contracts.examples import CALL_ID, EXAMPLES
from contracts.streams import CALLS, DEAD_LETTERS, REQUESTS, call_filters

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.centralita.conftest import Command

REQUEST = EXAMPLES["call.requested"].model_dump_json()
CANCEL = EXAMPLES["call.cancel_requested"]


async def store_dead_letter(client: Client, **changes: object) -> int:
    """Stores a dead letter as `chassis.subscriptions` does."""
    dead_letter = DeadLetter.model_validate(
        {
            "stream": REQUESTS.name,
            "sequence": 3,
            "consumer": "orchestrator-requests",
            "subject": "call.requested",
            "headers": {"Nats-Expected-Stream": "REQUESTS", "traceparent": "00-1-2-01"},
            "body": REQUEST,
            "reasons": ("Conflict at try 9",),
            "deliveries": 9,
            **changes,
        }
    )
    ack = await client.jetstream().publish(dead_letter.dead_letter_subject, dead_letter.model_dump_json().encode())
    return ack.seq


async def all_dead_letters(client: Client) -> list[StoredDeadLetter]:
    return [dead_letter async for dead_letter in read_dead_letters(client)]


async def test_a_retried_message_is_on_its_subject_and_its_dead_letter_is_deleted(bus_client: Client) -> None:
    sequence = await store_dead_letter(bus_client)
    stored = await retry(bus_client, await find_dead_letter(bus_client, sequence))
    message = await bus_client.jetstream().get_msg(REQUESTS.name, stored)
    assert message.subject == "call.requested"
    assert message.data == REQUEST.encode()
    assert message.headers == {
        "traceparent": "00-1-2-01",
        "ce-id": "REQUESTS/3",
        "Nats-Msg-Id": f"{DEAD_LETTERS.name}/{sequence}",
    }
    assert await all_dead_letters(bus_client) == []


async def test_a_message_that_is_not_stored_stays_a_dead_letter(bus_client: Client) -> None:
    sequence = await store_dead_letter(bus_client)
    dead_letter = await find_dead_letter(bus_client, sequence)
    await bus_client.jetstream().delete_stream(REQUESTS.name)
    with pytest.raises(Exception, match="no response from stream"):
        await retry(bus_client, dead_letter)
    assert [one.sequence for one in await all_dead_letters(bus_client)] == [sequence]


async def test_a_dead_letter_of_an_unknown_subject_is_kept(bus_client: Client) -> None:
    sequence = await store_dead_letter(bus_client, subject="call.dreamt", stream=CALLS.name)
    with pytest.raises(CannotRetry, match=r"no stream stores the subject call\.dreamt any more"):
        await retry(bus_client, await find_dead_letter(bus_client, sequence))
    assert len(await all_dead_letters(bus_client)) == 1


@pytest.mark.parametrize("force", [False, True])
async def test_an_event_that_the_projection_left_out_is_never_published_again(bus_client: Client, force: bool) -> None:
    event = EXAMPLES["call.created"]
    sequence = await store_dead_letter(
        bus_client, stream=CALLS.name, consumer="campaign-stats", subject=event.subject, body=event.model_dump_json()
    )
    with pytest.raises(CannotRetry, match="centralita replay rebuild"):
        await retry(bus_client, await find_dead_letter(bus_client, sequence), force=force)
    assert (await bus_client.jetstream().stream_info(CALLS.name)).state.messages == 0
    assert len(await all_dead_letters(bus_client)) == 1


async def test_an_input_with_a_decision_in_the_log_is_not_retried_without_force(
    bus_client: Client, calls: EventLog
) -> None:
    created = EXAMPLES["call.created"]
    assert isinstance(created, CallCreated)
    cause = Envelope.read({}, subject=CANCEL.subject, id="REQUESTS/3", time=created.occurred_at)
    await calls.append(created, cause=cause)
    sequence = await store_dead_letter(bus_client, subject=CANCEL.subject, body=CANCEL.model_dump_json())
    with pytest.raises(CannotRetry, match="the log contains the decision on it already"):
        await retry(bus_client, await find_dead_letter(bus_client, sequence))
    await retry(bus_client, await find_dead_letter(bus_client, sequence), force=True)
    assert await all_dead_letters(bus_client) == []


async def test_a_dead_letter_that_is_retried_twice_is_stored_once(bus_client: Client) -> None:
    dead_letter = await find_dead_letter(bus_client, await store_dead_letter(bus_client))
    first = await retry(bus_client, dead_letter)
    with pytest.raises(Exception, match="no message found"):  # the dead letter is deleted and not published again
        await retry(bus_client, dead_letter)
    assert (await bus_client.jetstream().stream_info(REQUESTS.name)).state.last_seq == first


async def test_an_event_of_a_call_is_published_to_the_log_again(bus_client: Client, calls: EventLog) -> None:
    event = EXAMPLES["speech.heard"]
    sequence = await store_dead_letter(
        bus_client,
        stream=CALLS.name,
        subject=event.subject,
        body=event.model_dump_json(),
        headers={"ce-id": "heard-1", "Nats-Msg-Id": "heard-1"},
    )
    await retry(bus_client, await find_dead_letter(bus_client, sequence))
    (stored,) = await calls.read(call_filters(CALL_ID))
    assert (stored.event, stored.envelope.id) == (event, "heard-1")


@pytest.fixture
async def url(bus_client: Client, nats_url: str) -> dict[str, str]:
    """A server with two dead letters: a request whose body is not text, and one with a phone number in it."""
    await store_dead_letter(bus_client, body=None, body_base64="/w==", reasons=("body: not JSON",))
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
