"""The REST API of the Twilio simulator with the official SDK as its client."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import pytest
from twilio.base.exceptions import TwilioException, TwilioRestException  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from tests.integration.simulators.conftest import SimulatedTwilio

pytestmark = pytest.mark.integration
CALL_FIELDS = {
    "sid", "date_created", "date_updated", "parent_call_sid", "account_sid", "to", "to_formatted", "from",
    "from_formatted", "phone_number_sid", "status", "start_time", "end_time", "duration", "price", "price_unit",
    "direction", "answered_by", "api_version", "forwarded_from", "group_sid", "caller_name", "queue_time",
    "trunk_sid", "uri", "subresource_uris",
}  # fmt: skip


async def test_a_created_call_is_queued_and_can_be_fetched(simulator: "SimulatedTwilio") -> None:
    call = await simulator.create_call()
    assert (call.status, call.direction, call.to) == ("queued", "outbound-api", "+12125550123")
    assert call.sid.startswith("CA")
    assert len(call.sid) == 34
    assert call.to_formatted == "(212) 555-0123"
    fetched = await simulator.api.calls(call.sid).fetch_async()
    assert (fetched.sid, fetched.date_created) == (call.sid, call.date_created)


async def test_a_call_has_all_fields_of_the_documented_resource(simulator: "SimulatedTwilio") -> None:
    call = await simulator.create_call()
    response = await simulator.control.get(call.uri, auth=simulator.api.auth)
    assert set(response.json()) == CALL_FIELDS


async def test_a_wrong_token_is_refused_without_a_call(simulator: "SimulatedTwilio") -> None:
    response = await simulator.control.post(
        f"/2010-04-01/Accounts/{simulator.api.account_sid}/Calls.json",
        data={"To": "+12125550123", "From": "+12125550100", "Url": simulator.application.url},
        auth=(simulator.api.account_sid, "wrong"),
    )
    assert (response.status_code, response.json()["code"]) == (401, 20003)
    assert simulator.ledger.calls == []


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"to": "not a number"}, 21211),
        ({"url": "nowhere"}, 21205),
        ({"status_callback": "nowhere"}, 21609),
        ({"twiml": "<Response>" + " " * 4000, "url": "http://127.0.0.1/"}, 20001),
    ],
)
async def test_invalid_parameters_are_answered_with_twilios_code(
    simulator: "SimulatedTwilio", parameters: dict[str, str], code: int
) -> None:
    with pytest.raises(TwilioRestException) as refused:
        await simulator.create_call(**parameters)
    assert (refused.value.status, refused.value.code) == (400, code)
    assert simulator.ledger.calls == []
    assert [refusal.code for refusal in simulator.ledger.refused] == [code]


async def test_a_refused_number_is_not_dialled(simulator: "SimulatedTwilio") -> None:
    await simulator.set_behaviours("refused")
    with pytest.raises(TwilioRestException) as refused:
        await simulator.create_call()
    assert (refused.value.status, refused.value.code) == (400, 21211)
    ledger = (await simulator.control.get("/_simulator/ledger")).json()
    assert ledger["calls"] == []
    assert ledger["refused"][0]["to"] == "+12125550123"


async def test_an_unknown_call_is_not_found(simulator: "SimulatedTwilio") -> None:
    with pytest.raises(TwilioRestException) as missing:
        await simulator.api.calls("CA" + "0" * 32).fetch_async()
    assert (missing.value.status, missing.value.code) == (404, 20404)


async def test_the_account_can_be_fetched(simulator: "SimulatedTwilio") -> None:
    account = await simulator.api.api.accounts(simulator.api.account_sid).fetch_async()
    assert (account.sid, account.status) == (simulator.api.account_sid, "active")


async def test_a_call_in_progress_can_be_hung_up_once(simulator: "SimulatedTwilio") -> None:
    simulator.application.set_twiml("/voice", '<Pause length="200"/>')
    call = await simulator.create_call()
    await simulator.wait_for_status(call.sid, "in-progress")
    updated = await simulator.api.calls(call.sid).update_async(status="completed")
    assert updated.status == "completed"
    entry = await simulator.wait_for_end(call.sid)
    assert (entry.status, entry.ended_by) == ("completed", "api")
    with pytest.raises(TwilioRestException) as over:
        await simulator.api.calls(call.sid).update_async(status="completed")
    assert (over.value.status, over.value.code) == (400, 21220)


async def test_a_ringing_call_can_be_canceled(make_simulator: Callable[..., Any]) -> None:
    async with make_simulator(speed=5.0) as simulator:
        call = await simulator.create_call()
        await simulator.wait_for_status(call.sid, "ringing")
        updated = await simulator.api.calls(call.sid).update_async(status="canceled")
        assert updated.status == "canceled"
        await simulator.wait_for_end(call.sid)
        assert [form["CallStatus"] for form in simulator.application.forms("/status")] == [
            "initiated", "ringing", "canceled",
        ]  # fmt: skip
        assert simulator.application.forms("/voice") == []


async def test_a_call_can_be_canceled_immediately(simulator: "SimulatedTwilio") -> None:
    call = await simulator.create_call()
    await simulator.api.calls(call.sid).update_async(status="canceled")
    assert (await simulator.wait_for_end(call.sid)).status == "canceled"


async def test_calls_are_listed_by_number_and_status_in_pages(simulator: "SimulatedTwilio") -> None:
    numbers = [f"+121255501{n:02}" for n in range(20, 25)]
    for number in numbers:
        await simulator.set_behaviours("busy", number=number)
        call = await simulator.create_call(number)
        await simulator.wait_for_end(call.sid)
    listed = await simulator.api.calls.list_async(page_size=2)
    assert [call.to for call in listed] == numbers[::-1]
    busy = await simulator.api.calls.list_async(to=numbers[3], status="busy")
    assert [call.to for call in busy] == [numbers[3]]
    assert await simulator.api.calls.list_async(status="completed") == []


async def test_a_queued_call_matches_no_range_of_start_times(make_simulator: Callable[..., Any]) -> None:
    async with make_simulator(calls_per_second=0.0001) as simulator:
        dialled, queued = await simulator.create_call(), await simulator.create_call("+12125550124")
        await simulator.wait_for_status(dialled.sid, "initiated")
        today = datetime.now(UTC)
        since_yesterday = await simulator.api.calls.list_async(start_time_after=today - timedelta(days=1))
        assert [call.sid for call in since_yesterday] == [dialled.sid]
        assert await simulator.api.calls.list_async(start_time_after=today + timedelta(days=2)) == []
        assert (await simulator.api.calls(queued.sid).fetch_async()).start_time is None


async def test_a_create_request_whose_answer_is_lost_is_dialled(simulator: "SimulatedTwilio") -> None:
    await simulator.put_control(
        "faults", [{"target": "twilio", "method": "POST", "kind": "lost_response", "remaining": 1}]
    )
    with pytest.raises((aiohttp.ClientError, TwilioException)):
        await simulator.create_call()
    assert [call.to for call in simulator.ledger.calls] == ["+12125550123"]
    assert (await simulator.wait_for_end(simulator.ledger.calls[0].sid)).status == "completed"


async def test_a_reset_stops_and_removes_all_calls(simulator: "SimulatedTwilio") -> None:
    simulator.application.set_twiml("/voice", '<Pause length="100"/>')
    call = await simulator.create_call()
    await simulator.wait_for_status(call.sid, "in-progress")
    assert (await simulator.control.delete("/_simulator")).status_code == 204
    assert simulator.ledger.calls == []
    with pytest.raises(TwilioRestException):
        await simulator.api.calls(call.sid).fetch_async()


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("callees/+12125550123", {"behaviour": "dances"}),
        ("callees/+12125550123", {}),
        ("callbacks", {"drop": 2}),
        ("callbacks", {"lose": 1}),
        ("faults", [{"target": "unknown-vendor", "kind": "reset"}]),
    ],
)
async def test_an_invalid_control_request_is_answered_with_422(
    simulator: "SimulatedTwilio", route: str, body: object
) -> None:
    response = await simulator.control.put(f"/_simulator/{route}", json=body)
    assert response.status_code == 422
    assert response.json()["detail"]


async def test_calls_above_the_accounts_rate_stay_queued(make_simulator: Callable[..., Any]) -> None:
    async with make_simulator(calls_per_second=0.1, behaviours={"busy": 1.0}) as simulator:
        calls = await asyncio.gather(*(simulator.create_call(f"+121255501{n:02}") for n in range(20, 28)))
        await asyncio.gather(*(simulator.wait_for_end(call.sid) for call in calls))
        waited = [int((await simulator.api.calls(call.sid).fetch_async()).queue_time) for call in calls]
        assert waited.count(0) == 1
        assert sorted(waited)[-1] > sorted(waited)[1]
        assert {entry.status for entry in simulator.ledger.calls} == {"busy"}


def test_an_unknown_behaviour_is_refused(make_simulator: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="dances"):
        asyncio.run(make_simulator(behaviours={"dances": 1.0}).__aenter__())


async def test_the_control_routes_need_no_credential_but_the_api_does(simulator: "SimulatedTwilio") -> None:
    async with httpx.AsyncClient(base_url=simulator.url, timeout=60) as anonymous:
        assert (await anonymous.get("/_simulator/ledger")).status_code == 200
        path = f"/2010-04-01/Accounts/{simulator.api.account_sid}.json"
        assert (await anonymous.get(path)).status_code == 401
