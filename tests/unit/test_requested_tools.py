"""The tools of a campaign at the door: names, schemas, URLs and sizes."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from contracts import RequestedTerms
from contracts.agent_tools import AgentTools, HttpTool
from contracts.invalid import reasons_of
from contracts.requested_tools import MAX_HTTP_TOOLS, MAX_TOOLS_BYTES

NOW = datetime(2026, 3, 2, tzinfo=UTC)
PARAMETERS = {
    "type": "object",
    "properties": {
        "day": {"type": "string", "format": "date", "description": "which day"},
        "people": {"type": "integer", "minimum": 1, "maximum": 8},
        "hours": {"type": "array", "items": {"type": "string", "maxLength": 5}, "maxItems": 3},
    },
    "required": ["day"],
    "additionalProperties": False,
}


def http_tool(**changes: object) -> dict[str, Any]:
    tool = {"name": "free_slots", "description": "Free hours of a day", "url": "https://example.com/slots"}
    return {**tool, "parameters": PARAMETERS, **changes}


def destination(**changes: object) -> dict[str, Any]:
    fields = {"name": "reception", "description": "Answers until six", "phone_number": "+12125550199"}
    return {**fields, **changes}


def tools_of(**tools: object) -> AgentTools:
    terms = RequestedTerms.model_validate({"tools": tools})
    assert terms.refusals(NOW) == []
    assert RequestedTerms.model_validate_json(terms.model_dump_json(exclude_defaults=True)) == terms
    stored = terms.stored().tools
    assert stored is not None
    return stored


def reasons(**tools: object) -> list[str]:
    try:
        return RequestedTerms.model_validate({"tools": tools}).refusals(NOW)
    except ValidationError as error:
        return reasons_of(error)


def test_tools_are_stored_with_the_whole_schema() -> None:
    stored = tools_of(http=[http_tool(timeout_seconds=2)], transfers=[destination(kind="warm")], may_send_digits=True)
    assert stored.http == (HttpTool(**http_tool(timeout_seconds=2)),)
    assert (stored.transfers[0].name, stored.transfers[0].kind) == ("reception", "warm")
    assert (stored.may_send_digits, stored.may_schedule_callbacks) == (True, False)


def test_a_tool_needs_no_arguments() -> None:
    tool = http_tool()
    del tool["parameters"]
    [stored] = tools_of(http=[tool]).http
    assert stored.parameters == {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


def test_terms_without_tools_store_none() -> None:
    assert RequestedTerms().stored().tools is None


@pytest.mark.parametrize("name", ["end_call", "note", "transfer", "Book", "1st", "a-b", "", "a" * 41])
def test_a_name_is_refused_that_is_built_in_or_none(name: str) -> None:
    [reason] = reasons(http=[http_tool(name=name)])
    assert reason.startswith("tools.http.0.name: ")


def test_names_are_unique() -> None:
    [reason] = reasons(http=[http_tool(), http_tool()])
    assert reason == "tools.http: the name free_slots is given twice; each needs its own"
    [reason] = reasons(transfers=[destination(), destination()])
    assert reason == "tools.transfers: the name reception is given twice; each needs its own"


@pytest.mark.parametrize(
    "parameter",
    [
        {"type": "string", "pattern": "(a+)+$"},
        {"$ref": "http://169.254.169.254/schema"},
        {"type": "object", "properties": {}},
        {"type": "string", "anyOf": []},
        {"type": "integer", "enum": ["1"]},
        {"type": "string", "minimum": 1},
        {"type": "array"},
        {"type": "string", "items": {"type": "string"}},
        {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
        {"type": "number", "minimum": 2, "maximum": 1},
        {"type": "number", "maximum": float("inf")},
        {},
    ],
    ids=str,
)
def test_a_schema_outside_the_accepted_part_is_refused_with_its_place(parameter: dict[str, Any]) -> None:
    found = reasons(http=[http_tool(parameters={"properties": {"day": parameter}})])
    assert found
    assert all(reason.startswith("tools.http.0.parameters.properties.day") for reason in found)


def test_required_arguments_are_properties() -> None:
    [reason] = reasons(http=[http_tool(parameters={"properties": {}, "required": ["day"]})])
    assert reason.endswith("required names day, which properties does not have; add it there")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "example.com",
        "https://",
        "https://user:pass@example.com/",
        "https://example.com/#part",
        "https://10.0.0.1/",
        "https://172.16.3.4/",
        "https://192.168.1.1/",
        "https://0xa000001/",
        "https://167772161/",
        "https://012.1/",
        "https://100.64.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://168.63.129.16/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://[fd00::1]/",
        "https://[fe80::1]/",
        "https://[fec0::1]/",
        "https://[ff02::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://[2002:a00:1::]/",
        "https://[2001:0:53aa:64c::1]/",
        "https://[::]/",
        "https://intranet/",
        "https://metadata.google.internal/",
        "https://printer.local./",
    ],
)
def test_a_url_is_refused_that_is_not_in_the_public_internet(url: str) -> None:
    [reason] = reasons(http=[http_tool(url=url)])
    assert reason.startswith("tools.http.0.url: ")


@pytest.mark.parametrize(
    ("url", "stored"),
    [
        ("https://example.com/a?b=c", "https://example.com/a?b=c"),
        ("HTTPS://Example.COM:8443/a", "https://example.com:8443/a"),
        ("https://8.8.8.8/", "https://8.8.8.8/"),
        ("https://[2606:4700::1111]/", "https://[2606:4700::1111]/"),
        ("https://españa.example/", "https://xn--espaa-rta.example/"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/"),
    ],
)
def test_a_url_is_stored_in_its_normal_form(url: str, stored: str) -> None:
    assert tools_of(http=[http_tool(url=url)]).http[0].url == stored


@pytest.mark.parametrize("seconds", [0, -1, 10.1, float("inf"), float("nan")])
def test_a_time_out_is_between_0_and_10_seconds(seconds: float) -> None:
    assert reasons(http=[http_tool(timeout_seconds=seconds)])[0].startswith("tools.http.0.timeout_seconds: ")


@pytest.mark.parametrize(
    "wrong", [{"phone_number": "911"}, {"phone_number": "+1"}, {"kind": "hot"}, {"name": "The desk"}, {"extra": 1}]
)
def test_a_destination_that_cannot_be_called_is_refused(wrong: dict[str, object]) -> None:
    [reason] = reasons(transfers=[destination(**wrong)])
    assert reason.startswith(f"tools.transfers.0.{next(iter(wrong))}: ")


def test_the_number_and_the_size_of_tools_are_bounded() -> None:
    many = [http_tool(name=f"tool_{number}", description="x" * 500) for number in range(MAX_HTTP_TOOLS + 1)]
    assert reasons(http=many)[0].startswith("tools.http: ")
    long = [
        http_tool(name=f"tool_{number}", description="ñ" * 500, url=f"https://example.com/{'x' * 470}")
        for number in range(10)
    ]
    assert reasons(http=long)[0].startswith("tools: ")
    assert str(MAX_TOOLS_BYTES) in reasons(http=long)[0]
