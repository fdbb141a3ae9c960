"""The settings of the demo."""

from centralita.demo.campaign import requests
from centralita.demo.run import SETTINGS
from contracts.numbers import country_of


def test_the_demo_allows_the_country_of_its_numbers() -> None:
    countries = {country_of(request.phone_number) for request in requests(run="demo", count=20)}
    assert countries == {SETTINGS["ALLOWED_COUNTRIES"]}
