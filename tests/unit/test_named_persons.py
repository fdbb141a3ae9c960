"""The persons whom a message may name: numbers are found however they are written, at a bounded cost."""

import json

import pytest

from contracts.named_persons import ANYONE, MAX_BYTES, NamedPersons, may_name
from contracts.number_digests import NumberDigests
from contracts.numbers import COUNTRIES

DIGESTS = NumberDigests(b"a secret of 32 bytes for a test..")
NAMED = NamedPersons(DIGESTS, {"US", "ES", "GB", "DE"})


@pytest.mark.parametrize(
    ("number", "spoken"),
    [
        ("+12125550123", "+1 (212) 555-0123"),
        ("+12125550123", "212-555-0123"),
        ("+12125550123", "2125550123"),
        ("+12125550123", "001 212 555 0123"),
        ("+12125550123", "01112125550123"),
        ("+12125550123", "row 7 12125550123"),
        ("+12125550123", "row 7: 2125550123"),
        ("+12125550123", "2026-11-29 +12125550123"),
        ("+12125550123", "+1/212/555/0123"),
        ("+12125550123", "+1 212 5550123 ext 4"),
        ("+12125550123", "+1 (212)  -  555-0123"),
        ("+12125550123", "+1\t212\u00a0555\u20110123"),
        ("+12125550123", "\u0661\u0662\u0661\u0662\u0665\u0665\u0665\u0660\u0661\u0662\u0663"),
        ("+34600123456", "0034 600 123 456"),
        ("+34600123456", "600 12 34 56"),
        ("+442079460123", "+44 (0)20 7946 0123"),
        ("+442079460123", "020 7946 0123"),
        ("+4930123456", "030/12 34 56"),
    ],
)
@pytest.mark.parametrize("is_ascii", [True, False])
def test_a_number_is_found_however_it_is_written(number: str, spoken: str, is_ascii: bool) -> None:
    body = json.dumps({"phone_number": spoken, "note": "call it"}, ensure_ascii=is_ascii).encode()
    persons = NAMED.of("call.requested", {}, body)
    assert may_name(persons, DIGESTS.of(number))
    assert not may_name(persons, DIGESTS.of("+12125550124"))


def test_headers_subject_and_a_body_that_is_no_json_are_searched() -> None:
    found = (
        NAMED.of("call.requested", {"name": "+12125550123"}, b"{}"),
        NAMED.of("call.cancel_requested.12125550123", {}, b"{}"),
        NAMED.of("call.requested", {}, b"phone_number=\xff\x0012125550123"),
        NAMED.of("call.requested", {}, b'[[{"phone_number": 12125550123}]]'),
        NAMED.of("call.requested", {"ce-person": DIGESTS.of("+12125550123")}, b"{}\0sealed"),
    )
    assert all(may_name(persons, DIGESTS.of("+12125550123")) for persons in found)


@pytest.mark.parametrize("header", ["*", "", "12125550123 *", "AB" * 16, "ab"])
def test_a_header_that_is_no_digest_names_nobody_else(header: str) -> None:
    persons = NAMED.of("call.requested", {"ce-person": header}, b"{}")
    assert not may_name(persons, DIGESTS.of("+12125550124"))


@pytest.mark.parametrize(
    "body",
    [b"1" * 100_000, b"1234567 " * 10_000, b"".join(b"%07dx" % n for n in range(30_000)), b"x" * (MAX_BYTES + 1)],
)
def test_a_message_that_is_not_searched_as_a_whole_may_name_anyone(body: bytes) -> None:
    persons = NAMED.of("call.requested", {}, body)
    assert persons == ANYONE
    assert may_name(persons, DIGESTS.of("+12125550123"))


def test_an_ordinary_request_is_searched_as_a_whole_where_all_countries_may_be_called() -> None:
    body = json.dumps(
        {
            "request_id": "550e8400-e29b-41d4-a716-446655440000",
            "phone_number": "212-555-0123",
            "script_template": "Hello {{name}}, your appointment is on 2026-11-29 at 10:30.",
            "metadata": {"at": "1732880000000", "order": "4711"},
        }
    ).encode()
    persons = NamedPersons(DIGESTS, COUNTRIES).of("call.requested", {"ce-id": "01939a1c-7a7e-7c44-8d3b-0123"}, body)
    assert persons != ANYONE
    assert may_name(persons, DIGESTS.of("+12125550123"))
