"""Where a person may be, from the number."""

import csv
from pathlib import Path

import phonenumbers
import pytest
from phonenumbers.tzdata import TIMEZONE_DATA

import contracts
from contracts.callees import Callee, callee_of

AREA_CODES = Path(contracts.__file__).parent / "area_codes.csv"


@pytest.mark.parametrize(
    ("number", "country", "regions", "zones"),
    [
        ("+34612345678", "ES", (), ("Atlantic/Canary", "Europe/Madrid")),
        ("+34912345678", "ES", (), ("Europe/Madrid",)),
        ("+13055550123", "US", ("FL",), ("America/New_York",)),
        ("+18505550123", "US", ("FL",), ("America/Chicago", "America/New_York")),
        ("+16045550123", "CA", ("BC",), ("America/Vancouver",)),
        ("+19025550123", "CA", ("NS", "PE"), ("America/Halifax",)),
        ("+17875551234", "US", ("PR",), ("America/Puerto_Rico",)),
        ("+262262123456", "FR", ("974",), ("Indian/Reunion",)),
        ("+18765550123", "JM", (), ("America/Jamaica",)),
        ("+5215512345678", "MX", (), ()),
        ("+881612345678", "", (), ()),  # a satellite network
        ("+34", "", (), ()),
    ],
)
def test_a_number_has_a_country_and_all_its_possible_regions_and_zones(
    number: str, country: str, regions: tuple[str, ...], zones: tuple[str, ...]
) -> None:
    callee = callee_of(number)
    assert (callee.country, callee.regions, callee.zones) == (country, regions, zones)


def test_a_given_zone_replaces_those_of_the_number() -> None:
    assert callee_of("+34612345678", "Atlantic/Canary").zones == ("Atlantic/Canary",)
    assert callee_of("+5215512345678", "America/Mexico_City").zones == ("America/Mexico_City",)


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "", "../etc/passwd", "/etc/localtime", "Europe"])
def test_a_given_zone_that_does_not_exist_leaves_the_zones_unknown(zone: str) -> None:
    assert callee_of("+34612345678", zone).zones == ()


def test_every_area_code_of_the_united_states_and_canada_has_a_region() -> None:
    with AREA_CODES.open(encoding="utf-8", newline="") as lines:
        regions = {row["area_code"]: row["regions"].split() for row in csv.DictReader(lines)}
    geographic = {prefix[1:4] for prefix in TIMEZONE_DATA if prefix.startswith("1") and len(prefix) >= 4}
    for area_code in sorted(geographic):
        number = phonenumbers.parse(f"+1{area_code}5550123")
        if phonenumbers.region_code_for_number(number) in ("US", "CA"):
            assert regions.get(area_code), f"area code {area_code} has no region in area_codes.csv"


def test_numbers_of_the_same_regions_and_zones_are_one_group_and_others_are_not() -> None:
    miami, orlando, madrid, mobile = "+13055550123", "+14075550123", "+34912345678", "+34612345678"
    groups = [callee_of(number).zone_group for number in (miami, orlando, madrid, mobile)]
    assert groups[0] == groups[1]
    assert len(set(groups)) == 3
    assert callee_of(mobile, "Europe/Madrid").zone_group == groups[2]
    assert (
        Callee(country="US", regions=("A", "B"), zones=()).zone_group
        != Callee(country="US", regions=("A",), zones=("B",)).zone_group
    )
