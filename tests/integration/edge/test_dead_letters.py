"""Dead letters over REST: listed and counted without personal data, resent, and dropped, each act audited."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from nats.aio.client import Client
from tests.builders.dead_letters import REQUEST, dead_letter_process, store_dead_letter

from chassis import dead_letter_list
from chassis.dead_letters import read_dead_letters
from chassis.dead_letters import store_dead_letter as store
from chassis.event_log import EventLog
from chassis.keyring import Keyring
from chassis.sealed_copies import key_of_day, seal_copy
from contracts import CallCreated, Envelope, ErasedRequest, RequestsErased, call_id_of
from contracts.audit import AuditEntry
from contracts.dead_letters import DeadLetter
from contracts.examples import EXAMPLES
from contracts.streams import AUDIT, DEAD_LETTERS, REQUESTS
from contracts.vocabulary import RequestResult
from edge.adapters import dead_letters as adapter

if TYPE_CHECKING:
    from tests.integration.edge.conftest import As

PATH = "/api/v1/dead-letters"
NUMBER, DIGEST = "+12125550123", "6f1c7a0b9d2e4f58a3b1c6d7e8f90a12"
CANCEL = EXAMPLES["call.cancel_requested"]
ROUTES = (("GET", ""), ("GET", "/groups"), ("GET", "/1"), ("POST", "/1/retry"), ("POST", "/1/drop"))


@pytest.fixture
async def process(nats_url: str, bus_client: Client) -> AsyncIterator[Client]:
    async with dead_letter_process(nats_url) as client:
        yield client


async def entries(client: Client) -> list[AuditEntry]:
    """The entries of the audit log about dead letters."""
    js, found = client.jetstream(), []
    for sequence in range(1, (await js.stream_info(AUDIT.name)).state.last_seq + 1):
        message = await js.get_msg(AUDIT.name, sequence)
        if (message.subject or "").startswith("audit.dead_letter."):
            found.append(AuditEntry.model_validate_json(message.data or b""))
    return found


async def sequences(client: Client) -> list[int]:
    return [one.sequence async for one in read_dead_letters(client)]


async def pages(http: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
    """Follows `next` to the last page."""
    found: list[dict[str, Any]] = []
    while path:
        answer = await http.get(path)
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        path = found[-1]["next"]
    return found


async def test_dead_letters_are_listed_with_reasons_and_without_what_names_a_person(
    process: Client, as_: "As", bus_client: Client
) -> None:
    call_id = str(uuid4())
    await store_dead_letter(
        bus_client, reasons=(f"{NUMBER}: Extra inputs are not permitted", "phone_number: not in E.164")
    )
    await store_dead_letter(bus_client, subject=f"call.cancel_requested.{call_id}", consumer="orchestrator-commands")
    await store_dead_letter(bus_client, subject=f"call.cancel_requested.{NUMBER}")
    await store_dead_letter(bus_client, subject=f"number.block_requested.{DIGEST}", consumer="orchestrator-numbers")

    answer = await as_("auditor").get(PATH)

    assert answer.status_code == 200
    assert [secret for secret in (NUMBER[1:], DIGEST) if secret in answer.text] == []
    found = answer.json()
    assert found["next"] is None
    assert [one["subject"] for one in found["dead_letters"]] == [
        "call.requested",
        f"call.cancel_requested.{call_id}",
        "call.cancel_requested.*",
        "number.block_requested.*",
    ]
    first, second, *_ = found["dead_letters"]
    assert first["reasons"] == ["+1••••••••23: Extra inputs are not permitted", "phone_number: not in E.164"]
    assert (first["sequence"], first["stream"], first["message_sequence"], first["tries"]) == (1, "REQUESTS", 1, 9)
    assert (first["call_id"], second["call_id"], second["consumer"]) == (None, call_id, "orchestrator-commands")
    assert first["age_seconds"] >= 0


async def test_the_copy_of_a_message_is_in_no_answer(
    process: Client, as_: "As", bus_client: Client, keyring: Keyring
) -> None:
    dead = DeadLetter.of(
        stream="REQUESTS",
        sequence=1,
        consumer="orchestrator-requests",
        subject="call.requested",
        reasons=["x"],
        deliveries=1,
    )
    at = (await bus_client.jetstream().stream_info(REQUESTS.name)).created
    assert at
    text = b'{"subject": "call.requested"}\0' + NUMBER.encode()
    await store(bus_client, dead, await seal_copy(text, key_of_day(at), keyring))
    old = dead.model_copy(update={"sequence": 2, "headers": {"name": "Ada"}, "body": f'{{"phone_number": "{NUMBER}"}}'})
    await store(bus_client, old)
    answers = "".join([(await as_("auditor").get(path)).text for path in (PATH, f"{PATH}/groups")])
    assert answers.count('"x"') == 3
    assert [secret for secret in (NUMBER[2:], "Ada") if secret in answers] == []


async def test_pages_go_on_where_the_last_one_ended_and_filters_select(
    process: Client, as_: "As", bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        await store_dead_letter(bus_client, consumer="odd" if number % 2 else "even", sequence=number + 1)
    monkeypatch.setattr(dead_letter_list, "MAX_READ", 3)
    monkeypatch.setattr(dead_letter_list, "get_page", _three_at_a_time)
    auditor = as_("auditor")
    for query, expected in (
        ("?limit=2", [1, 2, 3, 4, 5, 6, 7]),
        ("?limit=2&consumer=odd", [2, 4, 6]),
        ("?stream=REQUESTS&consumer=even", [1, 3, 5, 7]),
        ("?stream=CALLS", []),
        ("?cursor=5", [6, 7]),
    ):
        found = [one["sequence"] for page in await pages(auditor, PATH + query) for one in page["dead_letters"]]
        assert found == expected, query
    counted = await pages(auditor, f"{PATH}/groups?consumer=even")
    assert sum(group["count"] for page in counted for group in page["groups"]) == 4
    assert len(counted) == 3


async def _three_at_a_time(client: Client, stream: str, subject: str, *, start_sequence: int) -> Any:
    from chassis.direct_get import get_page

    return await get_page(client, stream, subject, start_sequence=start_sequence, limit=3)


async def test_groups_are_the_largest_first_and_bounded(
    process: Client, as_: "As", bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for deliveries in (4, 5, 6):
        reason = f"Conflict: failed {deliveries} times in this process, delivered {deliveries + 5} times"
        await store_dead_letter(bus_client, reasons=(reason,))
    await store_dead_letter(bus_client, reasons=("body: not JSON", "more"))
    await store_dead_letter(bus_client, reasons=("body: not JSON",), consumer="orchestrator-commands")
    monkeypatch.setattr(dead_letter_list, "MAX_LISTED", 2)

    found = (await as_("auditor").get(f"{PATH}/groups")).json()

    assert [(one["reason"], one["count"], one["first_sequence"]) for one in found["groups"]] == [
        ("Conflict: failed # times in this process, delivered # times", 3, 1),
        ("body: not JSON", 1, 4),
    ]
    assert (found["other_count"], found["next"]) == (1, None)
    assert found["groups"][0]["message"] == "call.requested"
    assert found["groups"][0]["oldest_at"] <= found["groups"][0]["newest_at"]


async def test_a_retry_publishes_the_message_again_once_and_is_audited(
    process: Client, as_: "As", bus_client: Client, calls: EventLog
) -> None:
    sequence = await store_dead_letter(bus_client)

    answer = await as_("auditor").post(f"{PATH}/{sequence}/retry")

    call_id = str(call_id_of(json.loads(REQUEST)["request_id"]))
    stored = {"sequence": 1, "stream": "REQUESTS", "stored_sequence": 2, "call_id": call_id}
    assert (answer.status_code, answer.json()) == (200, stored)
    message = await bus_client.jetstream().get_msg(REQUESTS.name, 2)
    assert (message.headers or {})["ce-id"] == "REQUESTS/1"
    [erased] = [one.event for one in await calls.read([RequestsErased.subjects()])]
    assert isinstance(erased, RequestsErased)
    assert erased.requests == (ErasedRequest(sequence=1, result=RequestResult.RESENT),)
    assert await sequences(bus_client) == []
    again = await as_("auditor").post(f"{PATH}/{sequence}/retry")
    assert (again.status_code, again.json()["type"]) == (404, "urn:centralita:problem:unknown-dead-letter")
    assert (await bus_client.jetstream().stream_info(REQUESTS.name)).state.last_seq == 2
    found = await entries(bus_client)
    assert [one.stage.value for one in found] == ["asked", "accepted", "asked", "refused"]
    assert {(one.act, one.target, one.key_name) for one in found} == {("dead_letter.retry", "1", "auditor")}
    assert found[1].after == {
        "stream": "REQUESTS",
        "message_sequence": 1,
        "consumer": "orchestrator-requests",
        "subject": "call.requested",
        "stored_sequence": 2,
    }


async def test_two_retries_at_once_store_the_message_once(process: Client, as_: "As", bus_client: Client) -> None:
    sequence = await store_dead_letter(bus_client)
    answers = await asyncio.gather(*(as_("auditor").post(f"{PATH}/{sequence}/retry") for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404]
    assert (await bus_client.jetstream().stream_info(REQUESTS.name)).state.last_seq == 2


async def test_a_sealed_copy_is_opened_and_resent(
    process: Client, as_: "As", bus_client: Client, keyring: Keyring
) -> None:
    dead = DeadLetter.of(
        stream=REQUESTS.name,
        sequence=9,
        consumer="orchestrator-requests",
        subject="call.requested",
        reasons=["phone_number: wrong"],
        deliveries=1,
    )
    body = b'{"phone_number": "+1"}'
    text = b'{"subject": "call.requested", "headers": {"name": "Ada"}}\0' + body
    at = (await bus_client.jetstream().stream_info(REQUESTS.name)).created
    assert at
    await store(bus_client, dead, await seal_copy(text, key_of_day(at), keyring))

    answer = await as_("auditor").post(f"{PATH}/1/retry")

    assert answer.status_code == 200, answer.text
    message = await bus_client.jetstream().get_msg(REQUESTS.name, answer.json()["stored_sequence"])
    assert (message.data, (message.headers or {})["name"]) == (body, "Ada")


async def test_a_message_with_a_decision_is_refused_with_the_reason_of_the_command(
    process: Client, as_: "As", bus_client: Client, calls: EventLog
) -> None:
    created = EXAMPLES["call.created"]
    assert isinstance(created, CallCreated)
    await calls.append(created, cause=Envelope.read({}, id="REQUESTS/1", time=created.occurred_at))
    sequence = await store_dead_letter(bus_client, subject=CANCEL.subject, body=CANCEL.model_dump_json().encode())

    answer = await as_("auditor").post(f"{PATH}/{sequence}/retry")

    assert (answer.status_code, answer.json()["type"]) == (409, "urn:centralita:problem:refused")
    assert "the log contains the decision on it already; `centralita dead-letters retry 1 --force`" in answer.text
    assert await sequences(bus_client) == [sequence]
    assert [one.stage.value for one in await entries(bus_client)] == ["asked", "refused"]


async def test_an_event_that_no_consumer_reads_is_not_published_again(
    process: Client, as_: "As", bus_client: Client
) -> None:
    event = EXAMPLES["call.created"]
    sequence = await store_dead_letter(bus_client, subject=event.subject, body=event.model_dump_json().encode())
    answer = await as_("auditor").post(f"{PATH}/{sequence}/retry")
    assert answer.status_code == 409
    assert "no consumer reads the subject" in answer.json()["detail"]


async def test_a_drop_erases_the_dead_letter_and_its_request_and_is_audited(
    process: Client, as_: "As", bus_client: Client
) -> None:
    sequence = await store_dead_letter(bus_client)
    answer = await as_("auditor").post(f"{PATH}/{sequence}/drop")
    assert (answer.status_code, answer.json()) == (200, {"sequence": 1})
    assert await sequences(bus_client) == []
    assert (await bus_client.jetstream().stream_info(REQUESTS.name)).state.messages == 0
    assert (await as_("auditor").post(f"{PATH}/{sequence}/drop")).status_code == 404
    found = [(one.act, one.stage.value) for one in await entries(bus_client)]
    assert found == [("dead_letter.drop", stage) for stage in ("asked", "accepted", "asked", "refused")]


@pytest.mark.parametrize("name", ["reader", "caller", "desk", "limited"])
async def test_a_key_without_the_scope_admin_reaches_nothing_and_its_acts_are_audited(
    process: Client, as_: "As", bus_client: Client, name: str
) -> None:
    asked = await bus_client.subscribe("dead_letters.>")
    sequence = await store_dead_letter(bus_client)
    for method, path in ROUTES:
        answer = await as_(name).request(method, PATH + path)
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:centralita:problem:missing-scope")
        assert "Conflict" not in answer.text
    await bus_client.flush()
    assert asked.pending_msgs == 0, "the process of dead letters is not asked"
    assert await sequences(bus_client) == [sequence]
    assert [(one.act, one.target, one.stage.value) for one in await entries(bus_client)] == [
        ("dead_letter.retry", "1", "refused"),
        ("dead_letter.drop", "1", "refused"),
    ]


async def test_without_a_key_nothing_is_asked(process: Client, anyone: httpx.AsyncClient, bus_client: Client) -> None:
    asked = await bus_client.subscribe("dead_letters.>")
    for method, path in ROUTES:
        assert (await anyone.request(method, PATH + path)).status_code == 401
    await bus_client.flush()
    assert asked.pending_msgs == 0
    assert await entries(bus_client) == []


@pytest.mark.parametrize("sequence", ["0", "-1", "x", "1.5", "9" * 16, "9" * 5_000, "1%2F2", "%2B1"])
async def test_an_impossible_sequence_matches_no_route_and_is_not_audited(
    process: Client, as_: "As", bus_client: Client, sequence: str
) -> None:
    for act in ("retry", "drop"):
        assert (await as_("auditor").post(f"{PATH}/{sequence}/{act}")).status_code == 404
    assert await entries(bus_client) == []


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "cursor=-1", "cursor=1e9", "stream=a.b", "consumer=%3E"])
async def test_a_wrong_parameter_is_named(process: Client, as_: "As", query: str) -> None:
    answer = await as_("auditor").get(f"{PATH}?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, query.partition("=")[0])


async def test_one_request_reads_a_bounded_part_of_a_full_stream(
    process: Client, as_: "As", bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile upstream system may fill the stream with copies of 1 MB each."""
    js = bus_client.jetstream()
    large = DeadLetter.of(
        stream="REQUESTS", sequence=1, consumer="c", subject="call.requested", reasons=["x"], deliveries=1
    )
    body = large.model_dump_json().encode() + b"\0" + b"x" * 500_000
    for _ in range(10):
        await js.publish("dead_letter.call.requested", body)
    monkeypatch.setattr(dead_letter_list, "MAX_READ_BYTES", 1_000_000)
    first = (await as_("auditor").get(PATH)).json()
    assert len(first["dead_letters"]) <= 10
    found = [one for page in await pages(as_("auditor"), PATH) for one in page["dead_letters"]]
    assert [one["sequence"] for one in found] == list(range(1, 11))
    assert (await js.stream_info(DEAD_LETTERS.name)).state.messages == 10


async def test_an_answer_with_the_longest_reasons_is_not_too_large_for_nats(
    process: Client, as_: "As", bus_client: Client
) -> None:
    """A hostile upstream system may choose names of fields with characters of 4 bytes."""
    for number in range(110):
        reasons = tuple(f"{line}{number:03}{chr(0x1F600) * 296}" for line in range(10))
        await store_dead_letter(bus_client, reasons=reasons)
    found = await pages(as_("auditor"), PATH)
    assert [one["sequence"] for page in found for one in page["dead_letters"]] == list(range(1, 111))
    counted = (await as_("auditor").get(f"{PATH}/groups")).json()
    assert (len(counted["groups"]) + counted["other_count"], counted["groups"][0]["count"]) == (1, 110)


async def test_without_the_process_the_answer_names_it_and_the_act_is_undecided(
    as_: "As", bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "READ_SECONDS", 0.2)
    sequence = await store_dead_letter(bus_client)
    for method, path in (("GET", ""), ("GET", "/groups"), ("POST", f"/{sequence}/retry")):
        answer = await as_("auditor").request(method, PATH + path)
        assert answer.status_code == 503
        assert "python -m chassis.dead_letter_service" in answer.json()["detail"]
    assert [one.stage.value for one in await entries(bus_client)] == ["asked", "undecided"]
