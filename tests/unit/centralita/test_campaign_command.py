"""`centralita campaign`: the request that it sends, and its output and exit code for each answer."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from centralita.__main__ import app
from centralita.commands.exit_codes import ExitCode
from centralita.embedded.run_files import SETTINGS_FILE, env_lines

KEY = "key-that-must-not-be-printed"
STATE = {"campaign_id": "spring", "status": "undeclared", "paused": False, "reason": None}
Answers = list[httpx.Response | Exception]


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[httpx.Request]:
    """The requests that were sent, from an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("API_KEY", "API_URL"):
        monkeypatch.delenv(name, raising=False)
    return []


@pytest.fixture
def answer(requests: list[httpx.Request], monkeypatch: pytest.MonkeyPatch) -> Callable[[httpx.Response], None]:
    """Makes the API answer every request with this response."""

    def answer_with(response: httpx.Response) -> None:
        def handle(request: httpx.Request) -> httpx.Response:
            requests.append(request)
            return response

        client = httpx.AsyncClient

        def fake(**arguments: object) -> httpx.AsyncClient:
            return client(**{**arguments, "transport": httpx.MockTransport(handle)})  # type: ignore[arg-type]

        monkeypatch.setattr(httpx, "AsyncClient", fake)

    return answer_with


def run(*arguments: str, key: str | None = KEY) -> tuple[int, str, str]:
    options = ["--api-key", key] if key else []
    result = CliRunner().invoke(app, ["campaign", *arguments, *options])
    assert KEY not in result.output + result.stderr
    return result.exit_code, result.stdout, result.stderr


def problem(status: int, detail: str, **more: object) -> httpx.Response:
    headers = {"Retry-After": "7"} if status in (429, 503) else {}
    return httpx.Response(status, json={"title": "?", "status": status, "detail": detail, **more}, headers=headers)


Answer = Callable[[httpx.Response], None]


def test_a_pause_sends_the_key_and_the_reason_and_prints_the_new_state(
    answer: Answer, requests: list[httpx.Request]
) -> None:
    answer(httpx.Response(202, json={**STATE, "status": "paused", "paused": True, "reason": "wrong price"}))
    assert run("pause", "spring/1", "--reason", "wrong price") == (0, "spring is paused (wrong price)\n", "")
    (sent,) = requests
    assert (sent.method, str(sent.url)) == ("POST", "http://127.0.0.1:8000/api/v1/campaigns/spring%2F1/pause")
    assert sent.headers["X-API-Key"] == KEY
    assert json.loads(sent.content) == {"reason": "wrong price"}


def test_a_campaign_is_shown_for_people_and_as_json(answer: Answer) -> None:
    document = {**STATE, "calls": {"campaign_id": "spring", "total_calls": 7, "avg_duration": 31.5}}
    answer(httpx.Response(200, json=document))
    code, shown, _ = run("show", "spring")
    assert code == 0
    assert "spring is not paused" in shown
    assert "total calls   7" in shown
    code, printed, _ = run("show", "spring", "--json")
    assert (code, json.loads(printed)) == (0, document)


CAMPAIGN = {
    "campaign_id": "spring",
    "name": "Spring",
    "max_concurrent_calls": 5,
    "ends_at": "2026-03-02T16:00:00+01:00",
}
TERMS = {"name": "Spring", "mode": "turn_based", "starts_at": None, "ends_at": "2026-03-02T15:00:00Z"}
DRAFT = {**STATE, "status": "draft", "terms": {**TERMS, "max_concurrent_calls": 5}, "started_at": None}


def test_a_campaign_is_created_and_changed_from_a_file(
    answer: Answer, requests: list[httpx.Request], tmp_path: Path
) -> None:
    file = tmp_path / "campaign.json"
    file.write_text(json.dumps(CAMPAIGN))
    answer(httpx.Response(201, json=DRAFT))
    assert run("create", "--file", str(file)) == (0, "spring is draft\n", "")
    assert run("change", "--file", str(file)) == (0, "spring is draft\n", "")
    assert [(sent.method, sent.url.path) for sent in requests] == [
        ("POST", "/api/v1/campaigns"),
        ("PUT", "/api/v1/campaigns/spring"),
    ]
    terms = {name: value for name, value in CAMPAIGN.items() if name != "campaign_id"}
    assert [json.loads(sent.content) for sent in requests] == [CAMPAIGN, terms]


@pytest.mark.parametrize("act", ["create", "change", "start", "finish"])
def test_an_undecided_act_is_an_error(answer: Answer, tmp_path: Path, act: str) -> None:
    file = tmp_path / "campaign.json"
    file.write_text(json.dumps({**CAMPAIGN, "max_concurrent_calls": 2}))
    before = STATE if act == "create" else DRAFT
    answer(httpx.Response(202, json=before))
    arguments = ("--file", str(file)) if act in ("create", "change") else ("spring",)
    code, _, error = run(act, *arguments)
    assert code == ExitCode.UNREACHABLE
    assert "not decided yet. Look again with `centralita campaign show spring`" in error


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file or directory."),
        (b"\xff", "is not UTF-8. Save it as UTF-8."),
        (b'{"campaign_id":\n spring}', "is not JSON: Expecting value, line 2, column 2."),
        (b"[]", "names no campaign. Write"),
        (b'{"name": "Spring"}', "names no campaign. Write"),
    ],
)
def test_a_file_without_a_campaign_is_wrong_use_and_nothing_is_sent(
    answer: Answer, requests: list[httpx.Request], tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "campaign.json"
    if content is not None:
        file.write_bytes(content)
    answer(httpx.Response(201, json=DRAFT))
    for act in ("create", "change"):
        code, _, error = run(act, "--file", str(file))
        assert (code, reason in error) == (ExitCode.WRONG_USE, True), error
    assert requests == []


def pages(monkeypatch: pytest.MonkeyPatch, requests: list[httpx.Request], *responses: httpx.Response) -> None:
    """Makes the API answer the requests with these responses, in order."""
    left, client = list(responses), httpx.AsyncClient

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return left.pop(0)

    def fake(**arguments: object) -> httpx.AsyncClient:
        return client(**{**arguments, "transport": httpx.MockTransport(handle)})  # type: ignore[arg-type]

    monkeypatch.setattr(httpx, "AsyncClient", fake)


def retried(requested: int, refused: int = 0, undecided: int = 0, following: str | None = None) -> httpx.Response:
    counts = {"requested": requested, "refused": refused, "undecided": undecided, "next": following}
    return httpx.Response(202, json={"campaign_id": "spring", **counts})


def test_the_terms_of_a_campaign_are_shown_in_words(answer: Answer) -> None:
    terms = {
        "weekly_hours": [
            {"days": ["mon", "tue"], "opens_at": "09:00"},
            {"days": ["sat"]},
        ],
        "variables": {},
        "do_not_call_lists": [],
        "retry_policy": {
            "busy": {"max_retries": 2, "backoff": 1},
            "failed": {"max_retries": 1},
            "voicemail": None,
        },
        "company": "Acme [bold]",
    }
    answer(httpx.Response(200, json={**STATE, "terms": terms}))
    _, shown, _ = run("show", "spring")
    rows = dict(line.split("  ", 1) for line in shown.splitlines()[1:])
    assert {name: " ".join(value.split()) for name, value in rows.items()} == {
        "weekly hours": "days: mon, tue, opens_at: 09:00; days: sat",
        "variables": "none",
        "do not call lists": "none",
        "retry policy": "busy: max_retries: 2, backoff: 1; failed: max_retries: 1",
        "company": "Acme [bold]",
    }


def test_a_campaign_is_started_shown_with_its_terms_and_finished(
    monkeypatch: pytest.MonkeyPatch, requests: list[httpx.Request]
) -> None:
    running = {**DRAFT, "status": "running", "started_at": "2026-03-02T15:00:00Z"}
    finished = {**running, "status": "finished", "finished_at": "2026-03-02T16:00:00Z"}
    pages(monkeypatch, requests, *(httpx.Response(202, json=one) for one in (running, running, finished)))
    assert run("start", "spring") == (0, "spring is running\n", "")
    code, shown, _ = run("show", "spring")
    assert code == 0
    assert "max concurrent calls  5" in shown
    assert "starts at" not in shown
    assert run("finish", "spring") == (0, "spring is finished\n", "")
    paths = [sent.url.path.removeprefix("/api/v1/campaigns/spring") for sent in requests]
    assert paths == ["/start", "", "/finish"]


def test_a_bulk_retry_follows_the_cursor_and_prints_progress_and_totals(
    monkeypatch: pytest.MonkeyPatch, requests: list[httpx.Request]
) -> None:
    pages(monkeypatch, requests, retried(2, following="c-1"), retried(1, 1, following="c-2"), retried(1))
    code, out, err = run("retry", "spring", "--status", "expired", "--status", "failed", "--page", "2")
    assert (code, out) == (ExitCode.NEGATIVE, "spring: 4 calls are dialled again, 1 refused\n")
    assert err.splitlines() == [
        "2 calls are dialled again, 0 refused so far",
        "3 calls are dialled again, 1 refused so far",
    ]
    bodies = [json.loads(sent.content) for sent in requests]
    assert [body["cursor"] for body in bodies] == [None, "c-1", "c-2"]
    assert all((body["statuses"], body["limit"]) == (["expired", "failed"], 2) for body in bodies)
    assert {str(sent.url) for sent in requests} == {"http://127.0.0.1:8000/api/v1/campaigns/spring/retry"}


def test_a_bulk_retry_without_refusals_is_a_success(
    monkeypatch: pytest.MonkeyPatch, requests: list[httpx.Request]
) -> None:
    pages(monkeypatch, requests, retried(3))
    code, out, _ = run("retry", "spring", "--status", "expired", "--json")
    assert (code, json.loads(out)["requested"]) == (ExitCode.SUCCESS, 3)


def test_undecided_retries_are_an_error(monkeypatch: pytest.MonkeyPatch, requests: list[httpx.Request]) -> None:
    pages(monkeypatch, requests, retried(3, 1, 2))
    code, out, err = run("retry", "spring", "--status", "expired")
    assert code == ExitCode.UNREACHABLE
    assert "2 undecided" in out
    assert "not decided yet" in err


def test_an_interrupted_bulk_retry_names_the_cursor_at_which_it_continues(
    monkeypatch: pytest.MonkeyPatch, requests: list[httpx.Request]
) -> None:
    pages(monkeypatch, requests, retried(2, following="c-1"), problem(503, "no NATS"))
    code, _, err = run("retry", "spring", "--status", "expired")
    assert code == ExitCode.UNREACHABLE
    assert "Continue with --cursor c-1." in err


@pytest.mark.usefixtures("requests")
@pytest.mark.parametrize("arguments", [(), ("--status", "asleep"), ("--status", "expired", "--page", "501")])
def test_a_bulk_retry_needs_known_statuses_and_a_bounded_page(arguments: tuple[str, ...]) -> None:
    assert run("retry", "spring", *arguments)[0] == ExitCode.WRONG_USE


def test_an_undecided_resume_is_an_error(answer: Answer) -> None:
    answer(httpx.Response(202, json={**STATE, "status": "paused", "paused": True}))
    code, _, error = run("resume", "spring")
    assert code == ExitCode.UNREACHABLE
    assert "not decided yet. Look again with `centralita campaign show spring`" in error


@pytest.mark.parametrize(
    ("response", "code", "sentence"),
    [
        (problem(401, "send a key"), ExitCode.WRONG_USE, "refuses the API key. Give a valid one with --api-key"),
        (
            problem(403, "it lacks call"),
            ExitCode.WRONG_USE,
            "The API key does not permit this: it lacks call",
        ),
        (problem(404, "no such campaign"), ExitCode.NEGATIVE, "Not found: no such campaign."),
        (problem(409, "it ended"), ExitCode.NEGATIVE, "Refused: it ended."),
        (
            problem(422, "see errors", errors=[{"field": "reason", "message": "too long"}]),
            ExitCode.WRONG_USE,
            "The request is not valid: reason: too long.",
        ),
        (problem(429, "5 a second"), ExitCode.UNREACHABLE, "5 a second. Try again in 7 s."),
        (problem(503, "no NATS"), ExitCode.UNREACHABLE, "not available: no NATS. Try again in 7 s."),
        (problem(500, "a defect"), ExitCode.NEGATIVE, "failed with HTTP 500: a defect."),
        (httpx.Response(200, text="<html>"), ExitCode.NEGATIVE, "does not answer like the REST API (HTTP 200)"),
        (
            httpx.Response(308, headers={"Location": "https://calls.example.com/"}),
            ExitCode.NEGATIVE,
            "redirects to https://calls.example.com/. Give that address as --api-url.",
        ),
    ],
)
def test_every_answer_is_one_sentence_and_has_its_exit_code(
    answer: Answer, response: httpx.Response, code: ExitCode, sentence: str
) -> None:
    answer(response)
    ended, _, error = run("pause", "spring")
    assert ended == code
    assert sentence in error
    assert error.count("\n") == 1


@pytest.mark.usefixtures("requests")
def test_an_address_at_which_nothing_listens_is_named() -> None:
    code, _, error = run("show", "spring", "--api-url", "http://user:secret@127.0.0.1:1")
    assert code == ExitCode.UNREACHABLE
    assert error == (
        "The REST API does not answer at http://127.0.0.1:1. Start it with `centralita up`, or give --api-url.\n"
    )


@pytest.mark.usefixtures("requests")
@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://127.0.0.1", "http://", "http://[::1"])
def test_an_invalid_address_is_wrong_use(url: str) -> None:
    code, _, error = run("show", "spring", "--api-url", url)
    assert code == ExitCode.WRONG_USE
    assert "must begin with http:// or https://" in error


@pytest.mark.usefixtures("requests")
@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY} x", f"{KEY}ñ"])
def test_an_invalid_key_is_wrong_use_and_not_printed(key: str) -> None:
    code, _, error = run("show", "spring", key=key)
    assert code == ExitCode.WRONG_USE
    assert "a space or a character that is not printable ASCII" in error


@pytest.mark.usefixtures("requests")
def test_without_a_key_the_error_names_the_variable_and_the_option() -> None:
    code, _, error = run("show", "spring", key=None)
    assert code == ExitCode.WRONG_USE
    assert error.startswith("The API key is missing. Set API_KEY or give --api-key")


def test_the_key_of_a_run_is_used_in_its_folder_and_only_for_its_address(
    answer: Answer, requests: list[httpx.Request]
) -> None:
    SETTINGS_FILE.parent.mkdir()
    SETTINGS_FILE.write_text(env_lines({"API_URL": "http://127.0.0.1:8123", "API_KEYS": f"desk:read:{'0' * 64},{KEY}"}))
    answer(httpx.Response(200, json=STATE))
    assert run("show", "spring", key=None)[0] == ExitCode.SUCCESS
    assert (requests[0].url.port, requests[0].headers["X-API-Key"]) == (8123, KEY)
    code, _, error = run("show", "spring", "--api-url", "http://127.0.0.1:9", key=None)
    assert (code, error.partition(".")[0]) == (ExitCode.WRONG_USE, "The API key is missing")
