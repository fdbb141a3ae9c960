"""Importing contacts over REST into the stream CONTACTS of a real server: rows, duplicates and refusals."""

import asyncio
import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from starlette.types import ASGIApp
from tests.integration.edge.conftest import As, secret_of
from tests.integration.edge.contact_import.conftest import (
    CSV,
    FIRST_AT,
    JSON_LINES,
    PATH,
    OnAPort,
    added,
    entries,
    file,
    groups,
    messages,
    us_number,
)

from chassis.barrier import wait_until_processed
from chassis.event_log import EventLog
from chassis.settings import key_bytes
from contracts import (
    CampaignCreateRequested,
    CampaignFinishRequested,
    NumberChanged,
    RequestedTerms,
)
from contracts.number_digests import NumberDigests
from contracts.number_state import DoNotCallEntry, NumberState
from contracts.streams import CONTACTS, KEYS, NUMBERS
from contracts.vocabulary import DoNotCallSource
from edge.application import contact_import
from edge.settings import Settings

if TYPE_CHECKING:
    from tests.integration.edge.conftest import Orchestrator


async def test_rows_become_waiting_contacts_with_their_fields_in_their_order(
    api: httpx.AsyncClient, campaign: list[str], bus_client: Client
) -> None:
    body = (
        "\ufeffphone_number,contact_id,time_zone,language,metadata.branch,name\r\n"
        '+12125550001,c-1,America/Chicago,en,"north, 2",Ana\r\n'
        "+12125550002,,,,,Luis\r\n"
    )
    answer = await api.post(PATH, content=body.encode(), headers=CSV)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert (document["rows"], document["added"], document["duplicates"], document["refused"]) == (2, 2, 0, {})
    assert document["first_at"] == "2026-03-02T15:00:00Z"
    assert [(group["zones"], group["contacts"]) for group in document["groups"]] == [
        (["America/Chicago"], 1),
        (["America/New_York"], 1),
    ]
    first, second = await added(bus_client)
    assert first.phone_number == "+12125550001"
    assert (first.contact_id, first.time_zone, first.language) == ("c-1", "America/Chicago", "en")
    assert (first.variables, first.metadata) == ({"name": "Ana"}, {"branch": "north, 2"})
    assert (second.contact_id, second.time_zone) == (second.number_digest, None)
    assert await groups(bus_client) == [first.zone_group, second.zone_group]
    assert campaign == ["US", "US"], "one question for each group"


async def test_json_lines_are_imported_and_unknown_fields_refused(
    api: httpx.AsyncClient, campaign: list[str], bus_client: Client
) -> None:
    lines: list[dict[str, Any]] = [
        {"phone_number": us_number(1), "variables": {"name": "Ana"}, "contact_id": 7},
        {"phone_number": us_number(2), "variables": {"name": "Ana"}, "campaign_id": "autumn"},
        {"phone_number": us_number(3), "variables": {"name": "Ana"}, "prénom": "Ana"},
    ]
    answer = await api.post(PATH, content="\n".join(map(json.dumps, lines)).encode(), headers=JSON_LINES)
    document = answer.json()
    assert (document["added"], document["refused"]) == (1, {"campaign_id": 1, "row": 1})
    assert [row["line"] for row in document["refused_rows"]] == [2, 3]
    assert [contact.contact_id for contact in await added(bus_client)] == ["7"]


REFUSED = {
    "+12125550001,,": ("variables", "name", "the script of the campaign needs this value"),
    "+1212555000,Ana,": ("phone_number", "phone_number", "no such number"),
    "2125550001,Ana,": ("phone_number", "phone_number", "not a phone number in E.164"),
    "+19002345678,Ana,": ("phone_number", "phone_number", "premium-rate"),
    "+34912345678,Ana,": ("country_not_allowed", "phone_number", "numbers of the country ES are not called"),
    "+12125550002,Ana,Mars/Base": ("time_zone", "time_zone", "no time zone"),
    "+12125550010,Ana,localtime": ("time_zone", "time_zone", "no time zone"),
    '+12125550003,"A\nna",': ("variables", "variables", "line break"),
    "+12125550004,A\u202ena,": ("variables", "variables", "control character"),
    "+12125550005,A\0na,": ("variables", "variables", "control character"),
    f"+12125550006,{'a' * 201},": ("variables", "variables", "201 characters"),
    "+12125550007,Ana": ("row", "row", "2 cells instead of 3"),
    '+12125550008,"Ana" x,': ("row", "row", "double quotes"),
    f"+12125550009,{'x' * 70_000},": ("row", "row", "longer than"),
}


@pytest.mark.usefixtures("campaign")
async def test_wrong_rows_are_refused_with_line_column_and_reason_and_good_rows_continue(
    api: httpx.AsyncClient, bus_client: Client
) -> None:
    good = [f"{us_number(100 + number)},Ana," for number in range(len(REFUSED))]
    rows = [row for pair in zip(REFUSED, good, strict=True) for row in pair]
    answer = await api.post(PATH, content="\n".join(["phone_number,name,time_zone", *rows]).encode(), headers=CSV)
    document = answer.json()
    assert document["added"] == len(good), document
    kinds = [kind for kind, _, _ in REFUSED.values()]
    assert document["refused"] == {kind: kinds.count(kind) for kind in kinds}
    starts = [2 + sum(row.count("\n") + 1 for row in rows[:number]) for number in range(0, len(rows), 2)]
    for found, start, (_, column, reason) in zip(document["refused_rows"], starts, REFUSED.values(), strict=True):
        assert (found["line"], found["column"]) == (start, column)
        assert reason in found["reason"]
        assert "5550001" not in found["reason"]
    assert len(await added(bus_client)) == len(good)


@pytest.mark.usefixtures("campaign")
async def test_the_refused_rows_as_csv_can_be_corrected_and_sent_again(
    api: httpx.AsyncClient, bus_client: Client
) -> None:
    body = 'phone_number,name,metadata.note\n+1212555,"An, a",x\n+12125550001,Ana,\n+12125550002,\n'
    answer = await api.post(PATH, content=body.encode(), headers={**CSV, "Accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert json.loads(answer.headers["Import-Result"])["added"] == 1
    header, wrong, broken = csv.reader(io.StringIO(answer.text))
    assert header[3:] == ["phone_number", "name", "metadata.note"]
    assert (wrong[:2], wrong[3:]) == (["2", "phone_number"], ["+1212555", "An, a", "x"])
    assert (broken[:2], broken[3:]) == (["4", "row"], ["'+12125550002,"])
    corrected = answer.text.replace("+1212555,", "+12125550003,").rsplit("\r\n", 2)[0]
    again = await api.post(PATH, content=corrected.encode(), headers=CSV)
    assert again.json()["added"] == 1, again.text
    assert [contact.metadata for contact in await added(bus_client)] == [{}, {"note": "x"}]


@pytest.mark.usefixtures("campaign")
async def test_no_refused_cell_is_a_formula_of_a_spreadsheet_and_each_is_read_back_as_it_was(
    api: httpx.AsyncClient, bus_client: Client
) -> None:
    body = "phone_number,name,metadata.note\n+1212555,=HYPERLINK(1),@SUM(1)\n"
    answer = await api.post(PATH, content=body.encode(), headers={**CSV, "Accept": "text/csv"})
    _, wrong = csv.reader(io.StringIO(answer.text))
    assert wrong[3:] == ["+1212555", "'=HYPERLINK(1)", "'@SUM(1)"]
    again = await api.post(PATH, content=answer.text.replace("+1212555,", "+12125550003,").encode(), headers=CSV)
    assert again.json()["added"] == 1, again.text
    [contact] = await added(bus_client)
    assert (contact.variables, contact.metadata) == ({"name": "=HYPERLINK(1)"}, {"note": "@SUM(1)"})


@pytest.mark.usefixtures("campaign")
@pytest.mark.parametrize(
    "header", ["phone_number,name,", "phone_number,first name", "phone_number,name,metadata.x,metadata.x"]
)
async def test_a_wrong_column_is_named_in_the_detail_if_it_cannot_be_the_name_of_a_field(
    api: httpx.AsyncClient, header: str
) -> None:
    answer = await api.post(PATH, content=header.encode(), headers=CSV)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(("column 3: has no name", "first name: no name", "metadata.x: two"))


@pytest.mark.usefixtures("campaign")
async def test_refused_json_lines_are_listed_as_csv_below_the_names_of_the_columns(api: httpx.AsyncClient) -> None:
    headers = {**JSON_LINES, "Accept": "text/csv"}
    answer = await api.post(PATH, content=b'{"phone_number": "12"}', headers=headers)
    header, wrong = csv.reader(io.StringIO(answer.text))
    assert header == ["refused_line", "refused_column", "refused_reason", "row"]
    assert (wrong[:2], wrong[3:]) == (["1", "phone_number"], ['{"phone_number": "12"}'])


@pytest.mark.usefixtures("campaign")
async def test_imported_contacts_are_sealed_under_the_keys_of_their_numbers(
    api: httpx.AsyncClient, bus_client: Client
) -> None:
    body = "phone_number,contact_id,name,metadata.branch\n+12125550001,c-1,Ferrán,north\n+12125550002,c-2,Ana,south\n"
    assert (await api.post(PATH, content=body.encode(), headers=CSV)).json()["added"] == 2
    keys = await messages(bus_client, KEYS)
    stored = b"".join([*await messages(bus_client, CONTACTS), *keys])
    assert [text for text in ("2125550001", "Ferr", "Ana", "north") if text.encode() in stored] == []
    assert [(one.phone_number, one.variables, one.metadata) for one in await added(bus_client)] == [
        ("+12125550001", {"name": "Ferrán"}, {"branch": "north"}),
        ("+12125550002", {"name": "Ana"}, {"branch": "south"}),
    ]
    listed = (await api.get(PATH)).json()["contacts"]
    assert [one["phone_number"] for one in listed] == ["+1••••••••01", "+1••••••••02"]
    assert len(keys) == 3, "one of each number, and the checked one"
    again = (await api.post(PATH, content=body.encode(), headers=CSV)).json()
    assert (again["added"], again["duplicates"]) == (0, 2)
    assert await messages(bus_client, KEYS) == keys


@pytest.mark.usefixtures("campaign")
async def test_the_same_file_again_adds_nothing_and_counts_duplicates(
    api: httpx.AsyncClient, bus_client: Client
) -> None:
    counts = []
    for _ in range(2):
        document = (await api.post(PATH, content=file(1_200), headers=CSV)).json()
        counts.append((document["added"], document["duplicates"]))
    assert counts == [(1_200, 0), (0, 1_200)]
    assert len(await added(bus_client)) == 1_200
    assert len(await groups(bus_client)) == 1
    acts = [(entry.act, entry.stage, entry.after) for entry in await entries(bus_client)]
    assert [(act, stage) for act, stage, _ in acts] == [
        ("campaign.import_contacts", stage) for stage in ("asked", "accepted") * 2
    ]
    assert acts[1][2] == {"rows": 1200, "added": 1200, "duplicates": 0, "refused": {}}


@pytest.mark.usefixtures("campaign")
async def test_two_keys_that_import_the_same_file_at_once_add_each_contact_once(
    app: ASGIApp, as_: As, bus_client: Client
) -> None:
    answers = await asyncio.gather(
        *(as_(name).post(PATH, content=file(800), headers=CSV) for name in ("caller", "desk"))
    )
    documents = [answer.json() for answer in answers]
    assert sum(document["added"] for document in documents) == 800
    assert sum(document["duplicates"] for document in documents) == 800
    assert len(await added(bus_client)) == 800


async def test_a_dry_run_adds_nothing_and_says_what_would_be_called_when(
    api: httpx.AsyncClient, campaign: list[str], bus_client: Client
) -> None:
    await api.post(PATH, content=file(3), headers=CSV)
    before = (await bus_client.jetstream().stream_info(CONTACTS.name)).state
    body = file(5) + b"+12125550004,c-9,Ana\n+34912345678,c-10,Ana\n+13055550123,c-11,Ana\n,c-12,Ana\n"
    answer = await api.post(f"{PATH}?dry_run=true", content=body, headers=CSV)
    document = answer.json()
    assert (document["dry_run"], document["rows"], document["added"]) == (True, 9, 3)
    assert document["duplicates"] == 4, "three wait already, one is in the file twice"
    assert document["refused"] == {"country_not_allowed": 1, "phone_number": 1}
    assert {tuple(group["regions"]): group["contacts"] for group in document["groups"]} == {("NY",): 2, ("FL",): 1}
    assert (await bus_client.jetstream().stream_info(CONTACTS.name)).state == before
    assert campaign == ["US", "US", "ES", "US"]
    assert len(await entries(bus_client)) == 2, "a dry run is no act"
    assert len(await added(bus_client)) == 3


@pytest.mark.parametrize(
    ("header", "column"),
    [("number,name", "phone_number"), ("phone_number,company", "name"), ("", "header"), ("x" * 70_000, "header")],
)
@pytest.mark.usefixtures("campaign")
async def test_a_wrong_header_refuses_the_file_at_once(
    api: httpx.AsyncClient, bus_client: Client, header: str, column: str
) -> None:
    parts = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal parts
        yield header.encode() + (b"\n" if header else b"")
        while header and parts < 1_000:
            parts += 1
            yield b"+12125550001,Ana\n"
            await asyncio.sleep(0)

    answer = await api.post(PATH, content=endless(), headers=CSV)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == column
    assert not await added(bus_client)


async def test_contacts_are_added_to_a_declared_unfinished_campaign_with_a_script_only(
    api: httpx.AsyncClient, orchestrator: "Orchestrator", asked: list[str]
) -> None:
    undeclared = await api.post(PATH, content=file(1), headers=CSV)
    await orchestrator.handle(CampaignCreateRequested(campaign_id="spring", terms=RequestedTerms()))
    without_script = await api.post(PATH, content=file(1), headers=CSV)
    await orchestrator.handle(CampaignFinishRequested(campaign_id="spring"))
    finished = await api.post(PATH, content=file(1), headers=CSV)
    assert [answer.status_code for answer in (undeclared, without_script, finished)] == [409] * 3
    fields = [answer.json()["errors"][0]["field"] for answer in (undeclared, without_script, finished)]
    assert fields == ["campaign_id", "script_template", "campaign_id"]
    assert asked == []


@pytest.mark.usefixtures("campaign")
async def test_another_media_type_and_another_campaign_of_a_limited_key_are_refused(
    api: httpx.AsyncClient, as_: As
) -> None:
    assert (await api.post(PATH, content=file(1), headers={"Content-Type": "application/json"})).status_code == 415
    assert (await as_("reader").post(PATH, content=file(1), headers=CSV)).status_code == 403
    other = await as_("limited").post(PATH.replace("spring", "winter"), content=file(1), headers=CSV)
    assert other.status_code == 404


@pytest.mark.usefixtures("campaign")
async def test_a_campaign_has_a_bounded_number_of_groups(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact_import, "MAX_GROUPS", 2)
    zones = ["America/New_York", "America/Chicago", "America/Denver", "America/Chicago"]
    rows = [f"{us_number(number)},{zone},Ana" for number, zone in enumerate(zones)]
    body = "\n".join(["phone_number,time_zone,name", *rows]).encode()
    document = (await api.post(PATH, content=body, headers=CSV)).json()
    assert (document["added"], document["refused"]) == (3, {"too_many_groups": 1})


@pytest.mark.usefixtures("campaign")
async def test_waiting_contacts_are_listed_in_pages_with_masked_numbers_and_no_read_counts_the_others(
    api: httpx.AsyncClient, bus_client: Client
) -> None:
    await api.post(PATH, content=file(25).replace(b"c-7,", b"10023456,"), headers=CSV)
    queries: list[dict[str, object]] = []

    async def note(message: Msg) -> None:
        queries.append(json.loads(message.data))

    await bus_client.subscribe(f"$JS.API.DIRECT.GET.{CONTACTS.name}", cb=note)
    await wait_until_processed(bus_client)
    path, found = f"{PATH}?limit=10", []
    while path:
        page = (await api.get(path)).json()
        found += page["contacts"]
        path = page["next"]
    ids = [f"c-{number}" for number in range(25)]
    ids[7] = "10023456"
    assert [contact["contact_id"] for contact in found] == ids
    assert found[3]["phone_number"] == "+1••••••••03"
    assert (await api.get(PATH.replace("spring", "autumn"))).json() == {"contacts": [], "next": None}
    await wait_until_processed(bus_client)
    assert len(queries) == 29, "each contact, whether more follow each page, and the other campaign"
    assert not any("batch" in query for query in queries), "the server would count all contacts after the page"


@pytest.mark.usefixtures("campaign")
async def test_numbers_on_a_do_not_call_list_of_the_campaign_are_refused_also_in_a_dry_run(
    api: httpx.AsyncClient, bus_client: Client, settings: Settings
) -> None:
    digests = NumberDigests(key_bytes(settings.number_digest_key))
    numbers = EventLog(bus_client, NUMBERS.name, source="test")
    listed = ((1, None, None), (2, "spring", None), (3, "autumn", None), (4, None, None), (5, None, "vip"))
    for number, campaign_id, list_name in listed:
        entry = DoNotCallEntry(
            campaign_id=campaign_id,
            list_name=list_name,
            is_listed=number != 4,
            changed_at=FIRST_AT,
            source=DoNotCallSource.REQUEST,
        )
        state = NumberState(number_digest=digests.of(us_number(number)), do_not_call=(entry,))
        await numbers.append(NumberChanged(number=state, occurred_at=FIRST_AT))
    for query in ("?dry_run=true", ""):
        document = (await api.post(PATH + query, content=file(450) + b"bad,c-9,Ana\n", headers=CSV)).json()
        assert (document["added"], document["refused"]) == (447, {"do_not_call": 3, "phone_number": 1})
        rows = [(row["line"], row["reason"][:52]) for row in document["refused_rows"][:3]]
        assert rows == [
            (3, "the number is on the do-not-call list of all campaigns"[:52]),
            (4, "the number is on the do-not-call list of the campaign"[:52]),
            (7, "the number is on the do-not-call list vip (source: request)"[:52]),
        ]
    assert len(await added(bus_client)) == 447


async def command(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "centralita", "campaign", "import", "spring", *arguments]
    environment = {"PATH": os.environ["PATH"], "COLUMNS": "200", "API_URL": url, "API_KEY": secret_of("caller")}
    return await asyncio.to_thread(subprocess.run, line, env=environment, capture_output=True, text=True, timeout=200)


@pytest.mark.usefixtures("campaign")
async def test_the_command_line_imports_a_file_and_writes_the_refused_rows(
    app: ASGIApp, on_a_port: OnAPort, bus_client: Client, tmp_path: Path
) -> None:
    contacts, refused = tmp_path / "contacts.csv", tmp_path / "refused.csv"
    contacts.write_bytes(content := file(3) + b"+1212,c-9,Ana\n+34912345678,c-10,Ana\n")
    async with on_a_port(app) as url:
        dry = await command(url, str(contacts), "--dry-run")
        added_some = await command(url, str(contacts), "--refused", str(refused))
        again = await command(url, str(contacts), "--json")
        existing = await command(url, str(contacts), "--refused", str(contacts))
        corrected = refused.read_text().replace("+1212,", "+12125559999,").replace("+34912345678", "+12125559998")
        refused.write_text(corrected)
        rest = await command(url, str(refused))
    first_at = "2026-03-02T15:00:00Z"
    assert dry.returncode == 1, dry.stderr
    assert dry.stdout.startswith(f"spring: 3 callable (first at {first_at}), 2 not: ")
    assert "1 country_not_allowed" in dry.stdout
    assert "line 5, phone_number: " in dry.stdout
    assert "spring: 3 contacts added, 2 not: " in added_some.stdout, added_some.stderr
    assert f"2 refused rows are in {refused}" in added_some.stdout
    assert json.loads(again.stdout)["duplicates"] == 3
    assert (existing.returncode, contacts.read_bytes()) == (2, content), "the file itself is not replaced"
    assert refused.stat().st_mode & 0o077 == 0
    assert (rest.returncode, rest.stdout) == (0, "spring: 2 contacts added\n"), rest.stderr
    assert len(await added(bus_client)) == 5


@pytest.mark.usefixtures("campaign")
async def test_the_command_line_explains_a_wrong_file(app: ASGIApp, on_a_port: OnAPort, tmp_path: Path) -> None:
    header, sheet = tmp_path / "contacts.csv", tmp_path / "contacts.xlsx"
    header.write_text("number;name\n")
    sheet.write_text("")
    async with on_a_port(app) as url:
        wrong, other, missing = [await command(url, str(name)) for name in (header, sheet, tmp_path / "none.csv")]
    assert [ended.returncode for ended in (wrong, other, missing)] == [2, 2, 2]
    assert "phone_number: no such column; separate the columns by commas" in wrong.stderr
    assert "Name it .csv, .jsonl or .ndjson" in other.stderr
    assert "no such file" in missing.stderr


@pytest.mark.usefixtures("campaign")
async def test_rows_without_the_consent_that_a_rule_requires_are_refused(
    api: httpx.AsyncClient, bus_client: Client
) -> None:
    header, known = "phone_number,name,consent_at,consent_source", "+14165550124,Bea,2026-01-02T10:00:00Z,form 3"
    body = f"{header}\n+14165550123,Ana,,\n{known}\n"
    document = (await api.post(PATH, content=body.encode(), headers=CSV)).json()
    assert (document["added"], document["refused"]) == (1, {"consent": 1})
    assert [(row["line"], row["column"]) for row in document["refused_rows"]] == [(2, "consent_at")]
    (contact,) = await added(bus_client)
    assert (contact.consent_source, contact.variables) == ("form 3", {"name": "Bea"})
