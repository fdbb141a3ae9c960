"""An asker receives the outcomes of its own messages only, also if it subscribes to other subjects."""

import asyncio
from typing import TYPE_CHECKING

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.integration.permissions.conftest import Connection

from chassis.barrier import wait_until_processed
from contracts import CommandOutcome, Service, outcome_subject, published_outcome_subject
from contracts.accounts import ADMIN
from contracts.askers import COMMAND_LINE, outcomes_for
from contracts.envelope import UNNAMED
from contracts.permissions import OPERATOR
from contracts.queries import CALL_REQUEST, OUTCOMES
from contracts.work import WORK

if TYPE_CHECKING:
    from tests.integration.permissions.conftest import Connect

SOURCES = {Service.EDGE: Service.EDGE, OPERATOR: COMMAND_LINE, Service.UPSTREAM: UNNAMED}
"""The source of each asker's messages."""
LAST = "last"
"""The id of a message whose outcome each asker receives after all others."""


async def send(orchestrator: Client, source: str, message_id: str) -> None:
    body = CommandOutcome(accepted=True, request_id=f"{source} {message_id}").model_dump_json().encode()
    await orchestrator.publish(published_outcome_subject(source, message_id), body)


async def received(asker: Connection, *filters: str) -> "asyncio.Queue[Msg]":
    """Returns the messages that an asker receives on these filters."""
    messages: asyncio.Queue[Msg] = asyncio.Queue()
    for subject in filters:
        await asker.client.subscribe(subject, cb=messages.put)
    await wait_until_processed(asker.client)
    return messages


async def before_the_last(messages: "asyncio.Queue[Msg]") -> list[tuple[str, str | None]]:
    """Returns the subjects and the contents of the messages before that with the id `LAST`."""
    found = []
    while (message := await asyncio.wait_for(messages.get(), 60)).subject != outcome_subject(LAST):
        found.append((message.subject, CommandOutcome.model_validate_json(message.data).request_id))
    return found


async def test_each_asker_receives_the_outcomes_of_its_own_messages_alone(connect: "Connect") -> None:
    orchestrator = (await connect(Service.ORCHESTRATOR)).client
    askers = {user: await received(await connect(user), OUTCOMES) for user in SOURCES}
    for source in (*SOURCES.values(), Service.ORCHESTRATOR):
        await send(orchestrator, source, "same id")
    for source in SOURCES.values():
        await send(orchestrator, source, LAST)
    subject = outcome_subject("same id")
    for user, messages in askers.items():
        assert await before_the_last(messages) == [(subject, f"{SOURCES[user]} same id")], user


async def test_no_asker_receives_the_outcome_of_another_one_by_its_subject(connect: "Connect") -> None:
    """The server's permissions accept ``outcome.>`` where ``outcome.*`` is allowed; the import lets no more through."""
    orchestrator = (await connect(Service.ORCHESTRATOR)).client
    asker = await connect(Service.UPSTREAM)
    filters = [outcomes_for(Service.EDGE), ">"]
    assert await asker.refused_subscriptions(*filters) == filters
    messages = await received(asker, "outcome.>")
    await send(orchestrator, Service.EDGE, "of the edge")
    await send(orchestrator, UNNAMED, LAST)
    assert await before_the_last(messages) == []
    assert len(asker.refused) == len(filters)


async def test_a_wrong_source_sends_an_outcome_where_it_is_not_expected(connect: "Connect") -> None:
    """An upstream system names the edge as the source: it does not receive the outcome, and the edge has not asked."""
    orchestrator = (await connect(Service.ORCHESTRATOR)).client
    sender = await received(await connect(Service.UPSTREAM), OUTCOMES)
    edge = await received(await connect(Service.EDGE), outcome_subject("id of the edge"), outcome_subject(LAST))
    await send(orchestrator, Service.EDGE, "id of the sender")
    for source in (UNNAMED, Service.EDGE):
        await send(orchestrator, source, LAST)
    assert await before_the_last(sender) == []
    assert await before_the_last(edge) == []


async def test_the_admin_receives_every_outcome(connect: "Connect") -> None:
    orchestrator = (await connect(Service.ORCHESTRATOR)).client
    messages = await received(await connect(ADMIN), OUTCOMES)
    for source in SOURCES.values():
        await send(orchestrator, source, source)
    await send(orchestrator, UNNAMED, LAST)
    found = {content for _, content in await before_the_last(messages)}
    assert found == {f"{source} {source}" for source in SOURCES.values()}


async def test_the_sender_of_a_request_to_the_edge_receives_its_reply(connect: "Connect") -> None:
    upstream, edge = await connect(Service.UPSTREAM), await connect(Service.EDGE)

    async def answer(message: Msg) -> None:
        await message.respond(b"accepted")

    await edge.client.subscribe(CALL_REQUEST, queue=Service.EDGE, cb=answer)
    await wait_until_processed(edge.client)
    assert (await upstream.client.request(CALL_REQUEST, b"{}", timeout=60)).data == b"accepted"
    assert upstream.refused == edge.refused == []


@pytest.mark.parametrize("user", [*WORK, Service.UPSTREAM, OPERATOR])
async def test_only_the_orchestrator_publishes_outcomes(connect: "Connect", user: str) -> None:
    subjects = [outcome_subject("1"), *(published_outcome_subject(source, "1") for source in SOURCES.values())]
    refused = await (await connect(user)).refused_publishes(*subjects)
    assert refused == (subjects[:1] if user == Service.ORCHESTRATOR else subjects)
