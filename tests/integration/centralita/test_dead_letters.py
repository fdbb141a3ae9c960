"""Dead letters: listed, shown, and sent again without losing one or obeying one twice."""

import json
from typing import TYPE_CHECKING

import pytest
from nats.aio.client import Client

from centralita.operations.dead_letters import CannotRetry, Letter, find, letters, retry
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


async def put_down(client: Client, **changes: object) -> int:
    """A letter as `chassis.subscriptions` writes it."""
    letter = DeadLetter.model_validate(
        {
            "stream": REQUESTS.name,
            "sequence": 3,
            "consumer": "orchestrator-requests",
            "subject": "call.requested",
            "headers": {"reply_to": "_INBOX.gone", "Nats-Expected-Stream": "REQUESTS", "traceparent": "00-1-2-01"},
            "body": REQUEST,
            "reasons": ("Conflict at try 9",),
            "deliveries": 9,
            **changes,
        }
    )
    ack = await client.jetstream().publish(letter.dead_letter_subject, letter.model_dump_json().encode())
    return ack.seq


async def listed(client: Client) -> list[Letter]:
    return [letter async for letter in letters(client)]


async def test_a_letter_that_is_sent_again_stands_on_its_subject_and_is_a_letter_no_more(bus_client: Client) -> None:
    sequence = await put_down(bus_client)
    stored = await retry(bus_client, await find(bus_client, sequence))
    message = await bus_client.jetstream().get_msg(REQUESTS.name, stored)
    assert message.subject == "call.requested"
    assert message.data == REQUEST.encode()
    assert message.headers == {
        "traceparent": "00-1-2-01",
        "ce-id": "REQUESTS/3",
        "Nats-Msg-Id": f"{DEAD_LETTERS.name}/{sequence}",
    }
    assert await listed(bus_client) == []


async def test_what_is_not_stored_stays_a_letter(bus_client: Client) -> None:
    sequence = await put_down(bus_client)
    letter = await find(bus_client, sequence)
    await bus_client.jetstream().delete_stream(REQUESTS.name)
    with pytest.raises(Exception, match="no response from stream"):
        await retry(bus_client, letter)
    assert [one.sequence for one in await listed(bus_client)] == [sequence]


async def test_a_subject_that_no_stream_takes_any_more_keeps_its_letter(bus_client: Client) -> None:
    sequence = await put_down(bus_client, subject="call.dreamt", stream=CALLS.name)
    with pytest.raises(CannotRetry, match=r"call\.dreamt is on no stream any more"):
        await retry(bus_client, await find(bus_client, sequence))
    assert len(await listed(bus_client)) == 1


async def test_an_input_whose_decision_is_in_the_log_is_not_sent_twice_unless_forced(
    bus_client: Client, calls: EventLog
) -> None:
    created = EXAMPLES["call.created"]
    assert isinstance(created, CallCreated)
    told = Envelope.read({}, subject=CANCEL.subject, id="REQUESTS/3", time=created.occurred_at)
    await calls.append(created, cause=told)
    sequence = await put_down(bus_client, subject=CANCEL.subject, body=CANCEL.model_dump_json())
    with pytest.raises(CannotRetry, match="its decision is in the log"):
        await retry(bus_client, await find(bus_client, sequence))
    await retry(bus_client, await find(bus_client, sequence), force=True)
    assert await listed(bus_client) == []


async def test_a_letter_that_is_sent_twice_in_a_row_is_stored_once(bus_client: Client) -> None:
    letter = await find(bus_client, await put_down(bus_client))
    first = await retry(bus_client, letter)
    with pytest.raises(Exception, match="no message found"):  # the letter is gone; what it says is not said again
        await retry(bus_client, letter)
    assert (await bus_client.jetstream().stream_info(REQUESTS.name)).state.last_seq == first


async def test_a_fact_of_a_call_is_sent_again_to_the_log(bus_client: Client, calls: EventLog) -> None:
    heard = EXAMPLES["speech.heard"]
    sequence = await put_down(
        bus_client,
        stream=CALLS.name,
        subject=heard.subject,
        body=heard.model_dump_json(),
        headers={"ce-id": "heard-1", "Nats-Msg-Id": "heard-1"},
    )
    await retry(bus_client, await find(bus_client, sequence))
    (recorded,) = await calls.read(call_filters(CALL_ID))
    assert (recorded.event, recorded.envelope.id) == (heard, "heard-1")


@pytest.fixture
async def url(bus_client: Client, nats_url: str) -> dict[str, str]:
    """A server with two letters: a request whose body is no text, and one with a phone number in it."""
    await put_down(bus_client, body=None, body_base64="/w==", reasons=("body: no JSON",))
    await put_down(bus_client)
    return {"NATS_URL": nats_url}


def test_letters_are_listed_shown_and_retried_by_the_command(
    url: dict[str, str], command: "Callable[..., Command]"
) -> None:
    found = command("dead-letters", "list", "--json", environment=url).json()
    assert [(one["letter"], one["reasons"]) for one in found] == [(1, ["body: no JSON"]), (2, ["Conflict at try 9"])]
    shown = command("dead-letters", "show", "2", environment=url)
    assert "+1••••••••23" in shown.out
    assert "+12125550123" not in shown.out
    whole = command("dead-letters", "show", "2", "--json", "--show-numbers", environment=url)
    assert whole.json()["body"]["phone_number"] == json.loads(REQUEST)["phone_number"]
    said = command("dead-letters", "retry", "2", "7", "--json", environment=url)
    assert said.code == 1
    assert [(one["letter"], bool(one["stored_at"]), one["reason"]) for one in said.json()] == [
        (2, True, None),
        (7, False, "there is no dead letter 7"),
    ]
    assert command("dead-letters", "retry", environment=url).code == 2
    assert command("dead-letters", "retry", "--all", environment=url).code == 0
    assert "There are none." in command("dead-letters", "list", environment=url).out
