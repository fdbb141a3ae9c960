"""One dead letter over REST with its message, without personal data, and the dead letters of one group."""

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from nats.aio.client import Client
from tests.builders.dead_letters import dead_letter_process, store_dead_letter

from chassis.dead_letters import store_dead_letter as store
from chassis.keyring import Keyring
from chassis.sealed_copies import key_of_day, seal_copy
from contracts import call_id_of
from contracts.dead_letters import DeadLetter
from contracts.streams import REQUESTS

if TYPE_CHECKING:
    from tests.integration.edge.conftest import As

PATH = "/api/v1/dead-letters"
NUMBER = "+12125550123"
WRONG = {
    "campaign_id": "spring",
    "contact_id": f"c {NUMBER}",
    "phone_number": "(212) 555-0123 x9",
    "scheduled_at": "2026-11-29T10:00:00Z",
    "max_retries": 99,
    "variables": {"name": "Ada Lovelace"},
    "phone": 12125550123,
    NUMBER: "Ada",
    "nested": {"password": "secret", "flags": [True, None, 7]},
}


@pytest.fixture
async def process(nats_url: str, bus_client: Client) -> AsyncIterator[Client]:
    async with dead_letter_process(nats_url) as client:
        yield client


async def details(client: httpx.AsyncClient, sequence: int) -> dict[str, Any]:
    answer = await client.get(f"{PATH}/{sequence}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_message_is_shown_without_what_names_a_person(process: Client, as_: "As", bus_client: Client) -> None:
    sequence = await store_dead_letter(
        bus_client, body=json.dumps(WRONG).encode(), headers={"ce-id": f"id {NUMBER}", "name": "Ada"}
    )

    found = await details(as_("auditor"), sequence)

    assert [
        secret for secret in ("Ada", "Lovelace", "secret", "5550123", "555-0123") if secret in json.dumps(found)
    ] == []
    assert found["message"]["body"] == {
        "campaign_id": "spring",
        "contact_id": "c +99999999999",
        "phone_number": "(999) 999-9999 x9",
        "scheduled_at": "2026-11-29T10:00:00Z",
        "max_retries": 99,
        "variables": {"name": "xxx xxxxxxxx"},
        "phone": "[number]",
        "+99999999999": "xxx",
        "nested": {"password": "xxxxxx", "flags": [True, None, 7]},
    }
    assert (found["sequence"], found["problem"], found["message"]["is_sealed"]) == (sequence, None, False)
    assert found["message"]["size_bytes"] == len(json.dumps(WRONG))
    assert found["call_id"] == str(call_id_of(f"id {NUMBER}"))


@pytest.mark.parametrize("body", [b"", b"not JSON", b"\xff\xfe", b"[" * 100_000, b"{" * 900_000])
async def test_a_message_that_is_no_json_has_no_body(
    process: Client, as_: "As", bus_client: Client, body: bytes
) -> None:
    found = await details(as_("auditor"), await store_dead_letter(bus_client, body=body))
    assert (found["message"]["body"], found["message"]["size_bytes"]) == (None, len(body))


async def test_the_answer_about_the_largest_message_is_small(process: Client, as_: "As", bus_client: Client) -> None:
    """A hostile upstream system sends many names, deep structures and long texts of 4 bytes a character."""
    wide = {f"{chr(0x1F600) * 200}{number}": "9" * 50 for number in range(900)}
    deep: Any = {"x": "end"}
    for _ in range(90):
        deep = {"x": deep}
    for body in (wide, deep, list(range(100_000)), {"contact_id": chr(0x1F600) * 60_000}, ["w" * 200_000]):
        sequence = await store_dead_letter(bus_client, body=json.dumps(body, ensure_ascii=False).encode())
        answer = await as_("auditor").get(f"{PATH}/{sequence}")
        assert (answer.status_code, answer.json()["problem"]) == (200, None)
        assert len(answer.content) < 200_000


async def test_a_sealed_copy_is_opened_and_one_without_a_key_says_so(
    process: Client, as_: "As", bus_client: Client, keyring: Keyring
) -> None:
    dead = DeadLetter.of(
        stream=REQUESTS.name, sequence=9, consumer="c", subject="call.requested", reasons=["x"], deliveries=1
    )
    at = (await bus_client.jetstream().stream_info(REQUESTS.name)).created
    assert at
    text = b'{"subject": "call.requested", "headers": {}}\0{"campaign_id": "spring", "name": "Ada"}'
    await store(bus_client, dead, await seal_copy(text, key_of_day(at), keyring))
    gone = await store_dead_letter(bus_client)
    await bus_client.jetstream().delete_msg(REQUESTS.name, 1)

    found = await details(as_("auditor"), 1)
    assert found["message"]["body"] == {"campaign_id": "spring", "name": "xxx"}
    missing = await details(as_("auditor"), gone)
    assert missing["message"] is None
    assert "no longer exists" in missing["problem"]


async def test_an_unknown_dead_letter_is_not_found(process: Client, as_: "As") -> None:
    answer = await as_("auditor").get(f"{PATH}/7")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:centralita:problem:unknown-dead-letter")
    assert (await as_("auditor").get(f"{PATH}/0")).status_code == 404


async def test_a_group_has_an_id_that_selects_its_dead_letters(process: Client, as_: "As", bus_client: Client) -> None:
    for deliveries in (4, 5):
        await store_dead_letter(bus_client, reasons=(f"Conflict: failed {deliveries} times",))
    await store_dead_letter(bus_client, reasons=("body: not JSON",))
    await store_dead_letter(bus_client, reasons=(f"{NUMBER}: Extra inputs",))
    await store_dead_letter(bus_client, reasons=("+12125550199: Extra inputs",))
    auditor = as_("auditor")

    groups = (await auditor.get(f"{PATH}/groups")).json()["groups"]
    listed = {
        group["reason"]: [
            one["sequence"] for one in (await auditor.get(f"{PATH}?group={group['group']}")).json()["dead_letters"]
        ]
        for group in groups
    }

    assert listed == {"Conflict: failed # times": [1, 2], "+#: Extra inputs": [4, 5], "body: not JSON": [3]}
    assert all(group["count"] == len(listed[group["reason"]]) for group in groups)
    for wrong in ("x", "0" * 15, "0" * 17, "*", ">"):
        assert (await auditor.get(PATH, params={"group": wrong})).status_code == 422
    assert (await auditor.get(f"{PATH}?group={'0' * 16}&limit=1")).json() == {"dead_letters": [], "next": None}
    first = (await auditor.get(f"{PATH}?group={groups[0]['group']}&limit=1")).json()
    assert f"group={groups[0]['group']}" in first["next"]
    assert [one["sequence"] for one in (await auditor.get(first["next"])).json()["dead_letters"]] == [2]
