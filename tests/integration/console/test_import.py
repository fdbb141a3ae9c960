"""The import of contacts before the real edge: check, import, refused rows, and wrong files."""

import csv
import io
from typing import TYPE_CHECKING

import httpx
import pytest
from nats.aio.client import Client
from tests.integration.console.conftest import csrf_token, log_in, parsed, words
from tests.integration.console.test_pages import HOSTILE, assert_safe
from tests.integration.edge.conftest import API_KEY, secret_of
from tests.integration.edge.contact_import.conftest import added, asked, campaign, entries, file

if TYPE_CHECKING:
    from tests.integration.console.conftest import AnsweredBy, OpenConsole

__all__ = ["asked", "campaign"]

pytestmark = pytest.mark.usefixtures("listed", "counted", "campaign")
CONTACTS = "/campaigns/spring/contacts"
ROWS = b"phone_number,name\n+12125550123,Ana\n+12125550124,Ben\n+12125550123,Eve\n+34912345678,Luz\n+1212,=cmd()\n"
BOUNDARY = "----boundary"


async def token_of(browser: httpx.AsyncClient) -> str:
    return csrf_token((await browser.get(CONTACTS)).text)


async def send(
    browser: httpx.AsyncClient, content: bytes = ROWS, name: str = "contacts.csv", query: str = "act=check"
) -> httpx.Response:
    """Sends a file as the form does: first the token, then the file."""
    fields = {"csrf_token": await token_of(browser)}
    return await browser.post(f"{CONTACTS}?{query}", data=fields, files={"file": (name, content)}, timeout=60)


async def test_the_check_says_who_is_callable_and_why_others_are_not_and_adds_nothing(
    browser: httpx.AsyncClient, bus_client: Client
) -> None:
    answer = await send(browser)

    text = words(answer.text)
    assert answer.status_code == 200, text
    assert_safe(answer.text)
    assert "2 callable , 3 not: 1 country not allowed, 1 phone number, 1 duplicates" in text
    assert "2 2026-03-02 15:00:00Z US America/New_York" in text
    assert "5 phone_number numbers of the country ES are not called" in text
    [button] = [one for _, one in parsed(answer.text).tags if one.get("formaction") == f"{CONTACTS}?act=import"]
    assert button["form"] == "import-form"
    assert await added(bus_client) == []


async def test_the_import_adds_the_contacts_once_and_is_audited_and_they_are_listed(
    browser: httpx.AsyncClient, bus_client: Client
) -> None:
    first = await send(browser, query="act=import")
    again = await send(browser, query="act=import")

    assert "2 contacts added , 3 not:" in words(first.text)
    assert "0 contacts added , 5 not:" in words(again.text)
    assert [contact.variables["name"] for contact in await added(bus_client)] == ["Ana", "Ben"]
    acts = [(entry.key_name, entry.act, entry.stage) for entry in await entries(bus_client)]
    assert acts[:2] == [("good", "campaign.import_contacts", "asked"), ("good", "campaign.import_contacts", "accepted")]
    listed = await browser.get(CONTACTS)
    assert_safe(listed.text)
    assert listed.text.count("that of the number</span>") == 2
    assert "2125550124" not in listed.text


async def test_the_waiting_contacts_have_pages(browser: httpx.AsyncClient) -> None:
    await send(browser, file(150), query="act=import")

    first = await browser.get(CONTACTS)
    [link] = [one["href"] for _, one in parsed(first.text).tags if one.get("rel") == "next"]
    second = await browser.get(link or "")

    counts = [text.count("that of the number</span>") for text in (first.text, second.text)]
    assert counts == [100, 50]


async def test_the_refused_rows_are_saved_as_csv_without_a_formula(
    browser: httpx.AsyncClient, bus_client: Client
) -> None:
    answer = await send(browser, query="act=refused")

    assert answer.headers["content-disposition"] == 'attachment; filename="spring-refused.csv"'
    assert answer.headers["content-type"].startswith("text/csv")
    header, spain, wrong = csv.reader(io.StringIO(answer.text))
    assert header == ["refused_line", "refused_column", "refused_reason", "phone_number", "name"]
    assert (spain[0], spain[3:]) == ("5", ["+34912345678", "Luz"])
    assert (wrong[0], wrong[3:]) == ("6", ["+1212", "'=cmd()"])
    assert await added(bus_client) == []


async def test_json_lines_are_imported(browser: httpx.AsyncClient) -> None:
    line = b'{"phone_number": "+12125550123", "variables": {"name": "Ana"}}\n'

    assert "1 contacts added" in words((await send(browser, line, "a.JSONL", "act=import")).text)


async def test_the_page_names_the_columns_and_offers_an_example_that_is_accepted(browser: httpx.AsyncClient) -> None:
    page = words((await browser.get("/campaigns/spring")).text)
    example = await browser.get(f"{CONTACTS}/example.csv")

    assert "name required by the script" in page
    assert example.text.splitlines()[0] == "phone_number,contact_id,time_zone,language,name"
    assert "1 callable" in words((await send(browser, example.content)).text)


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        (b"phone_number,name,\n", "a.csv", "The file was refused. column 3: has no name"),
        (b"phone_number;name\n", "a.csv", "phone_number: no such column; separate the columns by commas"),
        (b"name\nAna\n", "a.csv", "The file was refused."),
        (b"", "a.csv", "the file is empty"),
        (b"PK\x03\x04", "a.xlsx", "Name it .csv, .jsonl or .ndjson: a.xlsx"),
        (b"x", "a<img src=x onerror=alert(1)>.csv.exe", "Name it .csv, .jsonl or .ndjson:"),
        (b"x", "", "Choose a file first."),
    ],
)
async def test_a_wrong_file_is_named_beside_the_form(
    browser: httpx.AsyncClient, content: bytes, name: str, expected: str
) -> None:
    token = await token_of(browser)
    parts = part("csrf_token", token) + part("file", content, name) + END
    answer = await browser.post(CONTACTS, content=parts, headers=FORM)

    assert answer.status_code == 422
    assert expected in words(answer.text)
    assert_safe(answer.text)
    assert 'id="import-form"' in answer.text


FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
END = f"--{BOUNDARY}--\r\n".encode()


def part(name: str, content: str | bytes, file_name: str | None = None) -> bytes:
    """Returns one part of a form."""
    disposition = f'form-data; name="{name}"' + (f'; filename="{file_name}"' if file_name is not None else "")
    data = content.encode() if isinstance(content, str) else content
    return f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + data + b"\r\n"


@pytest.mark.parametrize("text", HOSTILE, ids=["image", "script", "svg", "rtl", "template", "long"])
async def test_hostile_cells_are_shown_as_text(browser: httpx.AsyncClient, text: str) -> None:
    rows = io.StringIO()
    csv.writer(rows).writerows([["phone_number", "contact_id", "name"], ["+12125550123", text, text], [text, "", text]])

    for query in ("act=check", "act=import"):
        answer = await send(browser, rows.getvalue().encode(), query=query)
        assert answer.status_code == 200
        assert_safe(answer.text)
        assert len(answer.text) < 60_000
    assert_safe((await browser.get(CONTACTS)).text)


async def test_a_key_that_may_only_read_is_refused_beside_the_form(open_console: "OpenConsole") -> None:
    reader = await log_in(open_console(), secret_of("reader"))

    answer = await send(reader)

    assert answer.status_code == 422
    assert "this key lacks the scope call" in words(answer.text)


async def test_a_campaign_that_was_never_created_has_no_form_and_says_why(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/campaigns/autumn")

    assert "create it first" in words(page.text)
    assert 'id="import-form"' not in page.text


async def test_the_result_of_an_import_is_shown_if_the_contacts_cannot_be_read_after_it(
    answered_by: "AnsweredBy",
) -> None:
    is_imported = False

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal is_imported
        if request.method == "POST":
            is_imported = True
            counts = {"dry_run": False, "added": 7, "duplicates": 0, "refused": {}, "refused_rows": [], "groups": []}
            return httpx.Response(200, json=counts)
        if request.url.path.endswith("/contacts"):
            return httpx.Response(
                503 if is_imported else 200, json={"contacts": [], "next": None, "detail": "no leader"}
            )
        terms = {"name": None, "script_template": "Hello."}
        return httpx.Response(
            200,
            json={"campaign_id": "spring", "status": "draft", "terms": terms, "finished_at": None, "campaigns": []},
        )

    browser = await log_in(answered_by(answer), API_KEY)
    text = words((await send(browser, query="act=import")).text)

    assert "7 contacts added" in text
    assert "could not be read: no leader" in text


async def test_an_import_above_a_cap_names_the_line_to_continue_from(answered_by: "AnsweredBy") -> None:
    problem = {"detail": "3 contacts were added.", "errors": [{"field": "from_line", "message": "5"}], "status": 429}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(429, json=problem)
        if request.url.path.endswith("/contacts"):
            return httpx.Response(200, json={"contacts": [], "next": None})
        terms = {"name": None, "script_template": "Hello."}
        return httpx.Response(
            200,
            json={"campaign_id": "spring", "status": "draft", "terms": terms, "finished_at": None, "campaigns": []},
        )

    browser = await log_in(answered_by(answer), API_KEY)
    text = (await send(browser, query="act=import")).text

    assert "3 contacts were added." in words(text)
    assert f'formaction="{CONTACTS}?act=import&amp;from_line=5"' in text
