"""Where a person may be, from the telephone number: country, regions and time zones.

A number does not locate a phone. Mobile numbers of many countries belong to all zones of the country. Numbers of +1
move with their owner, often within their area code. So they have each zone of their area code, and those of the United
States and Canada the regions of that code (``area_codes.csv``, from libphonenumber's geocoder).
"""

import csv
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib import resources

from phonenumbers import timezone
from phonenumbers.tzdata import TIMEZONE_DATA

from contracts.numbers import country_of, parsed
from contracts.time_zones import is_zone

TERRITORIES = {
    **{territory: ("US", territory) for territory in ("PR", "VI", "GU", "AS", "MP")},
    "GP": ("FR", "971"),
    "MQ": ("FR", "972"),
    "GF": ("FR", "973"),
    "RE": ("FR", "974"),
    "YT": ("FR", "976"),
}
"""Territories with a country code of their own in which the law of a country applies: the country, and their region."""
_CODES_OF_TERRITORIES: dict[tuple[str, ...], str] = {place: code for code, place in TERRITORIES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Callee:
    """Where the person may be.

    `country`: ISO 3166-1 alpha-2, empty if unknown. `regions`: all to which the number may belong, ISO 3166-2 without
    the country; empty: unknown within the country. `zones`: all possible IANA time zones; empty: unknown.
    If one of them does not exist (`contracts.time_zones`), the time of the person is unknown, too.
    """

    country: str
    regions: tuple[str, ...]
    zones: tuple[str, ...]

    @property
    def number_country(self) -> str:
        """The country code of the number itself, which a territory has besides that of its country."""
        return _CODES_OF_TERRITORIES.get((self.country, *self.regions), self.country)

    @property
    def zone_group(self) -> str:
        """Identifies country, regions and zones: 12 hex digits of a digest. The same calling hours apply to a group."""
        return _zone_group(self)


@lru_cache(maxsize=1024)
def _zone_group(callee: Callee) -> str:
    values = "|".join((callee.country, " ".join(callee.regions), " ".join(callee.zones)))
    return sha256(values.encode()).hexdigest()[:12]


@lru_cache(maxsize=256)
def callee_of(phone_number: str, zone: str | None = None) -> Callee:
    """Returns where the person with an E.164 number may be. A given IANA zone replaces the zones of the number.

    A given zone that does not exist leaves the zones unknown.
    """
    country = country_of(phone_number)
    if country is None:
        return Callee(country="", regions=(), zones=())
    if zone is not None:
        zones: tuple[str, ...] = (zone,) if is_zone(zone) else ()
    else:
        zones = _zones_of(phone_number)
    if country in TERRITORIES:
        of, region = TERRITORIES[country]
        return Callee(country=of, regions=(region,), zones=zones)
    return Callee(country=country, regions=_regions_of(phone_number, country), zones=zones)


def _regions_of(phone_number: str, country: str) -> tuple[str, ...]:
    return _regions_by_area_code().get(phone_number[2:5], ()) if country in ("US", "CA") else ()


def _zones_of(phone_number: str) -> tuple[str, ...]:
    known = _zones_by_area_code().get(phone_number[2:5]) if phone_number.startswith("+1") else None
    zones = known or timezone.time_zones_for_number(parsed(phone_number))
    return tuple(sorted(zone for zone in zones if zone != timezone.UNKNOWN_TIMEZONE))


@lru_cache(maxsize=1)
def _regions_by_area_code() -> dict[str, tuple[str, ...]]:
    table = (resources.files(__package__) / "area_codes.csv").read_text(encoding="utf-8")
    return {row["area_code"]: tuple(row["regions"].split()) for row in csv.DictReader(table.splitlines())}


@lru_cache(maxsize=1)
def _zones_by_area_code() -> dict[str, frozenset[str]]:
    """Returns the zones of all prefixes of each area code of +1."""
    zones: dict[str, set[str]] = defaultdict(set)
    for prefix, names in TIMEZONE_DATA.items():
        if prefix[0] == "1" and len(prefix) >= 4:
            zones[prefix[1:4]].update(names)
    return {area_code: frozenset(names) for area_code, names in zones.items()}
