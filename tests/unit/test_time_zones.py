"""Names of time zones: those of the package tzdata, and none that only this machine has."""

import zoneinfo
from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path
from uuid import uuid4

import pytest
from phonenumbers.tzdata import TIMEZONE_DATA
from pydantic import TypeAdapter, ValidationError
from tests.builders.numbers import number_for

from contracts import CallChangeRequested, CallRequested, ContactRequested
from contracts.callees import callee_of
from contracts.time_zones import is_zone, zone_names, zone_of
from contracts.values import TimeZone

OF_A_MACHINE = ("localtime", "posixrules", "posix/Europe/Madrid", "right/Europe/Madrid")
"""What Debian has beside the names of the package."""
NO_ZONES = (*OF_A_MACHINE, "Europe/Atlantis", "europe/madrid", "Europe", "", "../etc/passwd", "/etc/localtime")


@pytest.fixture
def _machine_with_other_zones(tmp_path: Path) -> Iterator[None]:
    """Replaces the zones of this machine: New York has the time of UTC, and there are some more names."""
    utc = resources.files("tzdata").joinpath("zoneinfo", "UTC").read_bytes()
    for name in ("America/New_York", *OF_A_MACHINE):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(utc)
    zone_of.cache_clear()
    zoneinfo.ZoneInfo.clear_cache()
    zoneinfo.reset_tzpath(to=[str(tmp_path)])
    yield
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()
    zone_of.cache_clear()


@pytest.mark.usefixtures("_machine_with_other_zones")
@pytest.mark.parametrize("name", NO_ZONES)
def test_a_name_that_only_a_machine_has_is_no_time_zone(name: str) -> None:
    assert not is_zone(name)
    with pytest.raises(zoneinfo.ZoneInfoNotFoundError):
        zone_of(name)
    with pytest.raises(ValidationError):
        TypeAdapter(TimeZone).validate_python(name)


@pytest.mark.usefixtures("_machine_with_other_zones")
def test_the_offsets_are_those_of_the_package_and_not_of_the_machine() -> None:
    assert zone_of("America/New_York").utcoffset(datetime(2026, 1, 1)) == timedelta(hours=-5)  # noqa: DTZ001
    assert str(zone_of("America/New_York")) == "America/New_York"


@pytest.mark.parametrize("zone", OF_A_MACHINE)
def test_no_request_is_accepted_with_a_time_zone_that_only_a_machine_has(zone: str) -> None:
    person = {"contact_id": "c-1", "phone_number": number_for("c-1"), "time_zone": zone}
    call = {"campaign_id": "spring", "request_id": "r-1", "script_template": "Hello.", "language": "en", **person}
    with pytest.raises(ValidationError, match=f"no time zone '{zone}'; write its IANA name"):
        CallRequested.model_validate(call)
    with pytest.raises(ValidationError, match=f"no time zone '{zone}'"):
        ContactRequested.model_validate({"campaign_id": "spring", **person})
    with pytest.raises(ValidationError, match=f"no time zone '{zone}'"):
        CallChangeRequested.model_validate({"call_id": uuid4(), "time_zone": zone})


def test_every_name_of_the_package_is_a_time_zone_that_can_be_read() -> None:
    assert len(zone_names()) > 500
    for name in zone_names():
        assert str(zone_of(name)) == name
        assert TypeAdapter(TimeZone).validate_python(name) == name


def test_every_zone_that_a_number_may_have_exists() -> None:
    names = {name for zones in TIMEZONE_DATA.values() for name in zones}
    assert names <= zone_names()


def test_a_zone_of_a_number_that_does_not_exist_is_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer phonenumbers may know a zone that an older tzdata lacks. The person may be there."""
    zones = ("Europe/Atlantis", "Europe/Madrid")
    monkeypatch.setattr("contracts.callees.timezone.time_zones_for_number", lambda _: zones)
    callee_of.cache_clear()
    assert callee_of("+34612345678").zones == zones
    callee_of.cache_clear()
