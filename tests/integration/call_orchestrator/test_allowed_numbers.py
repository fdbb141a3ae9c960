"""Which numbers are accepted, from the stream REQUESTS, through which both doors pass."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from nats.aio.client import Client
from structlog.testing import capture_logs
from tests.integration.call_orchestrator.conftest import call_of, outcome_of, running, until

from chassis.event_log import EventLog
from contracts import CallChangeRequested, CallRequested, call_id_of
from contracts.streams import DEAD_LETTERS

TO_SPAIN = "+34612345678"
TO_JAMAICA = "+18762345678"


def requested(request_id: str, phone_number: str = "+12125550123") -> CallRequested:
    return CallRequested(
        request_id=request_id,
        campaign_id="spring",
        contact_id="c-1",
        phone_number=phone_number,
        script_template="Hello.",
        language="en",
    )


@pytest.fixture
async def _one_country(nats_url: str, bus_client: Client) -> AsyncIterator[None]:
    async with running(nats_url, 1):
        yield


@pytest.fixture
async def _two_countries(nats_url: str, bus_client: Client, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setenv("ALLOWED_COUNTRIES", "us, es")
    async with running(nats_url, 1):
        yield


@pytest.mark.usefixtures("_one_country")
@pytest.mark.parametrize(("number", "country"), [(TO_SPAIN, "ES"), (TO_JAMAICA, "JM")])
async def test_a_request_to_another_country_is_refused_and_leaves_no_call(
    bus_client: Client, calls: EventLog, number: str, country: str
) -> None:
    outcome = await outcome_of(bus_client, requested("r-1", number))

    assert not outcome.accepted
    (reason,) = outcome.reasons
    assert reason.startswith(f"phone_number: numbers of the country {country} are not called; allowed are US ")
    assert "ALLOWED_COUNTRIES" in reason
    assert number not in reason
    assert await call_of(calls, call_id_of("r-1")) is None


@pytest.mark.usefixtures("_one_country")
async def test_a_refused_request_is_logged_without_its_number(bus_client: Client) -> None:
    with capture_logs() as logs:
        await outcome_of(bus_client, requested("r-1", TO_SPAIN))

    (line,) = (line for line in logs if line["event"] == "request_refused")
    assert line["call_id"] == str(call_id_of("r-1"))
    assert TO_SPAIN not in repr(logs)


@pytest.mark.usefixtures("_one_country")
async def test_a_call_cannot_be_changed_to_a_number_of_another_country(bus_client: Client, calls: EventLog) -> None:
    later = requested("r-1").model_copy(update={"scheduled_at": datetime.now(UTC) + timedelta(days=1)})
    assert (await outcome_of(bus_client, later)).accepted

    outcome = await outcome_of(bus_client, CallChangeRequested(call_id=call_id_of("r-1"), phone_number=TO_SPAIN))

    assert not outcome.accepted
    assert outcome.reasons[0].startswith("phone_number: numbers of the country ES are not called")
    call = await call_of(calls, call_id_of("r-1"))
    assert call
    assert call.phone_number == "+12125550123"


@pytest.mark.usefixtures("_two_countries")
async def test_several_countries_may_be_called(bus_client: Client) -> None:
    assert (await outcome_of(bus_client, requested("r-1"))).accepted
    assert (await outcome_of(bus_client, requested("r-2", TO_SPAIN))).accepted
    assert not (await outcome_of(bus_client, requested("r-3", TO_JAMAICA))).accepted


@pytest.mark.usefixtures("_two_countries")
@pytest.mark.parametrize("number", ["+19002345678", "+870773111632", "+34806123456", "+34902123456", "+979123456789"])
async def test_a_request_to_a_premium_or_satellite_number_is_a_dead_letter(bus_client: Client, number: str) -> None:
    body = requested("r-1").model_dump_json().replace("+12125550123", number).encode()
    js = bus_client.jetstream()
    await js.publish("call.requested", body)

    async def is_stored() -> bool:
        return (await js.stream_info(DEAD_LETTERS.name)).state.messages == 1

    await until(is_stored)
    dead_letter = (await js.get_msg(DEAD_LETTERS.name, 1)).data or b""
    assert b"phone_number: " in dead_letter
    assert b"are not called" in dead_letter
