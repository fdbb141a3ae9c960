"""The do-not-call lists over REST, with the real orchestrator."""

import asyncio
import csv
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest
from nats.aio.client import Client
from starlette.types import ASGIApp
from tests.integration.call_orchestrator.conftest import running, until
from tests.integration.edge.conftest import LIMITED, secret_of

import edge.adapters.numbers
from centralita.commands.do_not_call import PART_CHARACTERS, PART_RECORDS, _parts
from centralita.operations.rest_api import IMPORT_SECONDS, TIMEOUT_SECONDS, RestApi
from centralita.operations.rest_failures import RequestFailed
from chassis.event_log import EventLog
from contracts import ConversationEnded, Disposition
from contracts.streams import REQUESTS
from edge.settings import Settings

if TYPE_CHECKING:
    from tests.integration.edge.conftest import As

OnAPort = Callable[[ASGIApp], AbstractAsyncContextManager[str]]
LIST = "/api/v1/do-not-call"
NUMBER, OTHER = "+12125550123", "+12125550124"


@pytest.fixture
async def _orchestrators(nats_url: str, bus_client: Client, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setenv("ALLOWED_COUNTRIES", "US")
    async with running(nats_url, 2):
        yield


pytestmark = pytest.mark.usefixtures("_orchestrators")


def scopes(number: dict[str, Any]) -> list[str | None]:
    return sorted((entry["campaign_id"] for entry in number["entries"]), key=str)


async def check(client: httpx.AsyncClient, number: str = NUMBER, **query: str) -> dict[str, Any]:
    answer = await client.post(f"{LIST}/check", json={"phone_number": number}, params=query)
    found: dict[str, Any] = answer.json()
    return found


async def test_a_number_is_added_checked_listed_and_removed(as_: "As", api: httpx.AsyncClient) -> None:
    assert (await check(as_("reader")))["entries"] == []
    added = await as_("caller").post(LIST, json={"phone_number": NUMBER})
    again = await as_("caller").post(LIST, json={"phone_number": NUMBER, "campaign_id": "spring"})
    assert (added.status_code, again.status_code) == (201, 201)
    assert scopes(again.json()) == [None, "spring"]
    assert scopes(await check(as_("reader"), campaign_id="autumn")) == [None]
    listed = (await as_("reader").get(LIST)).json()
    assert [one["phone_number"] for one in listed["numbers"]] == [NUMBER]
    assert listed["next"] is None
    refused = await api.post("/api/v1/calls", json=request(), headers={"Idempotency-Key": "k-1"})
    assert refused.status_code == 409
    assert "do-not-call list" in refused.json()["detail"]
    path = f"{LIST}/{added.json()['id']}"
    assert scopes((await as_("caller").delete(path)).json()) == ["spring"]
    removed = await as_("caller").delete(path, params={"campaign_id": "spring"})
    assert (removed.status_code, removed.json()["entries"]) == (200, [])
    assert (await as_("reader").get(LIST)).json()["numbers"] == []
    assert (await api.post("/api/v1/calls", json=request(), headers={"Idempotency-Key": "k-2"})).status_code == 201


def request() -> dict[str, object]:
    return {
        "campaign_id": "autumn",
        "contact_id": "c-1",
        "phone_number": NUMBER,
        "script_template": "Hello.",
        "language": "en",
    }


async def test_a_named_list_applies_to_the_campaigns_that_name_it(as_: "As", api: httpx.AsyncClient) -> None:
    terms = {"campaign_id": "autumn", "script_template": "Hello.", "language": "en"}
    created = await api.post("/api/v1/campaigns", json={**terms, "do_not_call_lists": ["customers", "vip"]})
    assert (created.status_code, created.json()["terms"]["do_not_call_lists"]) == (201, ["customers", "vip"])
    added = await as_("caller").post(LIST, json={"phone_number": NUMBER, "list_name": "vip"})
    assert [(one["campaign_id"], one["list_name"]) for one in added.json()["entries"]] == [(None, "vip")]
    assert (await check(as_("reader"), list_name="customers"))["entries"] == []
    assert (await check(as_("reader"), campaign_id="winter"))["entries"] == []
    for query in ({"campaign_id": "autumn"}, {"list_name": "vip"}, {}):
        assert len((await check(as_("reader"), **query))["entries"]) == 1
        assert len((await as_("reader").get(LIST, params=query)).json()["numbers"]) == 1
    refused = await api.post("/api/v1/calls", json=request(), headers={"Idempotency-Key": "k-1"})
    assert "the do-not-call list vip since" in refused.json()["detail"]
    elsewhere = {**request(), "campaign_id": "winter"}
    assert (await api.post("/api/v1/calls", json=elsewhere, headers={"Idempotency-Key": "k-2"})).status_code == 201
    rows = f"phone_number,list_name,campaign_id\n{OTHER},customers,\n{OTHER},customers,autumn\n{OTHER},a list,\n"
    imported = (await as_("caller").post(f"{LIST}/import", content=rows.encode())).json()
    assert (imported["added"], [row["line"] for row in imported["refused_rows"]]) == (1, [3, 4])
    assert imported["refused_rows"][0]["reason"] == "list_name: give campaign_id or list_name, not both"
    both = await as_("caller").post(LIST, json={"phone_number": NUMBER, "list_name": "vip", "campaign_id": "autumn"})
    assert (both.status_code, both.json()["errors"][0]["field"]) == (422, "list_name")
    path = f"{LIST}/{added.json()['id']}"
    assert len((await as_("caller").delete(path)).json()["entries"]) == 1, "the list of all campaigns"
    assert (await as_("caller").delete(path, params={"list_name": "vip"})).json()["entries"] == []
    assert (await api.post("/api/v1/calls", json=request(), headers={"Idempotency-Key": "k-3"})).status_code == 201


async def test_a_csv_file_is_imported_and_wrong_rows_are_named(as_: "As", bus_client: Client) -> None:
    text = f"\ufeffphone_number,campaign_id\r\n{NUMBER},\r\n{OTHER},spring\r\n12,\r\n+12125550125,no campaign\r\n"
    answer = await as_("caller").post(f"{LIST}/import", content=text.encode())
    assert answer.status_code == 200
    result = answer.json()
    assert (result["added"], result["refused"], result["undecided"]) == (2, 2, 0)
    assert [row["line"] for row in result["refused_rows"]] == [4, 5]
    assert result["refused_rows"][0]["reason"].startswith("phone_number: not a phone number in E.164")
    assert result["refused_rows"][1]["reason"].startswith("campaign_id: ")
    assert scopes(await check(as_("reader"), OTHER)) == ["spring"]
    assert (await check(as_("reader")))["entries"][0]["source"] == "import"
    requests = (await bus_client.jetstream().stream_info(REQUESTS.name)).state.last_seq
    repeated = (await as_("caller").post(f"{LIST}/import", content=text.encode())).json()
    assert repeated == {**result, "added": 0, "already_listed": 2}
    assert (await bus_client.jetstream().stream_info(REQUESTS.name)).state.last_seq == requests
    assert len((await as_("reader").get(LIST)).json()["numbers"]) == 2


@pytest.mark.parametrize(("body", "message"), [(b"number\n1\n", "no column phone_number"), (b"\xff\xfe", "UTF-8")])
async def test_a_file_without_the_column_or_in_another_encoding_is_refused(
    as_: "As", body: bytes, message: str
) -> None:
    answer = await as_("caller").post(f"{LIST}/import", content=body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["field"], message in error["message"]) == ("body", True)


async def test_an_import_with_a_wrong_header_is_audited_with_its_refusal(as_: "As") -> None:
    await as_("caller").post(f"{LIST}/import", content=b"number\n1\n")
    entries = (await as_("auditor").get("/api/v1/audit")).json()["entries"]
    assert [(one["act"], one["stage"]) for one in entries] == [("number.import", "asked"), ("number.import", "refused")]
    assert entries[1]["reasons"] == ["body: the first line names no column phone_number"]


class TestCap:
    @pytest.fixture
    def settings(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
        monkeypatch.setattr(edge.adapters.numbers, "SETTLE_SECONDS", 60)
        return settings.model_copy(update={"max_contacts_per_key_per_day": 3})

    async def test_a_flood_of_rows_is_refused_with_its_reason_and_listed_rows_do_not_count(self, as_: "As") -> None:
        rows = [f"+1212555012{digit}" for digit in range(5)]
        few = await import_rows(as_("caller"), rows[:2])
        assert few.json()["added"] == 2
        for added in (1, 0):
            flood = await import_rows(as_("caller"), rows)
            assert (flood.status_code, flood.json()["errors"]) == (429, [{"field": "line", "message": "5"}])
            assert f"{added} numbers were listed, and those from line 5 on may still be called" in flood.text
            assert int(flood.headers["Retry-After"]) > 0
        entries = (await as_("auditor").get("/api/v1/audit")).json()["entries"]
        assert [one["stage"] for one in entries] == ["asked", "accepted", "asked", "refused", "asked", "refused"]
        assert len((await as_("reader").get(LIST)).json()["numbers"]) == 3
        single = await as_("caller").post(LIST, json={"phone_number": rows[4]})
        assert single.status_code == 201, "a wish of a person is always listed"
        assert (await import_rows(as_("desk"), rows)).json()["added"] == 1, "each key has its own cap"


async def import_rows(client: httpx.AsyncClient, rows: list[str]) -> httpx.Response:
    return await client.post(f"{LIST}/import", content="\n".join(["phone_number", *rows]).encode())


async def test_pages_contain_each_listed_number(as_: "As") -> None:
    rows = "\n".join(["phone_number", *(f"+121255501{index:02}" for index in range(30))])
    assert (await as_("caller").post(f"{LIST}/import", content=rows.encode())).json()["added"] == 30
    found, path = [], f"{LIST}?limit=7"
    while path:
        page = (await as_("reader").get(path)).json()
        found += [one["phone_number"] for one in page["numbers"]]
        path = page["next"]
    assert sorted(found) == [f"+121255501{index:02}" for index in range(30)]


async def test_a_limited_key_changes_only_the_lists_of_its_campaigns(as_: "As") -> None:
    everywhere = await as_(LIMITED).post(LIST, json={"phone_number": NUMBER})
    elsewhere = await as_(LIMITED).post(LIST, json={"phone_number": NUMBER, "campaign_id": "winter"})
    named = await as_(LIMITED).post(LIST, json={"phone_number": NUMBER, "list_name": "vip"})
    own = await as_(LIMITED).post(LIST, json={"phone_number": NUMBER, "campaign_id": "spring"})
    assert [one.status_code for one in (everywhere, elsewhere, named, own)] == [403, 403, 403, 201]
    path = f"{LIST}/{own.json()['id']}"
    assert (await as_(LIMITED).delete(path)).status_code == 403
    assert (await as_(LIMITED).delete(path, params={"campaign_id": "spring"})).status_code == 200
    rows = f"phone_number,campaign_id\n{NUMBER},\n{NUMBER},spring\n"
    imported = (await as_(LIMITED).post(f"{LIST}/import", content=rows.encode())).json()
    assert (imported["added"], imported["refused"]) == (1, 1)


async def test_a_limited_key_reads_neither_numbers_nor_entries_of_other_campaigns(as_: "As") -> None:
    for scope in ({"campaign_id": "winter"}, {"list_name": "vip"}):
        added = await as_("caller").post(LIST, json={"phone_number": NUMBER, **scope})
    path, own = f"{LIST}/{added.json()['id']}", {"campaign_id": "spring"}
    nothing = {"id": added.json()["id"], "phone_number": None, "entries": []}
    assert (await as_(LIMITED).delete(path, params=own)).json() == nothing
    assert await check(as_(LIMITED), **own) == nothing
    assert (await as_(LIMITED).get(LIST, params=own)).json()["numbers"] == []
    listed = (await as_(LIMITED).post(LIST, json={"phone_number": NUMBER, **own})).json()
    assert (listed["phone_number"], scopes(listed)) == (NUMBER, ["spring"])
    assert [one["phone_number"] for one in (await as_(LIMITED).get(LIST, params=own)).json()["numbers"]] == [NUMBER]
    assert (await as_(LIMITED).delete(path, params=own)).json() == nothing
    assert len((await check(as_("reader")))["entries"]) == 2


async def test_a_limited_key_reads_no_number_and_no_call_of_an_opt_out(as_: "As", calls: EventLog) -> None:
    created = await as_("desk").post("/api/v1/calls", json={**request(), "campaign_id": "winter"})
    call_id = UUID(created.json()["id"])
    ended = ConversationEnded(call_id=call_id, attempt=1, turn=1, disposition=Disposition.OPT_OUT, summary="")
    await calls.append(ended)

    async def is_listed() -> object:
        return (await check(as_("reader")))["entries"]

    await until(is_listed)
    own = {"campaign_id": "spring"}
    (found,) = (await as_(LIMITED).get(LIST, params=own)).json()["numbers"]
    assert (found["phone_number"], scopes(found), found["entries"][0]["call_id"]) == (None, [None], None)
    removed = (await as_(LIMITED).delete(f"{LIST}/{found['id']}", params=own)).json()
    assert removed == found
    checked = await check(as_(LIMITED), **own)
    assert checked == {**found, "phone_number": NUMBER}, "the key has given the number"
    (seen,) = (await as_("reader").get(LIST)).json()["numbers"]
    assert (seen["phone_number"], seen["entries"][0]["call_id"]) == (NUMBER, str(call_id))


async def test_acts_are_audited_with_the_digest_and_without_the_number(as_: "As") -> None:
    added = await as_("caller").post(LIST, json={"phone_number": NUMBER})
    await as_("caller").delete(f"{LIST}/{added.json()['id']}")
    await as_("caller").post(f"{LIST}/import", content=f"phone_number\n{OTHER}\n".encode())
    answer = await as_("auditor").get("/api/v1/audit")
    entries = answer.json()["entries"]
    assert [(one["act"], one["stage"]) for one in entries] == [
        (act, stage) for act in ("number.block", "number.unblock", "number.import") for stage in ("asked", "accepted")
    ]
    assert {one["target"] for one in entries[:4]} == {added.json()["id"]}
    assert "5550" not in answer.text


async def test_reading_and_changing_need_their_scopes(as_: "As") -> None:
    assert (await as_("reader").post(LIST, json={"phone_number": NUMBER})).status_code == 403
    assert (await as_("caller").get(LIST)).status_code == 403
    wrong = await as_("caller").post(LIST, json={"phone_number": "12"})
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["field"] == "phone_number"


async def test_the_command_line_adds_checks_removes_imports_and_exports(
    app: ASGIApp, on_a_port: OnAPort, tmp_path: Path
) -> None:
    source, target = tmp_path / "list.csv", tmp_path / "export.csv"
    source.write_text(f"phone_number,campaign_id\n{OTHER},spring\n12,\n")
    async with on_a_port(app) as url:
        added = await command(url, "add", NUMBER)
        checked = await command(url, "check", NUMBER)
        imported = await command(url, "import", str(source))
        exported = await command(url, "export", str(target))
        removed = await command(url, "remove", NUMBER)
        on_list = await command(url, "add", NUMBER, "--list", "vip")
        off_list = await command(url, "remove", NUMBER, "--list", "vip")
        free = await command(url, "check", NUMBER)
        existing = await command(url, "export", str(target))
    assert (added.returncode, checked.returncode, removed.returncode, free.returncode) == (0, 1, 0, 0), added.stderr
    assert checked.stdout.startswith("not called in any campaign since 20")
    assert on_list.stdout.startswith("on the list vip since 20"), on_list.stderr
    assert (off_list.stdout, free.stdout) == ("not listed\n", "not listed\n")
    assert (imported.returncode, exported.returncode, existing.returncode) == (1, 0, 2), imported.stderr
    assert imported.stdout.startswith("1 listed, 1 refused, 0 undecided\nline 3: phone_number: ")
    rows = [row.split(",") for row in target.read_text().splitlines()]
    assert rows[0] == ["phone_number", "campaign_id", "list_name", "listed_at", "source"]
    assert [(row[0], row[1], row[4]) for row in rows[1:]] == [(NUMBER, "", "request"), (OTHER, "spring", "import")]
    assert target.stat().st_mode & 0o077 == 0


async def test_an_export_leaves_out_and_counts_entries_of_erased_persons(
    app: ASGIApp, as_: "As", on_a_port: OnAPort, tmp_path: Path
) -> None:
    source, target = tmp_path / "list.csv", tmp_path / "export.csv"
    source.write_text(f"phone_number\n{NUMBER}\n{OTHER}\n")
    async with on_a_port(app) as url:
        await command(url, "import", str(source))
        await as_("auditor").post("/api/v1/persons/erase", json={"phone_number": NUMBER})
        exported = await command(url, "export", str(target))
    assert [row.split(",")[0] for row in target.read_text().splitlines()] == ["phone_number", OTHER]
    assert "1 entries are not: erased persons, or numbers that the key may not read." in exported.stderr


def test_a_large_file_is_sent_in_parts_with_the_columns_above_each(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("\ufeffphone_number\n" + "".join(f"+1{index}\n" for index in range(2 * PART_RECORDS + 1)))
    parts = list(_parts(file))
    assert [part.skipped_lines for part in parts] == [0, PART_RECORDS, 2 * PART_RECORDS]
    assert [part.end_line for part in parts] == [PART_RECORDS + 1, 2 * PART_RECORDS + 1, 2 * PART_RECORDS + 2]
    assert {part.text.splitlines()[0] for part in parts} == {"phone_number"}
    assert sum(len(part.text.splitlines()) - 1 for part in parts) == 2 * PART_RECORDS + 1


def test_a_part_ends_where_a_record_ends_and_is_not_too_large(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    cell = '"' + "line\r\n" * 90 + '"'
    content = f'phone_number,"of\nwhom"\n{f"+1,{cell}" + chr(10)}' + f"+1,{cell}\n" * PART_RECORDS
    file.write_bytes(content.encode())
    parts = list(_parts(file))
    header = 'phone_number,"of\nwhom"\n'
    assert header + "".join(part.text.removeprefix(header) for part in parts) == content
    for part in parts:
        assert len(part.text) <= len(header) + PART_CHARACTERS + len(cell) + len("+1,\n")
        assert all(len(row) == 2 for row in csv.reader(StringIO(part.text, newline="")))
    assert [part.skipped_lines for part in parts[1:]] == [part.end_line - 2 for part in parts[:-1]]


async def test_the_command_line_names_the_line_of_a_wrong_row_after_cells_with_line_breaks(
    app: ASGIApp, on_a_port: OnAPort, tmp_path: Path
) -> None:
    source = tmp_path / "list.csv"
    note = "first\nsecond\u2028third\n" * 6_000
    row = f'{NUMBER},"{note}"\n'
    source.write_text(f'phone_number,note\n12,"a\nb"\n{row * 3}\n{OTHER},"c\nd"\n13,\n', encoding="utf-8")
    assert len(list(_parts(source))) == 2
    async with on_a_port(app) as url:
        imported = await command(url, "import", str(source))
    counts, *refused = imported.stdout.splitlines()
    assert counts == "4 listed, 2 refused, 0 undecided", imported.stderr
    last_line = source.read_text(encoding="utf-8").count("\n")
    named = [line.partition(":")[0] for line in refused if line.startswith("line ")]
    assert named == ["line 2", f"line {last_line}"]


async def test_the_answer_to_an_import_is_awaited_longer_than_other_answers() -> None:
    read_seconds: list[float] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        read_seconds.append(request.extensions["timeout"]["read"])
        raise httpx.ReadTimeout("", request=request)

    async with RestApi("http://edge", "key", httpx.MockTransport(answer)) as api:
        with pytest.raises(RequestFailed, match=f"did not answer within {IMPORT_SECONDS:.0f} s"):
            await api.import_numbers("phone_number\n")
        with pytest.raises(RequestFailed, match=f"did not answer within {TIMEOUT_SECONDS:.0f} s"):
            await api.check_number(NUMBER)
    assert read_seconds == [IMPORT_SECONDS, TIMEOUT_SECONDS]


async def test_the_command_line_removes_an_entry_with_a_key_that_is_limited_to_its_campaign(
    app: ASGIApp, as_: "As", on_a_port: OnAPort
) -> None:
    await as_("caller").post(LIST, json={"phone_number": NUMBER, "campaign_id": "spring"})
    async with on_a_port(app) as url:
        removed = await command(url, "remove", NUMBER, "--campaign", "spring", key=LIMITED)
    assert (removed.returncode, removed.stdout) == (0, "not listed\n"), removed.stderr
    assert (await check(as_("reader")))["entries"] == []


async def command(url: str, *arguments: str, key: str = "desk") -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "centralita", "do-not-call", *arguments, "--api-url", url]
    environment = {**os.environ, "API_KEY": secret_of(key)}
    return await asyncio.to_thread(subprocess.run, line, capture_output=True, text=True, env=environment, timeout=200)
