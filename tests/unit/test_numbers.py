"""Which types of numbers a request may name, and the country of a number."""

import pytest
from pydantic import TypeAdapter, ValidationError

from contracts.numbers import country_of
from contracts.values import CalleeNumber

VALIDATED: TypeAdapter[str] = TypeAdapter(CalleeNumber)


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
    assert VALIDATED.validate_python(number) == number


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
    with pytest.raises(ValidationError, match="premium-rate, shared-cost, personal and access numbers"):
        VALIDATED.validate_python(number)


@pytest.mark.parametrize("number", ["+870773111632", "+882161234567", "+883510012345678", "+979123456789"])
def test_numbers_of_satellite_and_international_networks_are_refused(number: str) -> None:
    with pytest.raises(ValidationError, match="belongs to no country"):
        VALIDATED.validate_python(number)


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
