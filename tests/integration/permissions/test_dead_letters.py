"""The process of dead letters may resend what a consumer can have refused, and only the edge may ask it to."""

import json
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from tests.builders.dead_letters import dead_letter_process, store_dead_letter

from centralita.embedded.credentials import Credentials
from chassis.barrier import wait_until_processed
from chassis.subject_filters import matcher
from contracts import EVENTS, Service, TimerDue
from contracts.accounts import ADMIN, api_subject
from contracts.consumers import CONSUMERS
from contracts.dead_letter_queries import DeadLetterListQuery, DeadLetterOutcome, DropDeadLetter, RetryDeadLetter
from contracts.examples import EXAMPLES
from contracts.permissions import OPERATOR, inbox_of
from contracts.streams import AUDIT, CALLS, CONTACTS, DEAD_LETTERS, KEYS, NUMBERS, REQUESTS
from contracts.work import DEAD_LETTER_USER, DEAD_LETTER_WORK, WORK

if TYPE_CHECKING:
    from tests.integration.permissions.conftest import Connect

ASKED = tuple(subject for subject, _ in DEAD_LETTER_WORK.answers)
HANDLED = sorted({subject for consumer in CONSUMERS for subject in consumer.filters})


@pytest.mark.parametrize("user", [*(one for one in WORK if one != Service.EDGE), Service.UPSTREAM, OPERATOR])
async def test_no_user_but_the_edge_asks_for_dead_letters(user: str, connect: "Connect") -> None:
    connection = await connect(user)
    assert await connection.refused_publishes(*ASKED) == [*ASKED]


def message_on(subjects: str) -> tuple[str, bytes]:
    """Returns the subject and the body of a message on a filter: those of the example, if it is there."""
    example = EXAMPLES[".".join(subjects.split(".")[:2])]
    if matcher([subjects])(example.subject):
        return example.subject, example.model_dump_json().encode()
    return subjects.replace("*", str(uuid4())), b"{}"


@pytest.mark.parametrize("user", [*WORK, Service.UPSTREAM])
async def test_no_other_user_answers_these_requests(user: str, connect: "Connect") -> None:
    connection = await connect(user)
    assert len(await connection.refused_subscriptions(*ASKED, queue=DEAD_LETTER_USER)) == len(ASKED)


@pytest.mark.parametrize("subjects", HANDLED)
async def test_every_message_that_can_have_become_a_dead_letter_is_resent(
    subjects: str, connect: "Connect", access: Credentials, address: str
) -> None:
    admin, edge = await connect(ADMIN), await connect(Service.EDGE)
    subject, body = message_on(subjects)
    sequence = await store_dead_letter(admin.client, subject=subject, body=body)
    async with dead_letter_process(access.url(address, DEAD_LETTER_USER)):
        command = RetryDeadLetter(sequence=sequence).model_dump_json().encode()
        reply = await edge.client.request(RetryDeadLetter.subject, command, timeout=60)
    outcome = DeadLetterOutcome.model_validate_json(reply.data)
    assert edge.refused == []
    if subject.startswith("number.unblock_requested."):  # it could undo an entry that was made since
        assert "use `centralita do-not-call remove`" in (outcome.reason or "").lower()
    else:
        assert outcome.reason is None
        assert outcome.stored_sequence


async def test_the_edge_lists_and_drops_dead_letters_without_reading_them(
    connect: "Connect", access: Credentials, address: str
) -> None:
    admin, edge = await connect(ADMIN), await connect(Service.EDGE)
    sequence = await store_dead_letter(admin.client)
    async with dead_letter_process(access.url(address, DEAD_LETTER_USER)):
        query = DeadLetterListQuery(after_sequence=sequence - 1).model_dump_json().encode()
        listed = json.loads((await edge.client.request(DeadLetterListQuery.subject, query, timeout=60)).data)
        command = DropDeadLetter(sequence=sequence).model_dump_json().encode()
        dropped = json.loads((await edge.client.request(DropDeadLetter.subject, command, timeout=60)).data)
    assert [one["sequence"] for one in listed["dead_letters"]] == [sequence]
    assert dropped["reason"] is None
    verbs = ("STREAM.MSG.GET", "DIRECT.GET", "STREAM.MSG.DELETE")
    closed = [api_subject(verb, DEAD_LETTERS.name) for verb in verbs]
    assert await edge.refused_publishes(*closed) == [subject.lower() for subject in closed]


async def test_the_process_publishes_no_other_event_and_changes_nothing_else(connect: "Connect") -> None:
    connection = await connect(DEAD_LETTER_USER)
    is_resent = matcher([*HANDLED, "request.erased"])
    others = [EXAMPLES[name].subject for name in EVENTS if not is_resent(EXAMPLES[name].subject)]
    assert len(others) > 10
    streams = (CALLS, KEYS, NUMBERS, CONTACTS, AUDIT)
    others += [api_subject("STREAM.MSG.DELETE", stream.name) for stream in streams]
    others += [
        api_subject(f"STREAM.{verb}", stream.name) for verb in ("PURGE", "DELETE") for stream in (*streams, REQUESTS)
    ]
    others += [f"dead_letter.{TimerDue.event_name}.x", "audit.dead_letter.1", f"key.{'0' * 32}"]
    others += [f"{inbox_of(user)}.x" for user in (*WORK, OPERATOR, ADMIN)]
    assert await connection.refused_publishes(*others) == [subject.lower() for subject in others]


async def test_the_process_subscribes_to_its_requests_in_their_group_and_to_keys(connect: "Connect") -> None:
    connection = await connect(DEAD_LETTER_USER)
    wide = [">", "_INBOX.>", "live.>", "deliver.>", "dead_letter.>", *ASKED, inbox_of(Service.EDGE)]
    assert len(await connection.refused_subscriptions(*wide)) == len(wide)
    for subject in ASKED:
        assert await connection.may_subscribe(subject, queue=DEAD_LETTER_USER)
    await wait_until_processed(connection.client)
