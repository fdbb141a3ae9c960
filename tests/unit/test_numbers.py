"""Which types of numbers a request may name, and the country of a number."""

import json
from datetime import UTC, datetime

import phonenumbers
import pytest

from contracts import InvalidMessage, decode
from contracts.examples import EXAMPLES
from contracts.numbers import country_of, line_type, number_refusals, parsed


@pytest.mark.parametrize(
    "number",
    [
        "+12125550123",
        "+34912345678",
        "+34612345678",
        "+525512345678",
        "+18005550123",  # toll-free
    ],
)
def test_fixed_mobile_and_toll_free_numbers_may_be_called(number: str) -> None:
    assert number_refusals(number) == []


@pytest.mark.parametrize(
    "number",
    [
        "+19002345678",  # premium rate
        "+34806123456",
        "+448712345678",
        "+34902123456",  # shared cost
        "+34704123456",  # personal number
        "+15005550006",
        "+443001234567",  # universal access number
    ],
)
def test_numbers_that_earn_money_or_forward_are_refused_in_every_country(number: str) -> None:
    (refusal,) = number_refusals(number)

    assert refusal.startswith("phone_number: premium-rate, shared-cost, personal and access numbers are not called")


def test_a_number_has_a_type_if_and_only_if_it_is_valid() -> None:
    for country_code in (1, 34, 44, 52, 800, 881):
        for start in range(100, 1000, 7):
            number = f"+{country_code}{start}5550123"
            is_valid = phonenumbers.is_valid_number(phonenumbers.parse(number))
            assert (line_type(number) != phonenumbers.PhoneNumberType.UNKNOWN) is is_valid, number


@pytest.mark.parametrize("number", ["+870773111632", "+882161234567", "+883510012345678", "+979123456789"])
def test_numbers_of_satellite_and_international_networks_are_refused(number: str) -> None:
    (refusal,) = number_refusals(number)

    assert refusal.startswith("phone_number: belongs to no country")


@pytest.mark.parametrize(
    ("number", "country"),
    [
        ("+12125550123", "US"),
        ("+16135550123", "CA"),
        ("+18762345678", "JM"),
        ("+447624123456", "IM"),
        ("+77012345678", "KZ"),
        ("+870773111632", None),
        ("not a number", None),
    ],
)
def test_countries_that_share_a_calling_code_are_distinguished(number: str, country: str | None) -> None:
    assert country_of(number) == country


def test_a_stored_request_for_a_refused_number_is_still_read() -> None:
    body = EXAMPLES["call.requested"].model_dump_json().replace("+12125550123", "+19002345678").encode()

    request = decode("call.requested", body)

    assert [refusal.split(":")[0] for refusal in request.refusals(datetime.now(UTC))] == ["phone_number"]


def test_the_checks_of_a_request_parse_its_number_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed_numbers, parse = [], phonenumbers.parse

    def counting_parse(number: str) -> phonenumbers.PhoneNumber:
        parsed_numbers.append(number)
        return parse(number)

    monkeypatch.setattr(phonenumbers, "parse", counting_parse)
    for remembered in (parsed, country_of, line_type):  # what other tests of this process asked for
        remembered.cache_clear()
    body = EXAMPLES["call.requested"].model_dump_json().replace("+12125550123", "+12125550187").encode()

    request = decode("call.requested", body)

    assert request.refusals(datetime.now(UTC)) == []
    assert country_of("+12125550187") == "US"
    assert parsed_numbers == ["+12125550187"]


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("2125550123", "no + and country code"),
        ("+999123456789", "its country code does not exist"),
        ("+1", "it has too few digits"),
        ("+a", "it has too few digits"),
    ],
)
def test_a_text_that_is_no_number_is_refused_in_our_words_with_field_reason_and_remedy(
    number: str, reason: str
) -> None:
    request = EXAMPLES["call.requested"].model_dump(mode="json") | {"phone_number": number}
    with pytest.raises(InvalidMessage) as refused:
        decode("call.requested", json.dumps(request).encode())
    assert list(refused.value.reasons) == [
        f"phone_number: not a phone number in E.164 ({reason}); write it as +12125550123"
    ]
