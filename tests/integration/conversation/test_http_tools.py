"""Tools over HTTP with a real receiver: what it gets, what the model gets, and what a tool must not do or reach."""

import json
import socket
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from tests.builders.tool_calls import an_http_tool, an_invocation
from tests.fakes.providers import provider
from tests.fakes.tool_receiver import ToolReceiver

from contracts import ToolStatus
from contracts.agent_tools import AgentTools, HttpTool
from conversation.adapters import http_tools as adapter
from conversation.adapters.http_tools import MAX_ANSWER_BYTES, HttpTools, http_tools
from conversation.domain.tool_execution import ToolOutcome
from providers import Provider
from sealing import SigningKey
from simulators.serving import serving

SECRET = b"s" * 32


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[ToolReceiver, str]]:
    """A receiver and its origin, on a port that the kernel chooses."""
    app = ToolReceiver()
    async with serving(app, "127.0.0.1") as origin:
        yield app, origin


@pytest.fixture
async def tools() -> AsyncIterator[HttpTools]:
    """The executor, which may connect to this machine."""
    async with http_tools(SECRET, lambda: provider("tool"), permits_loopback=True) as opened:
        yield opened


@pytest.fixture
async def strict_tools() -> AsyncIterator[HttpTools]:
    """The executor as it is in production."""
    async with http_tools(SECRET, lambda: provider("tool")) as opened:
        yield opened


async def test_a_receiver_gets_the_call_and_a_signature_that_a_library_verifies(
    receiver: tuple[ToolReceiver, str], tools: HttpTools
) -> None:
    app, origin = receiver
    invocation = an_invocation(an_http_tool(f"{origin}/slots?tenant=7"), {"day": "miércoles", "people": 2}, number=1)
    outcome = await tools.execute(invocation)
    assert outcome == ToolOutcome('{"slots":["10:00","11:30"]}')
    [(headers, body)] = app.requests
    call_id = str(invocation.conversation.call.call_id)
    assert json.loads(body) == {
        "campaign_id": "spring",
        "contact_id": "contact-88",
        "call_id": call_id,
        "attempt": 1,
        "turn": 2,
        "tool": "free_slots",
        "arguments": {"day": "miércoles", "people": 2},
    }
    assert headers["idempotency-key"] == headers["webhook-id"] == f"{call_id}-1-2-1"
    assert Webhook(SigningKey.of(SECRET, "spring").text).verify(body, headers) == json.loads(body)
    for wrong in (SigningKey.of(SECRET, "autumn"), SigningKey.of(b"t" * 32, "spring")):
        with pytest.raises(WebhookVerificationError):
            Webhook(wrong.text).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SigningKey.of(SECRET, "spring").text).verify(body + b" ", headers)


async def test_the_same_tool_call_has_the_same_identity(receiver: tuple[ToolReceiver, str], tools: HttpTools) -> None:
    app, origin = receiver
    invocation = an_invocation(an_http_tool(origin))
    for _ in range(2):
        await tools.execute(invocation)
    first, second = (headers["idempotency-key"] for headers, _ in app.requests)
    assert first == second
    assert UUID(first[:36]) == invocation.conversation.call.call_id


@pytest.mark.parametrize(
    ("fault", "status", "result"),
    [
        ("text", ToolStatus.SUCCEEDED, "a las diez"),
        ("nothing", ToolStatus.SUCCEEDED, "done"),
        ("error", ToolStatus.FAILED, "the tool failed: HTTP 500"),
        ("refusal", ToolStatus.FAILED, "the tool failed: HTTP 422"),
        ("redirect", ToolStatus.FAILED, "the tool failed: HTTP 307"),
        ("html", ToolStatus.FAILED, "the tool failed: its answer is neither JSON nor text"),
        ("broken", ToolStatus.FAILED, "the tool failed: its answer is no JSON"),
        ("deep", ToolStatus.FAILED, "the tool failed: its answer is no JSON"),
        ("latin", ToolStatus.FAILED, "the tool failed: its answer is not in UTF-8"),
        ("compressed", ToolStatus.FAILED, "the tool failed: its answer is compressed"),
        ("huge", ToolStatus.FAILED, f"the tool failed: its answer is longer than {MAX_ANSWER_BYTES} bytes"),
        ("cut", ToolStatus.FAILED, "the tool's answer was cut off"),
    ],
)
async def test_only_a_short_answer_of_json_or_text_is_used(
    receiver: tuple[ToolReceiver, str], tools: HttpTools, fault: str, status: ToolStatus, result: str
) -> None:
    app, origin = receiver
    assert await tools.execute(an_invocation(an_http_tool(f"{origin}/{fault}"))) == ToolOutcome(result, status)
    assert len(app.requests) == 1, "no redirect is followed, and no request is repeated"


@pytest.mark.parametrize("fault", ["never", "drip"])
async def test_an_answer_that_takes_too_long_is_given_up(
    receiver: tuple[ToolReceiver, str], tools: HttpTools, fault: str
) -> None:
    _, origin = receiver
    outcome = await tools.execute(an_invocation(an_http_tool(f"{origin}/{fault}", timeout_seconds=0.3)))
    assert outcome.status is ToolStatus.TIMED_OUT


async def test_the_time_of_a_stored_tool_is_bounded_too(
    receiver: tuple[ToolReceiver, str], tools: HttpTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, origin = receiver
    monkeypatch.setattr(adapter, "MAX_TIMEOUT_SECONDS", 0.2)
    outcome = await tools.execute(an_invocation(an_http_tool(f"{origin}/never", timeout_seconds=3600)))
    assert outcome.status is ToolStatus.TIMED_OUT


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, '"day" is a required property'),
        ({"day": 1}, "day: 1 is not of type"),
        ({"day": "x" * 21}, "day: "),
        ({"day": "lunes", "people": 0}, "people: 0 is less than"),
        ({"day": "lunes", "url": "http://169.254.169.254/"}, "Additional properties"),
        ("[1]", "the arguments are not a JSON object"),
        ('{"day": NaN}', "the arguments are not a JSON object"),
        ("{" * 5_000, "the arguments are not a JSON object"),
        ('{"day": "lunes", "people": 1e999}', "people: "),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_arguments_that_break_the_schema_are_not_sent_and_the_model_is_told(
    receiver: tuple[ToolReceiver, str], tools: HttpTools, arguments: Any, reason: str
) -> None:
    app, origin = receiver
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    outcome = await tools.execute(an_invocation(an_http_tool(origin), text))
    assert outcome.status is ToolStatus.REFUSED
    assert outcome.result.startswith(f"not executed: {reason}")
    assert app.requests == []


async def test_a_schema_with_references_fetches_nothing(receiver: tuple[ToolReceiver, str], tools: HttpTools) -> None:
    app, origin = receiver
    tool = an_http_tool(origin, parameters={"type": "object", "properties": {"day": {"$ref": f"{origin}/schema"}}})
    outcome = await tools.execute(an_invocation(tool))
    assert outcome.status is ToolStatus.REFUSED
    assert app.requests == []


ADDRESSES = [
    "127.0.0.1",
    "127.1",
    "0x7f000001",
    "2130706433",
    "0177.0.0.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "0.0.0.0",  # noqa: S104  # connected to, not bound
    "[::]",
    "localhost",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "169.254.169.254",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "100.100.100.200",
    "168.63.129.16",
    "224.0.0.1",
    "[ff02::1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "①②⑦.0.0.1",
]


@pytest.mark.parametrize("host", ADDRESSES)
async def test_no_address_outside_the_public_internet_is_connected_to(
    receiver: tuple[ToolReceiver, str], strict_tools: HttpTools, host: str
) -> None:
    app, origin = receiver
    port = origin.rsplit(":", 1)[1]
    outcome = await strict_tools.execute(an_invocation(an_http_tool(f"http://{host}:{port}/")))
    assert outcome.status is ToolStatus.REFUSED
    assert app.requests == []


class Names:
    """Answers for the system's resolver: each request for a name takes the next of its addresses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
        self.asked: list[str] = []
        self._answers = list(answers)
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._resolve)

    def _resolve(self, host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if host != "tools.example":
            return self._real(host, port, *arguments, **options)
        self.asked.append(host)
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        families = [socket.AF_INET6 if ":" in one else socket.AF_INET for one in addresses]
        return [(kind, socket.SOCK_STREAM, 6, "", (one, port)) for kind, one in zip(families, addresses, strict=True)]


def plain_tool(origin: str) -> HttpTool:
    """Returns a tool at the receiver's port under a name. Only the adapter's own test permits http for a name."""
    return an_http_tool(f"http://tools.example:{origin.rsplit(':', 1)[1]}/")


@pytest.fixture
def permits_names_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a name be called without TLS, so that a receiver needs no certificate."""
    monkeypatch.setattr(adapter, "checked_tool_url", lambda url: url)


@pytest.mark.parametrize(
    "addresses", [["10.0.0.1"], ["::ffff:169.254.169.254"], ["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["fe80::1%1"]]
)
@pytest.mark.usefixtures("permits_names_without_tls")
async def test_a_name_that_leads_into_a_private_network_is_not_connected_to(
    receiver: tuple[ToolReceiver, str],
    strict_tools: HttpTools,
    monkeypatch: pytest.MonkeyPatch,
    addresses: list[str],
) -> None:
    app, origin = receiver
    names = Names(monkeypatch, addresses)
    outcome = await strict_tools.execute(an_invocation(plain_tool(origin)))
    assert (outcome.status, len(names.asked)) == (ToolStatus.REFUSED, 1)
    assert app.requests == []


@pytest.mark.usefixtures("permits_names_without_tls")
async def test_a_name_is_resolved_once_for_each_request_and_no_connection_outlives_it(
    receiver: tuple[ToolReceiver, str], tools: HttpTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, origin = receiver
    names = Names(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])
    first, second = [await tools.execute(an_invocation(plain_tool(origin))) for _ in range(2)]
    assert (first.status, second.status) == (ToolStatus.SUCCEEDED, ToolStatus.REFUSED)
    assert (len(names.asked), len(app.requests)) == (2, 1)
    assert app.requests[0][0]["host"].startswith("tools.example:")


async def test_a_receiver_that_fails_is_left_alone_and_others_are_not(receiver: tuple[ToolReceiver, str]) -> None:
    app, origin = receiver

    def new_provider() -> Provider:
        return provider("tool", max_failures=2)

    async with http_tools(SECRET, new_provider, permits_loopback=True) as tools, serving(app, "127.0.0.1") as other:
        for _ in range(3):
            last = await tools.execute(an_invocation(an_http_tool(f"{origin}/error")))
        assert last.status is ToolStatus.UNAVAILABLE
        assert len(app.requests) == 2
        assert (await tools.execute(an_invocation(an_http_tool(other)))).status is ToolStatus.SUCCEEDED


async def test_the_number_of_origins_that_are_remembered_is_bounded(
    tools: HttpTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "MAX_ORIGINS", 2)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        for path in range(5):
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/{path}"
            outcome = await tools.execute(an_invocation(an_http_tool(url)))
            assert outcome == ToolOutcome("the tool cannot be reached", ToolStatus.FAILED)
    for port in range(1, 6):
        await tools.execute(an_invocation(an_http_tool(f"http://127.0.0.1:{port}/")))
    assert len(tools._providers) == 2


async def test_a_tool_that_the_campaign_no_longer_has_is_not_executed(tools: HttpTools) -> None:
    invocation = an_invocation(an_http_tool("https://example.com/"))
    without = invocation.conversation.with_tools(AgentTools())
    changed = type(invocation)(without, 2, invocation.execution, invocation.cause)
    assert (await tools.execute(changed)).status is ToolStatus.REFUSED


def test_the_key_of_a_campaign_is_derived_as_rfc_5869_says() -> None:
    from telephony.hkdf import derive_key

    info = b"centralita tool requests of the campaign spring"
    assert SigningKey.of(SECRET, "spring").key == derive_key(SECRET, info=info)
    assert "s" * 8 not in repr(SigningKey.of(SECRET, "spring"))
