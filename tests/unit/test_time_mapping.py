"""The mapping from real to simulated time, and the setting that only an embedded run may have."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.builders.secret_keys import TEST_KEYS

from call_orchestrator.settings import Settings
from centralita.embedded.clock_setting import clock_setting
from centralita.embedded.servers import CannotStart
from centralita.embedded.vendors import Vendors
from chassis import settings
from chassis.time_mapping import MAX_FACTOR, REAL_TIME, TimeMapping

REAL_START = datetime(2026, 11, 28, 4, 30, tzinfo=UTC)
MONDAY = datetime(2027, 3, 1, 14, tzinfo=UTC)
HOUR = timedelta(hours=1)
MAPPINGS = st.builds(
    lambda real_period, ahead, factor: TimeMapping(
        starts_at=REAL_START + real_period + ahead, real_starts_at=REAL_START + real_period, factor=factor
    ),
    st.timedeltas(timedelta(0), timedelta(days=3_650)),
    st.timedeltas(timedelta(0), timedelta(days=400)),
    st.floats(min_value=1, max_value=MAX_FACTOR),
)


def fast(factor: float = 3600) -> TimeMapping:
    return TimeMapping(starts_at=MONDAY, real_starts_at=REAL_START, factor=factor)


def test_an_hour_passes_in_a_second() -> None:
    assert fast().simulated(REAL_START + timedelta(seconds=1)) == MONDAY + HOUR
    assert fast().real(MONDAY + HOUR) == REAL_START + timedelta(seconds=1)
    assert fast().real_seconds(HOUR) == 1


def test_time_is_real_without_a_mapping() -> None:
    instant = REAL_START + timedelta(microseconds=1)
    assert REAL_TIME.simulated(instant) == instant == REAL_TIME.real(instant)


@given(MAPPINGS, st.timedeltas(timedelta(0), timedelta(days=400)))
def test_a_schedule_fires_at_the_first_microsecond_at_which_its_deadline_has_passed(
    mapping: TimeMapping, after: timedelta
) -> None:
    deadline_at = mapping.starts_at + after
    fires_at = mapping.real(deadline_at)
    assert mapping.simulated(fires_at) >= deadline_at
    assert mapping.simulated(fires_at - timedelta(microseconds=2)) < deadline_at


def test_only_an_embedded_run_has_a_simulated_clock(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (TEST_KEYS | {"ALLOWED_COUNTRIES": "US"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SIMULATED_CLOCK", fast().model_dump_json())
    with pytest.raises(SystemExit):
        settings.read(Settings)
    assert "SIMULATED_CLOCK: only embedded runs have a simulated clock" in capsys.readouterr().err
    monkeypatch.setenv("EMBEDDED_RUN", "true")
    assert Settings().time_mapping == fast()


@pytest.mark.parametrize("value", ["tomorrow", '{"factor": 60}', "{}"])
def test_an_invalid_clock_stops_the_service(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDDED_RUN", "true")
    monkeypatch.setenv("SIMULATED_CLOCK", value)
    with pytest.raises(ValidationError, match="simulated_clock"):
        Settings()


def test_simulated_time_is_never_before_real_time() -> None:
    with pytest.raises(ValidationError, match="starts_at is before real_starts_at"):
        TimeMapping(starts_at=REAL_START - HOUR, real_starts_at=REAL_START, factor=60)
    with pytest.raises(ValidationError, match="factor"):
        fast(0.5)


def test_a_run_with_the_real_twilio_has_no_simulated_clock() -> None:
    real = Vendors({}, ("twilio",), (), None)
    with pytest.raises(CannotStart, match="would call people at night"):
        clock_setting({}, real, fast())
    exported = {"SIMULATED_CLOCK": fast().model_dump_json()}
    assert clock_setting(exported, real, None) == {"SIMULATED_CLOCK": ""}, "an exported one is ignored"
