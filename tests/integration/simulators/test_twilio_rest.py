"""The REST API of the Twilio simulator, asked by the official SDK."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import pytest
from twilio.base.exceptions import TwilioException, TwilioRestException  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from tests.integration.simulators.conftest import Telephone

pytestmark = pytest.mark.integration
CALL_FIELDS = {
    "sid", "date_created", "date_updated", "parent_call_sid", "account_sid", "to", "to_formatted", "from",
    "from_formatted", "phone_number_sid", "status", "start_time", "end_time", "duration", "price", "price_unit",
    "direction", "answered_by", "api_version", "forwarded_from", "group_sid", "caller_name", "queue_time",
    "trunk_sid", "uri", "subresource_uris",
}  # fmt: skip


async def test_a_created_call_is_queued_and_can_be_fetched(telephone: "Telephone") -> None:
    call = await telephone.call()
    assert (call.status, call.direction, call.to) == ("queued", "outbound-api", "+12125550123")
    assert call.sid.startswith("CA")
    assert len(call.sid) == 34
    assert call.to_formatted == "(212) 555-0123"
    fetched = await telephone.api.calls(call.sid).fetch_async()
    assert (fetched.sid, fetched.date_created) == (call.sid, call.date_created)


async def test_a_call_has_every_field_of_the_documented_resource(telephone: "Telephone") -> None:
    call = await telephone.call()
    answer = await telephone.control.get(call.uri, auth=telephone.api.auth)
    assert set(answer.json()) == CALL_FIELDS


async def test_a_wrong_token_is_refused_before_anything_is_dialled(telephone: "Telephone") -> None:
    answer = await telephone.control.post(
        f"/2010-04-01/Accounts/{telephone.api.account_sid}/Calls.json",
        data={"To": "+12125550123", "From": "+12125550100", "Url": telephone.ours.url},
        auth=(telephone.api.account_sid, "wrong"),
    )
    assert (answer.status_code, answer.json()["code"]) == (401, 20003)
    assert telephone.ledger.calls == []


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"to": "not a number"}, 21211),
        ({"url": "nowhere"}, 21205),
        ({"status_callback": "nowhere"}, 21609),
        ({"twiml": "<Response>" + " " * 4000, "url": "http://127.0.0.1/"}, 20001),
    ],
)
async def test_what_twilio_refuses_is_answered_with_its_code(
    telephone: "Telephone", given: dict[str, str], code: int
) -> None:
    with pytest.raises(TwilioRestException) as refused:
        await telephone.call(**given)
    assert (refused.value.status, refused.value.code) == (400, code)
    assert telephone.ledger.calls == []
    assert [one.code for one in telephone.ledger.refused] == [code]


async def test_a_refused_number_is_never_dialled(telephone: "Telephone") -> None:
    await telephone.meets("refused")
    with pytest.raises(TwilioRestException) as refused:
        await telephone.call()
    assert (refused.value.status, refused.value.code) == (400, 21211)
    ledger = (await telephone.control.get("/_simulator/ledger")).json()
    assert ledger["calls"] == []
    assert ledger["refused"][0]["to"] == "+12125550123"


async def test_an_unknown_call_is_not_found(telephone: "Telephone") -> None:
    with pytest.raises(TwilioRestException) as missing:
        await telephone.api.calls("CA" + "0" * 32).fetch_async()
    assert (missing.value.status, missing.value.code) == (404, 20404)


async def test_the_account_can_be_fetched(telephone: "Telephone") -> None:
    account = await telephone.api.api.accounts(telephone.api.account_sid).fetch_async()
    assert (account.sid, account.status) == (telephone.api.account_sid, "active")


async def test_a_call_in_progress_is_hung_up_once(telephone: "Telephone") -> None:
    telephone.ours.twiml("/voice", '<Pause length="200"/>')
    call = await telephone.call()
    await telephone.reached(call.sid, "in-progress")
    updated = await telephone.api.calls(call.sid).update_async(status="completed")
    assert updated.status == "completed"
    entry = await telephone.ended(call.sid)
    assert (entry.status, entry.ended_by) == ("completed", "api")
    with pytest.raises(TwilioRestException) as over:
        await telephone.api.calls(call.sid).update_async(status="completed")
    assert (over.value.status, over.value.code) == (400, 21220)


async def test_a_call_that_rings_is_canceled(make_telephone: Callable[..., Any]) -> None:
    async with make_telephone(speed=5.0) as telephone:
        call = await telephone.call()
        await telephone.reached(call.sid, "ringing")
        updated = await telephone.api.calls(call.sid).update_async(status="canceled")
        assert updated.status == "canceled"
        await telephone.ended(call.sid)
        assert [form["CallStatus"] for form in telephone.ours.posts("/status")] == [
            "initiated", "ringing", "canceled",
        ]  # fmt: skip
        assert telephone.ours.posts("/voice") == []


async def test_a_call_canceled_at_once_ends_canceled(telephone: "Telephone") -> None:
    call = await telephone.call()
    await telephone.api.calls(call.sid).update_async(status="canceled")
    assert (await telephone.ended(call.sid)).status == "canceled"


async def test_calls_are_listed_by_number_and_status_and_page_after_page(telephone: "Telephone") -> None:
    numbers = [f"+121255501{n:02}" for n in range(20, 25)]
    for number in numbers:
        await telephone.meets("busy", number=number)
        call = await telephone.call(number)
        await telephone.ended(call.sid)
    listed = await telephone.api.calls.list_async(page_size=2)
    assert [call.to for call in listed] == numbers[::-1]
    one = await telephone.api.calls.list_async(to=numbers[3], status="busy")
    assert [call.to for call in one] == [numbers[3]]
    assert await telephone.api.calls.list_async(status="completed") == []


async def test_a_queued_call_is_in_no_range_of_start_times(make_telephone: Callable[..., Any]) -> None:
    async with make_telephone(calls_per_second=0.0001) as telephone:
        dialled, queued = await telephone.call(), await telephone.call("+12125550124")
        await telephone.reached(dialled.sid, "initiated")
        today = datetime.now(UTC)
        since_yesterday = await telephone.api.calls.list_async(start_time_after=today - timedelta(days=1))
        assert [call.sid for call in since_yesterday] == [dialled.sid]
        assert await telephone.api.calls.list_async(start_time_after=today + timedelta(days=2)) == []
        assert (await telephone.api.calls(queued.sid).fetch_async()).start_time is None


async def test_a_create_whose_answer_is_lost_still_dials(telephone: "Telephone") -> None:
    await telephone.put("faults", [{"target": "twilio", "method": "POST", "kind": "lost_response", "remaining": 1}])
    with pytest.raises((aiohttp.ClientError, TwilioException)):
        await telephone.call()
    assert [call.to for call in telephone.ledger.calls] == ["+12125550123"]
    assert (await telephone.ended(telephone.ledger.calls[0].sid)).status == "completed"


async def test_a_reset_forgets_calls_and_stops_them(telephone: "Telephone") -> None:
    telephone.ours.twiml("/voice", '<Pause length="100"/>')
    call = await telephone.call()
    await telephone.reached(call.sid, "in-progress")
    assert (await telephone.control.delete("/_simulator")).status_code == 204
    assert telephone.ledger.calls == []
    with pytest.raises(TwilioRestException):
        await telephone.api.calls(call.sid).fetch_async()


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("callees/+12125550123", {"behaviour": "dances"}),
        ("callees/+12125550123", {}),
        ("callbacks", {"drop": 2}),
        ("callbacks", {"lose": 1}),
        ("faults", [{"target": "nobody", "kind": "reset"}]),
    ],
)
async def test_a_control_that_makes_no_sense_is_refused(telephone: "Telephone", route: str, body: object) -> None:
    answer = await telephone.control.put(f"/_simulator/{route}", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"]


async def test_calls_beyond_the_accounts_pace_stay_queued(make_telephone: Callable[..., Any]) -> None:
    async with make_telephone(calls_per_second=0.1, behaviours={"busy": 1.0}) as telephone:
        calls = await asyncio.gather(*(telephone.call(f"+121255501{n:02}") for n in range(20, 28)))
        await asyncio.gather(*(telephone.ended(call.sid) for call in calls))
        waited = [int((await telephone.api.calls(call.sid).fetch_async()).queue_time) for call in calls]
        assert waited.count(0) == 1
        assert sorted(waited)[-1] > sorted(waited)[1]
        assert {entry.status for entry in telephone.ledger.calls} == {"busy"}


def test_a_population_of_unknown_behaviours_is_refused(make_telephone: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="dances"):
        asyncio.run(make_telephone(behaviours={"dances": 1.0}).__aenter__())


async def test_the_control_routes_need_no_credential_but_the_api_does(telephone: "Telephone") -> None:
    async with httpx.AsyncClient(base_url=telephone.url) as anybody:
        assert (await anybody.get("/_simulator/ledger")).status_code == 200
        path = f"/2010-04-01/Accounts/{telephone.api.account_sid}.json"
        assert (await anybody.get(path)).status_code == 401
