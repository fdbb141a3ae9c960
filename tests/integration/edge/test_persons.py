"""Erasing and exporting persons over REST and by the command line, with the real orchestrator."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from starlette.types import ASGIApp
from tests.integration.call_orchestrator.conftest import call_of, running
from tests.integration.edge.conftest import secret_of
from tests.integration.edge.test_do_not_call import OnAPort, check

from chassis.event_log import EventLog
from contracts import CallCreated, CallList, CallListQuery, SpeechHeard
from contracts.personal import ERASED
from contracts.queries import ListedCall

if TYPE_CHECKING:
    from tests.integration.edge.conftest import As

NUMBER, OTHER, WORDS = "+12125550123", "+12125550124", "My doctor is called Ferrán"
ERASE, EXPORT = "/api/v1/persons/erase", "/api/v1/persons/export"
LATER = (datetime.now(UTC) + timedelta(days=3)).isoformat()


@pytest.fixture
async def _orchestrators(nats_url: str, bus_client: Client, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setenv("ALLOWED_COUNTRIES", "US")
    async with running(nats_url, 2):
        yield


pytestmark = pytest.mark.usefixtures("_orchestrators")


async def create(client: httpx.AsyncClient, key: str, number: str = NUMBER, **fields: str) -> dict[str, Any]:
    body = {
        "campaign_id": "spring",
        "contact_id": f"c-{number[-2:]}",
        "phone_number": number,
        "script_template": "Hello {{name}}.",
        "variables": {"name": "Ana Belén"},
        "language": "en",
        "scheduled_at": LATER,
        **fields,
    }
    answer = await client.post("/api/v1/calls", json=body, headers={"Idempotency-Key": key})
    assert answer.status_code == 201, answer.text
    call: dict[str, Any] = answer.json()
    return call


async def test_an_erased_person_is_erased_in_each_answer_and_the_certificate_is_in_the_audit_log(
    as_: "As", calls: EventLog
) -> None:
    call, other = await create(as_("caller"), "k-1"), await create(as_("caller"), "k-2", OTHER)
    await as_("caller").post("/api/v1/do-not-call", json={"phone_number": NUMBER})
    number_id = (await check(as_("reader")))["id"]
    heard = SpeechHeard(call_id=call["id"], attempt=1, turn=1, text=WORDS, language="en")
    await calls.append(heard, person=number_id)
    erased = await as_("auditor").post(ERASE, json={"phone_number": NUMBER})
    assert erased.status_code == 200, erased.text
    assert (erased.json()["id"], erased.json()["certificate"]["had_key"]) == (number_id, True)
    read = as_("reader")
    after = (await read.get(f"/api/v1/calls/{call['id']}")).json()
    assert (after["phone_number"], after["status"]) == (ERASED, "canceled")
    events = await read.get(f"/api/v1/calls/{call['id']}/events")
    assert [secret for secret in (NUMBER, WORDS, "Ana") if secret in events.text] == []
    decisions = (await read.get(f"/api/v1/calls/{call['id']}/decisions")).json()
    assert decisions[-1]["reason"] == "canceled by request"
    assert (await read.get(f"/api/v1/calls/{other['id']}")).json()["phone_number"] == OTHER
    entries = (await check(read))["entries"]
    assert [entry["source"] for entry in entries] == ["request"], "the entry stays, with the digest"
    listed = (await read.get("/api/v1/do-not-call")).json()["numbers"]
    assert [(one["id"], one["phone_number"]) for one in listed] == [(number_id, None)]
    audit = await as_("auditor").get("/api/v1/audit?limit=500")
    acts = [entry for entry in audit.json()["entries"] if entry["act"] == "person.erase"]
    assert [(one["stage"], one["target"]) for one in acts] == [("asked", number_id), ("accepted", number_id)]
    assert acts[1]["after"] == erased.json()["certificate"]
    assert NUMBER[1:] not in audit.text
    again = await as_("auditor").post(ERASE, json={"phone_number": NUMBER})
    assert again.json()["certificate"]["had_key"]


async def test_everything_about_a_person_is_exported_and_the_reading_is_audited(as_: "As", calls: EventLog) -> None:
    call = await create(as_("caller"), "k-1")
    await create(as_("caller"), "k-2", OTHER)
    changed = await create(as_("caller"), "k-3", OTHER)
    await as_("caller").put(f"/api/v1/calls/{changed['id']}", json={"phone_number": NUMBER})
    await as_("caller").post("/api/v1/do-not-call", json={"phone_number": NUMBER})
    number_id = (await check(as_("reader")))["id"]
    heard = SpeechHeard(call_id=call["id"], attempt=1, turn=1, text=WORDS, language="en")
    await calls.append(heard, person=number_id)
    person = (await as_("auditor").post(EXPORT, json={"phone_number": NUMBER})).json()
    assert sorted(one["id"] for one in person["calls"]) == sorted([call["id"], changed["id"]])
    assert OTHER not in json.dumps(person), "the person who had the number of the changed call before"
    [events] = [one["events"] for one in person["calls"] if one["id"] == call["id"]]
    assert [event["data"]["text"] for event in events if event["type"].startswith("speech.")] == [WORDS]
    assert events[0]["data"]["call"]["variables"] == {"name": "Ana Belén"}
    assert [entry["source"] for entry in person["do_not_call"]] == ["request"]
    assert {act["act"] for act in person["acts"]} == {"call.create", "call.change", "number.block"}
    audit = (await as_("auditor").get("/api/v1/audit?limit=500")).json()["entries"]
    assert [(one["act"], one["stage"], one["target"]) for one in audit][-1] == ("person.export", "accepted", number_id)


@pytest.fixture
async def _statistics(bus_client: Client, calls: EventLog) -> None:
    """Answers for campaign-stats: the calls of a contact, one in a page.

    The first one is archived; it and the second one are of an older build, and have no digest.
    """

    async def answer(message: Msg) -> None:
        query = CallListQuery.model_validate_json(message.data)
        events = [stored.event for stored in await calls.read([CallCreated.subjects()])]
        found = [event.call for event in events if isinstance(event, CallCreated)]
        found = [call for call in found if call.contact_id == query.contact_id]
        found = [call for call in found if query.campaign_id in (None, call.campaign_id)]
        found = [*(call.model_copy(update={"call_id": uuid4()}) for call in found[:1] if not query.before), *found]
        ids = [call.call_id for call in found]
        known = query.before and query.before.call_id in ids
        rest = found[ids.index(query.before.call_id) + 1 :] if query.before and known else found
        listed = [ListedCall.model_validate(call.model_dump()) for call in rest[:1]]
        if any(one.call_id in ids[:2] for one in listed):
            listed = [one.model_copy(update={"number_digest": None}) for one in listed]
        await message.respond(CallList(calls=tuple(listed), has_more=len(rest) > 1).model_dump_json().encode())

    await bus_client.subscribe(CallListQuery.subject, cb=answer)


@pytest.mark.usefixtures("_statistics")
async def test_a_contact_id_names_the_person_of_its_calls_unless_it_names_several(as_: "As") -> None:
    call = await create(as_("caller"), "k-1", contact_id="crm/77 ñ")
    again = await create(as_("caller"), "k-2", contact_id="crm/77 ñ")
    other = await create(as_("caller"), "k-3", OTHER, contact_id="crm/77 ñ", campaign_id="autumn")
    path = "/api/v1/contacts/crm%2F77%20%C3%B1"
    several = await as_("auditor").delete(path)
    assert (several.status_code, several.json()["type"]) == (409, "urn:centralita:problem:ambiguous-contact")
    erased = await as_("auditor").delete(path, params={"campaign_id": "spring"})
    assert erased.status_code == 200, erased.text
    numbers = [(await as_("reader").get(f"/api/v1/calls/{one['id']}")).json()["phone_number"] for one in (call, again)]
    assert numbers == [ERASED, ERASED]
    assert (await as_("reader").get(f"/api/v1/calls/{other['id']}")).json()["phone_number"] == OTHER
    unknown = await as_("auditor").delete("/api/v1/contacts/unknown")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:centralita:problem:unknown-contact")


async def test_a_person_whose_calls_are_all_archived_is_erased_by_the_contact(
    as_: "As", bus_client: Client, calls: EventLog
) -> None:
    created = await create(as_("caller"), "k-1", contact_id="c-9")
    call = await call_of(calls, UUID(created["id"]))
    assert call

    async def answer(message: Msg) -> None:
        listed = ListedCall.model_validate({**call.model_dump(), "call_id": uuid4()})
        await message.respond(CallList(calls=(listed,), has_more=False).model_dump_json().encode())

    await bus_client.subscribe(CallListQuery.subject, cb=answer)
    erased = await as_("auditor").delete("/api/v1/contacts/c-9")
    assert (erased.status_code, erased.json()["id"]) == (200, call.number_digest)


@pytest.mark.usefixtures("_statistics")
async def test_the_person_of_a_waiting_contact_is_erased_and_the_contact_leaves(as_: "As") -> None:
    terms = {"campaign_id": "winter", "script_template": "Hello.", "language": "en", "purpose": "service"}
    assert (await as_("caller").post("/api/v1/campaigns", json=terms)).status_code == 201
    rows = f"phone_number,contact_id\n{NUMBER},w-1\n{OTHER},w-2\n".encode()
    path = "/api/v1/campaigns/winter/contacts"
    await as_("caller").post(path, content=rows, headers={"Content-Type": "text/csv"})
    person = (await as_("auditor").post(EXPORT, json={"contact_id": "w-1", "campaign_id": "winter"})).json()
    assert [contact["phone_number"] for contact in person["contacts"]] == [NUMBER]
    erased = await as_("auditor").delete("/api/v1/contacts/w-1")
    assert erased.json()["certificate"]["contacts_removed"] == 1
    waiting = (await as_("reader").get(path)).json()["contacts"]
    assert [contact["contact_id"] for contact in waiting] == ["w-2"]


@pytest.mark.parametrize("key", ["reader", "caller"])
async def test_a_key_without_the_scope_admin_neither_erases_nor_exports(as_: "As", key: str) -> None:
    for path in (ERASE, EXPORT):
        assert (await as_(key).post(path, json={"phone_number": NUMBER})).status_code == 403
    assert (await as_(key).delete("/api/v1/contacts/c-1")).status_code == 403


@pytest.mark.parametrize(
    "body", [{}, {"phone_number": NUMBER, "contact_id": "c"}, {"phone_number": NUMBER, "campaign_id": "spring"}]
)
async def test_a_body_that_names_no_person_or_two_is_refused(as_: "As", body: dict[str, str]) -> None:
    answer = await as_("auditor").post(ERASE, json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:centralita:problem:invalid")


async def test_the_command_line_exports_and_forgets(app: ASGIApp, on_a_port: OnAPort, as_: "As") -> None:
    call = await create(as_("caller"), "k-1")
    async with on_a_port(app) as url:
        shown = await command(url, "person", "--number", NUMBER)
        forgotten = await command(url, "forget", "--number", NUMBER, "--yes")
        again = await command(url, "person", "--number", NUMBER)
        asked = await command(url, "forget", "--number", NUMBER)
        unnamed = await command(url, "forget", "--yes")
    assert (shown.returncode, forgotten.returncode, again.returncode) == (0, 0, 0), forgotten.stderr
    assert [one["id"] for one in json.loads(shown.stdout)["calls"]] == [call["id"]]
    assert (NUMBER in shown.stdout, NUMBER in again.stdout) == (True, False)
    assert forgotten.stdout.startswith("The key was destroyed at 20")
    assert (asked.returncode, unnamed.returncode) == (1, 2), "without a terminal nothing is erased unasked"
    assert "Give --number or --contact." in unnamed.stderr


async def command(url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "centralita", *arguments, "--api-url", url]
    environment = {**os.environ, "API_KEY": secret_of("auditor")}
    run = asyncio.to_thread
    return await run(subprocess.run, line, capture_output=True, text=True, env=environment, timeout=200, input="")
