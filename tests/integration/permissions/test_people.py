"""Upstream systems may ask and hear their answers; the operator reads everything; the administrator does everything."""

import asyncio
import json
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from nats.aio.msg import Msg
from nats.errors import TimeoutError as NoAnswer
from nats.js.errors import APIError

from centralita.replay.reading import last_sequence, read
from chassis.barrier import wait_until_processed
from contracts import EVENTS, CallRequested, Service
from contracts.examples import EXAMPLES
from contracts.nats_configuration import THEIRS
from contracts.permissions import ADMIN, OPERATOR, OWN_PERMISSIONS, owned_by
from contracts.queries import CALL_REQUEST, CampaignStatisticsQuery
from contracts.streams import CALLS, CONSUMERS, DEAD_LETTERS, REQUESTS, STREAMS

if TYPE_CHECKING:
    from tests.integration.permissions.conftest import Connect

ASKED = [fact for fact, event in EVENTS.items() if event.subjects() in owned_by(Service.UPSTREAM)]
REQUEST = EXAMPLES[CallRequested.event_name]


async def test_an_upstream_system_may_ask_and_is_told_that_it_is_stored(connect: "Connect") -> None:
    upstream = await connect(Service.UPSTREAM)
    for fact in ASKED:
        ack = await upstream.js.publish(EXAMPLES[fact].subject, EXAMPLES[fact].model_dump_json().encode())
        assert ack.stream == REQUESTS.name
    assert upstream.refused == []


async def test_an_upstream_system_may_say_nothing_else(connect: "Connect") -> None:
    upstream = await connect(Service.UPSTREAM)
    others = [EXAMPLES[fact].subject for fact in EVENTS if fact not in ASKED]
    others += [CampaignStatisticsQuery.subject, "$JS.API.INFO", f"$JS.API.STREAM.MSG.GET.{REQUESTS.name}", "anything"]
    assert await upstream.refuses_to_publish(*others) == [subject.lower() for subject in others]
    heard = [">", "call.>", CALL_REQUEST, "deliver.>", "dead_letter.>"]
    assert len(await upstream.refuses_to_hear(*heard)) == len(heard)


async def test_an_upstream_system_with_its_clients_own_inboxes_hears_no_answer_of_ours(connect: "Connect") -> None:
    upstream, operator = await connect(Service.UPSTREAM), await connect(OPERATOR)
    ears = await upstream.client.subscribe("_INBOX.>")
    await wait_until_processed(upstream.client)
    await operator.js.stream_info(CALLS.name)
    with pytest.raises(NoAnswer):
        await ears.next_msg(timeout=0.3)


async def test_the_answer_to_an_upstream_system_cannot_be_sent_into_the_log(connect: "Connect") -> None:
    upstream, admin = await connect(Service.UPSTREAM), await connect(ADMIN)
    before = await last_sequence(admin.client, CALLS.name)
    asked = await last_sequence(admin.client, REQUESTS.name)
    await upstream.client.publish(REQUEST.subject, b"{}", reply=f"call.created.{uuid4()}.pending")
    await upstream.js.publish(REQUEST.subject, b"{}")
    assert await last_sequence(admin.client, REQUESTS.name) == asked + 2
    assert await last_sequence(admin.client, CALLS.name) == before


async def test_an_upstream_system_cannot_roll_up_what_others_have_asked(connect: "Connect") -> None:
    upstream = await connect(Service.UPSTREAM)
    stored = await upstream.js.publish(REQUEST.subject, b"{}")
    for reach in ("all", "sub"):
        with pytest.raises(APIError, match="rollup not permitted"):
            await upstream.js.publish(REQUEST.subject, b"{}", headers={"Nats-Rollup": reach})
    admin = await connect(ADMIN)
    assert (await admin.js.get_msg(REQUESTS.name, stored.seq)).subject == REQUEST.subject


async def test_what_the_server_says_of_a_user_goes_to_that_user_and_not_into_the_log(connect: "Connect") -> None:
    upstream, admin = await connect(Service.UPSTREAM), await connect(ADMIN)
    before = await last_sequence(admin.client, CALLS.name)
    told = json.loads((await upstream.client.request(OWN_PERMISSIONS, timeout=5)).data)["data"]
    assert (told["user"], told["account"]) == (Service.UPSTREAM, THEIRS)
    await upstream.client.publish(OWN_PERMISSIONS, reply=f"call.created.{uuid4()}.pending")
    await upstream.client.request(OWN_PERMISSIONS, timeout=5)
    assert await last_sequence(admin.client, CALLS.name) == before
    assert upstream.refused == []


async def test_an_upstream_system_gets_the_outcome_by_request_and_by_reply_to(connect: "Connect") -> None:
    upstream, edge = await connect(Service.UPSTREAM), await connect(Service.EDGE)
    orchestrator = await connect(Service.ORCHESTRATOR)

    async def answer(message: Msg) -> None:
        await message.respond(b"accepted")

    await edge.client.subscribe(CALL_REQUEST, queue=Service.EDGE, cb=answer)
    inbox = upstream.client.new_inbox()
    outcomes = await upstream.client.subscribe(inbox)
    await asyncio.gather(wait_until_processed(edge.client), wait_until_processed(upstream.client))
    assert (await upstream.client.request(CALL_REQUEST, b"{}", timeout=5)).data == b"accepted"
    await orchestrator.client.publish(inbox, b"outcome")
    assert (await outcomes.next_msg(timeout=5)).data == b"outcome"
    assert upstream.refused + edge.refused + orchestrator.refused == []


async def test_the_operator_reads_every_stream(connect: "Connect") -> None:
    operator, admin = await connect(OPERATOR), await connect(ADMIN)
    for stream, subject in ((REQUESTS, REQUEST.subject), (CALLS, f"dial.placed.{uuid4()}")):
        stored = await admin.js.publish(subject, REQUEST.model_dump_json().encode())
        upto = await last_sequence(operator.client, stream.name)
        assert upto == stored.seq
        assert [found.sequence async for found in read(operator.client, stream.name, start=upto, upto=upto)] == [upto]
    for consumer in CONSUMERS:
        await operator.js.consumer_info(consumer.stream.name, consumer.name)
    assert {info.config.name for info in await operator.js.streams_info()} >= {stream.name for stream in STREAMS}
    live = await operator.client.subscribe("call.>")
    await wait_until_processed(operator.client)
    await admin.js.publish(REQUEST.subject, b"{}")
    assert (await live.next_msg(timeout=5)).subject == REQUEST.subject
    assert operator.refused == []


async def test_the_operator_asks_for_calls_and_changes_nothing(connect: "Connect") -> None:
    operator = await connect(OPERATOR)
    assert (await operator.js.publish(REQUEST.subject, REQUEST.model_dump_json().encode())).stream == REQUESTS.name
    facts = [EXAMPLES[fact].subject for fact in EVENTS if fact not in ASKED]
    facts += [f"$JS.API.STREAM.{act}.{stream.name}" for act in ("DELETE", "PURGE", "UPDATE") for stream in STREAMS]
    facts += [f"$JS.API.STREAM.MSG.DELETE.{DEAD_LETTERS.name}"]
    facts += [f"$JS.API.CONSUMER.DELETE.{consumer.stream.name}.{consumer.name}" for consumer in CONSUMERS]
    assert await operator.refuses_to_publish(*facts) == [subject.lower() for subject in facts]
    stolen = [consumer.deliver_subject for consumer in CONSUMERS]
    assert len(await operator.refuses_to_hear(*stolen, queue="voice-dials")) == len(stolen)


async def test_the_administrator_imports_facts_and_sends_dead_letters_again(connect: "Connect") -> None:
    admin = await connect(ADMIN)
    for event in EXAMPLES.values():
        assert (await admin.js.publish(event.subject, event.model_dump_json().encode())).seq
    letter = await admin.js.publish("dead_letter.speech.heard.x", json.dumps({}).encode())
    assert await admin.js.delete_msg(DEAD_LETTERS.name, letter.seq)
    assert admin.refused == []
