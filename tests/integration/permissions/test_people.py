"""Upstream systems publish requests and receive answers; the operator reads everything; the admin may do everything."""

import json
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from nats.errors import TimeoutError as NoAnswer
from nats.js.errors import APIError

from chassis.barrier import wait_until_processed
from chassis.stream_reader import last_sequence, read
from contracts import EVENTS, CallRequested, Service
from contracts.accounts import ADMIN, account_of, api_subject
from contracts.buckets import WATCHED_STREAMS
from contracts.consumers import CONSUMERS
from contracts.examples import EXAMPLES
from contracts.permissions import OPERATOR, OWN_PERMISSIONS, inbox_of, owned_by, users
from contracts.queries import CALL_REQUEST, CampaignStatisticsQuery
from contracts.streams import CALLS, DEAD_LETTERS, REQUESTS, STREAMS

if TYPE_CHECKING:
    from tests.integration.permissions.conftest import Connect

REQUESTS_OF_UPSTREAM = [name for name, event in EVENTS.items() if event.subjects() in owned_by(Service.UPSTREAM)]
REQUEST = EXAMPLES[CallRequested.event_name]


async def test_an_upstream_system_may_publish_requests_and_receives_the_acknowledgement(connect: "Connect") -> None:
    upstream = await connect(Service.UPSTREAM)
    for name in REQUESTS_OF_UPSTREAM:
        ack = await upstream.js.publish(EXAMPLES[name].subject, EXAMPLES[name].model_dump_json().encode())
        assert ack.stream == REQUESTS.name
    assert upstream.refused == []


async def test_an_upstream_system_may_publish_nothing_else(connect: "Connect") -> None:
    upstream = await connect(Service.UPSTREAM)
    others = [EXAMPLES[name].subject for name in EVENTS if name not in REQUESTS_OF_UPSTREAM]
    others += [CampaignStatisticsQuery.subject, "$JS.API.INFO", f"$JS.API.STREAM.MSG.GET.{REQUESTS.name}", "anything"]
    assert await upstream.refused_publishes(*others) == [subject.lower() for subject in others]
    filters = [">", "call.>", CALL_REQUEST, "deliver.>", "dead_letter.>"]
    assert len(await upstream.refused_subscriptions(*filters)) == len(filters)


async def test_an_upstream_system_receives_no_answers_to_other_users(connect: "Connect") -> None:
    upstream, operator = await connect(Service.UPSTREAM), await connect(OPERATOR)
    inbox = await upstream.client.subscribe("_INBOX.>")
    await wait_until_processed(upstream.client)
    await operator.js.stream_info(CALLS.name)
    with pytest.raises(NoAnswer):
        await inbox.next_msg(timeout=0.3)


async def test_a_reply_subject_of_an_upstream_system_cannot_be_a_subject_of_the_log(connect: "Connect") -> None:
    upstream, admin = await connect(Service.UPSTREAM), await connect(ADMIN)
    before = await last_sequence(admin.client, CALLS.name)
    requests = await last_sequence(admin.client, REQUESTS.name)
    await upstream.client.publish(REQUEST.subject, b"{}", reply=f"call.created.{uuid4()}.pending")
    await upstream.js.publish(REQUEST.subject, b"{}")
    assert await last_sequence(admin.client, REQUESTS.name) == requests + 2
    assert await last_sequence(admin.client, CALLS.name) == before


async def test_an_upstream_system_cannot_delete_requests_by_rollup(connect: "Connect") -> None:
    upstream = await connect(Service.UPSTREAM)
    stored = await upstream.js.publish(REQUEST.subject, b"{}")
    for reach in ("all", "sub"):
        with pytest.raises(APIError, match="rollup not permitted"):
            await upstream.js.publish(REQUEST.subject, b"{}", headers={"Nats-Rollup": reach})
    admin = await connect(ADMIN)
    assert (await admin.js.get_msg(REQUESTS.name, stored.seq)).subject == REQUEST.subject


async def test_the_permissions_of_a_user_are_sent_to_that_user_and_not_to_the_log(connect: "Connect") -> None:
    upstream, admin = await connect(Service.UPSTREAM), await connect(ADMIN)
    before = await last_sequence(admin.client, CALLS.name)
    answer = json.loads((await upstream.client.request(OWN_PERMISSIONS, timeout=60)).data)["data"]
    assert (answer["user"], answer["account"]) == (Service.UPSTREAM, account_of(Service.UPSTREAM))
    await upstream.client.publish(OWN_PERMISSIONS, reply=f"call.created.{uuid4()}.pending")
    await upstream.client.request(OWN_PERMISSIONS, timeout=60)
    assert await last_sequence(admin.client, CALLS.name) == before
    assert upstream.refused == []


async def test_the_orchestrator_publishes_to_no_inbox(connect: "Connect") -> None:
    orchestrator = await connect(Service.ORCHESTRATOR)
    inboxes = [f"{inbox_of(user.name)}.1".lower() for user in users()]
    assert await orchestrator.refused_publishes(*inboxes) == inboxes


async def test_the_operator_reads_every_stream(connect: "Connect") -> None:
    operator, admin = await connect(OPERATOR), await connect(ADMIN)
    for stream, subject in ((REQUESTS, REQUEST.subject), (CALLS, f"dial.placed.{uuid4()}")):
        stored = await admin.js.publish(subject, REQUEST.model_dump_json().encode())
        end = await last_sequence(operator.client, stream.name)
        assert end == stored.seq
        messages = read(operator.client, stream.name, start_sequence=end, end_sequence=end)
        assert [one.seq async for one in messages] == [end]
    for consumer in CONSUMERS:
        await operator.js.consumer_info(consumer.stream.name, consumer.name)
    for watched in WATCHED_STREAMS:
        assert (await operator.of(watched).stream_info(watched.name)).config.name == watched.name
    live = await operator.client.subscribe(REQUESTS.live(">"))
    await wait_until_processed(operator.client)
    await admin.js.publish(REQUEST.subject, b"{}")
    assert (await live.next_msg(timeout=60)).subject == REQUESTS.live(REQUEST.subject)
    assert operator.refused == []


async def test_the_operator_may_request_calls_and_change_nothing(connect: "Connect") -> None:
    operator = await connect(OPERATOR)
    assert (await operator.js.publish(REQUEST.subject, REQUEST.model_dump_json().encode())).stream == REQUESTS.name
    subjects = [EXAMPLES[name].subject for name in EVENTS if name not in REQUESTS_OF_UPSTREAM]
    acts = ("DELETE", "PURGE", "UPDATE", "MSG.DELETE")
    subjects += [api_subject(f"STREAM.{act}", stream.name) for act in acts for stream in STREAMS]
    subjects += [api_subject("CONSUMER.DELETE", consumer.stream.name, consumer.name) for consumer in CONSUMERS]
    assert await operator.refused_publishes(*subjects) == [subject.lower() for subject in subjects]
    deliveries = [consumer.deliver_subject for consumer in CONSUMERS]
    assert len(await operator.refused_subscriptions(*deliveries, queue="voice-dials")) == len(deliveries)


async def test_the_admin_may_import_events_and_retry_dead_letters(connect: "Connect") -> None:
    admin = await connect(ADMIN)
    for event in EXAMPLES.values():
        assert (await admin.js.publish(event.subject, event.model_dump_json().encode())).seq
    dead_letter = await admin.js.publish("dead_letter.speech.heard.x", json.dumps({}).encode())
    assert await admin.js.delete_msg(DEAD_LETTERS.name, dead_letter.seq)
    assert admin.refused == []
