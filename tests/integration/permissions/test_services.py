"""Each service may publish its own events and subscribe to its own consumers; the server refuses everything else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import ConsumerConfig

from chassis.barrier import wait_until_processed
from chassis.connection_errors import family_of
from chassis.direct_get import StoredMessage
from chassis.event_log import EventLog
from chassis.live import listen
from chassis.provisioned import wait_until_provisioned
from chassis.stream_reader import follow
from contracts import EVENTS, ContactAdded, Service, TimerDue
from contracts.accounts import ADMIN, api_subject
from contracts.buckets import ANSWERS, CLIPS, DIALS
from contracts.consumers import CONSUMERS
from contracts.examples import EXAMPLES
from contracts.filters import PROJECTION_FILTERS
from contracts.permissions import OPERATOR, inbox_of, mapped, users
from contracts.streams import CALLS, CONTACTS, DEAD_LETTERS, REQUESTS, STREAMS
from contracts.work import WORK
from voice.adapters.clips import ObjectStoreClips

if TYPE_CHECKING:
    from tests.integration.permissions.conftest import Connect

SERVICES = tuple(WORK)
"""All five services; the scheduler is the server itself, and upstream has its own tests."""


def own_events(service: Service) -> list[str]:
    return [name for name, event in EVENTS.items() if service in event.owners]


def test_every_service_has_permissions_and_every_consumer_has_one_service() -> None:
    assert {*WORK} == {*Service} - {Service.UPSTREAM, Service.SCHEDULER}
    handled = sorted(consumer.name for work in WORK.values() for consumer in work.handles)
    assert handled == sorted(consumer.name for consumer in CONSUMERS)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_may_publish_each_event_that_it_owns(service: Service, connect: "Connect") -> None:
    connection, admin = await connect(service), await connect(ADMIN)
    await admin.of(CONTACTS).purge_stream(CONTACTS.name)  # which refuses a contact of another owner's test
    for name in own_events(service):
        ack = await connection.js.publish(EXAMPLES[name].subject, b"{}")
        assert ack.seq, name
    assert connection.refused == []


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_may_publish_no_event_of_another(service: Service, connect: "Connect") -> None:
    connection = await connect(service)
    others = [EXAMPLES[name].subject for name in EVENTS if name not in own_events(service)]
    assert len(others) > 10
    assert await connection.refused_publishes(*others) == [subject.lower() for subject in others]


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_subscribes_to_its_own_consumers_only_in_their_group(
    service: Service, connect: "Connect"
) -> None:
    connection = await connect(service)
    own = WORK[service].handles
    for consumer in own:
        assert await connection.may_subscribe(consumer.deliver_subject, queue=consumer.name)
    without_group = [consumer.deliver_subject for consumer in own]
    assert len(await connection.refused_subscriptions(*without_group)) == len(without_group), (
        "without its group, the service would receive copies"
    )
    for consumer in CONSUMERS:
        if consumer not in own:
            refused = await connection.refused_subscriptions(consumer.deliver_subject, queue=consumer.name)
            assert len(refused) == 1, consumer.name


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_may_not_subscribe_to_wildcards_or_inboxes_of_others(
    service: Service, connect: "Connect"
) -> None:
    connection = await connect(service)
    others = [f"{inbox_of(user.name)}.>" for user in users() if user.name != service]
    live = ["live.>", *(stream.live(">") for stream in STREAMS)]
    wide = [">", "_INBOX.>", "call.>", "speech.heard.*", "$JS.>", "dead_letter.>", *live, *others]
    assert len(await connection.refused_subscriptions(*wide)) == len(wide)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_receives_the_stored_messages_that_it_follows(service: Service, connect: "Connect") -> None:
    connection, admin = await connect(service), await connect(ADMIN)
    for stream, subjects in WORK[service].follows:
        for filters in subjects:
            assert await connection.may_subscribe(stream.live(filters), queue="")
            live = await connection.client.subscribe(stream.live(filters))
            await wait_until_processed(connection.client)
            subject = filters.replace("campaign.*", "campaign.paused").replace("*", "x")
            stored = await admin.js.publish(subject, b"{}")
            message = await live.next_msg(timeout=60)
            assert message.subject == stream.live(subject)
            assert message.headers == {
                **(message.headers or {}),
                "Nats-Subject": subject,
                "Nats-Sequence": str(stored.seq),
            }
            await live.unsubscribe()


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_may_change_no_stream_and_no_durable_consumer(service: Service, connect: "Connect") -> None:
    connection = await connect(service)
    acts = [api_subject(f"STREAM.{act}", one.name) for act in ("CREATE", "UPDATE", "DELETE") for one in STREAMS]
    for consumer in CONSUMERS:
        verbs = ("CREATE", "DURABLE.CREATE", "DELETE", "PAUSE", "RESET")
        acts += [api_subject(f"CONSUMER.{act}", consumer.stream.name, consumer.name) for act in verbs]
    assert await connection.refused_publishes(*acts) == [mapped(act, service).lower() for act in acts]


@pytest.mark.parametrize("service", SERVICES)
async def test_only_the_orchestrator_and_the_edge_read_requests_and_only_the_orchestrator_dead_letters(
    service: Service, connect: "Connect"
) -> None:
    connection = await connect(service)
    readable = {Service.ORCHESTRATOR: (REQUESTS, DEAD_LETTERS), Service.EDGE: (REQUESTS,)}.get(service, ())
    closed = [stream.name for stream in (REQUESTS, DEAD_LETTERS) if stream not in readable]
    subjects = [
        subject
        for stream in closed
        for subject in (
            api_subject("STREAM.MSG.GET", stream),
            api_subject("DIRECT.GET", stream),
            api_subject("DIRECT.GET", stream, "x"),
        )
    ]
    subjects += [api_subject("CONSUMER.CREATE", stream, "mine") for stream in (REQUESTS.name, DEAD_LETTERS.name)]
    assert await connection.refused_publishes(*subjects) == [subject.lower() for subject in subjects]


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_may_not_write_to_the_cache_of_another(service: Service, connect: "Connect") -> None:
    connection = await connect(service)
    caches = {
        Service.CONVERSATION: f"$KV.{ANSWERS.name}.a",
        Service.VOICE: f"$O.{CLIPS.name}.M.a",
        Service.EDGE: f"$KV.{DIALS.name}.a.20260302",
    }
    others = [subject for owner, subject in caches.items() if owner != service]
    assert await connection.refused_publishes(*others) == [subject.lower() for subject in others]


@pytest.mark.parametrize("user", [*SERVICES, OPERATOR])
async def test_no_user_but_admin_creates_a_consumer_on_a_shared_stream(user: str, connect: "Connect") -> None:
    connection = await connect(user)
    acts = [
        act
        for stream in STREAMS
        if not (user == Service.ORCHESTRATOR and stream is CONTACTS)
        for act in (
            api_subject("CONSUMER.CREATE", stream.name),
            api_subject("CONSUMER.CREATE", stream.name, "mine"),
            api_subject("CONSUMER.CREATE", stream.name, "mine", stream.subjects[0].replace("*", "x")),
            api_subject("CONSUMER.DURABLE.CREATE", stream.name, "mine"),
            api_subject("CONSUMER.MSG.NEXT", stream.name, "mine"),
            api_subject("CONSUMER.DELETE", stream.name, "mine"),
        )
    ]
    assert await connection.refused_publishes(*acts) == [mapped(act, user).lower() for act in acts]


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_may_read_and_follow_the_log_as_far_as_it_needs(service: Service, connect: "Connect") -> None:
    connection, call_id = await connect(service), uuid4()
    admin = await connect(ADMIN)
    stored = await EventLog(admin.client, CALLS.name, source="test").append(
        TimerDue(call_id=call_id, deadline_at=_DEADLINE)
    )
    await wait_until_provisioned(connection.client, service)
    work = WORK[service]
    if CALLS in work.reads:
        log = EventLog(connection.client, CALLS.name, source="test")
        assert [found.sequence for found in await log.read([f"*.*.{call_id}"])] == [stored.sequence]
        assert await log.last(f"timer.due.{call_id}") is not None
    for stream, filters in work.follows:
        pattern = filters[-1].replace("campaign.*", "campaign.paused")
        subjects = [pattern.replace("*", name) for name in ("a", "b", "c")]
        first = await admin.js.publish(subjects[0], b"{}")
        async with aclosing(follow(connection.client, stream, filters, start_sequence=first.seq)) as followed:
            assert [message.seq for message in await anext(followed)] == [first.seq]
            second = await admin.js.publish(subjects[1], b"{}")
            assert [message.seq for message in await anext(followed)] == [second.seq]
        async with aclosing(listen(connection.client, stream, filters, start_sequence=first.seq)) as listened:
            assert [message.seq for message in await anext(listened)] == [first.seq, second.seq]
            waiting = asyncio.create_task(_next(listened))
            await asyncio.sleep(0.2)
            third = await admin.js.publish(subjects[2], b"{}")
            assert [message.seq for message in await waiting] == [third.seq]
    await asyncio.sleep(0)
    assert connection.refused == []


async def test_the_orchestrator_alone_takes_contacts_and_removes_those_of_a_campaign(connect: "Connect") -> None:
    orchestrator, edge, admin = await connect(Service.ORCHESTRATOR), await connect(Service.EDGE), await connect(ADMIN)
    await admin.of(CONTACTS).purge_stream(CONTACTS.name)
    for digest in ("d1", "d2"):
        await edge.js.publish(f"contact.added.c.g.{digest}", b"{}")
    config = ConsumerConfig(durable_name="c-g", filter_subject=ContactAdded.subjects("c", "g"))
    await orchestrator.of(CONTACTS).add_consumer(CONTACTS.name, config)
    pulled = await orchestrator.of(CONTACTS).pull_subscribe_bind(durable="c-g", stream=CONTACTS.name)
    (message,) = await pulled.fetch(1, timeout=60)
    await message.ack_sync()
    assert await orchestrator.of(CONTACTS).delete_consumer(CONTACTS.name, "c-g")
    assert await orchestrator.of(CONTACTS).purge_stream(CONTACTS.name, subject=ContactAdded.subjects("c"))
    assert (await admin.of(CONTACTS).stream_info(CONTACTS.name)).state.messages == 0
    assert edge.refused == orchestrator.refused == []
    acts = [api_subject("CONSUMER.MSG.NEXT", CONTACTS.name, "c-g"), api_subject("STREAM.PURGE", CONTACTS.name)]
    assert await edge.refused_publishes(*acts) == [act.lower() for act in acts]


async def test_voice_may_store_clips_and_conversation_answers(connect: "Connect") -> None:
    voice, conversation = await connect(Service.VOICE), await connect(Service.CONVERSATION)
    store = await voice.of(CLIPS.stream).object_store(CLIPS.name)
    for number, audio in enumerate((b"one" * 100_000, b"two", b"")):
        await ObjectStoreClips(voice.client, store).put(f"digest-{number}", audio)
        assert await ObjectStoreClips(voice.client, store).get(f"digest-{number}") == audio
    await store.put("digest-0", b"replaced")
    assert await ObjectStoreClips(voice.client, store).get("digest-0") == b"replaced"
    answers = await conversation.of(ANSWERS.stream).key_value(ANSWERS.name)
    await answers.create("digest", b"[]", msg_ttl=60)
    assert (await answers.get("digest")).value == b"[]"
    assert voice.refused == conversation.refused == []


async def test_a_service_may_store_dead_letters_of_its_consumers(connect: "Connect") -> None:
    for service, work in WORK.items():
        connection = await connect(service)
        for consumer in work.handles:
            for filters in consumer.filters:
                await connection.js.publish(f"dead_letter.{filters.replace('*', 'x')}", b"{}")
        assert connection.refused == []
    statistics = await connect(Service.CAMPAIGN_STATS)
    for filters in PROJECTION_FILTERS:
        await statistics.js.publish(f"dead_letter.{filters.replace('*', 'x')}", b"{}")
    assert statistics.refused == []


async def test_a_connection_without_a_password_is_refused(address: str) -> None:
    for url in (address, address.replace("://", "://voice:wrong@")):
        client = Client()
        with pytest.raises(NatsError):
            await client.connect(url, allow_reconnect=False, max_reconnect_attempts=0, error_cb=_ignore)
        await client.close()


async def _ignore(_: Exception) -> None:
    """Ignores the reported error: nats-py also raises it."""


def test_a_refusal_is_logged_without_ids_keys_and_inboxes() -> None:
    assert family_of(f"dial.placed.{uuid4()}") == "dial.placed"
    assert family_of("$js.api.stream.delete.calls") == "$js.api.stream.delete"
    assert family_of("$kv.answers.0123abc") == "$kv.answers"
    assert family_of("_inbox.voice.abc.def") == "_inbox.voice"


_DEADLINE = EXAMPLES[TimerDue.event_name].model_dump()["deadline_at"]


async def _next(batches: AsyncIterator[list[StoredMessage]]) -> list[StoredMessage]:
    return await anext(batches)
