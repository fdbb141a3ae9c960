"""Twilio's REST resources as JSON: a call, a page of calls, the account."""

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import urlencode

from pydantic import JsonValue

from simulators.twilio.call import API_VERSION, Call, now

_SUBRESOURCES = {
    "notifications": "Notifications",
    "recordings": "Recordings",
    "payments": "Payments",
    "events": "Events",
    "siprec": "Siprec",
    "streams": "Streams",
    "transcriptions": "Transcriptions",
    "user_defined_message_subscriptions": "UserDefinedMessageSubscriptions",
    "user_defined_messages": "UserDefinedMessages",
}
_PRICE_PER_MINUTE = 0.014
_PRICED_AFTER_SECONDS = 10.0
_ACCOUNT_CREATED = datetime(2024, 1, 1, tzinfo=UTC)


def call_resource(call: Call) -> dict[str, JsonValue]:
    """Returns the call resource. As at Twilio, its price is null until some time after the end."""
    path = f"/{API_VERSION}/Accounts/{call.account_sid}/Calls/{call.sid}"
    duration = call.entry.duration
    return {
        "sid": call.sid,
        "date_created": format_datetime(call.created_at),
        "date_updated": format_datetime(call.updated_at),
        "parent_call_sid": None,
        "account_sid": call.account_sid,
        "to": call.entry.to,
        "to_formatted": _formatted(call.entry.to),
        "from": call.entry.from_,
        "from_formatted": _formatted(call.entry.from_),
        "phone_number_sid": None,
        "status": call.entry.status,
        "start_time": _instant(call.started_at),
        "end_time": _instant(call.ended_at),
        "duration": str(duration) if duration is not None else None,
        "price": _price(call),
        "price_unit": "USD",
        "direction": "outbound-api",
        "answered_by": call.entry.answered_by,
        "api_version": API_VERSION,
        "forwarded_from": None,
        "group_sid": None,
        "caller_name": None,
        "queue_time": str(call.queue_time),
        "trunk_sid": None,
        "uri": f"{path}.json",
        "subresource_uris": {name: f"{path}/{part}.json" for name, part in _SUBRESOURCES.items()},
    }


def call_page(
    account_sid: str, calls: Sequence[Call], *, page: int, page_size: int, filters: Sequence[tuple[str, str]]
) -> dict[str, JsonValue]:
    """Returns one page of `calls` (all that match), with the links that the SDK follows to the other pages."""

    def uri(number: int) -> str:
        query = urlencode([*filters, ("PageSize", str(page_size)), ("Page", str(number))])
        return f"/{API_VERSION}/Accounts/{account_sid}/Calls.json?{query}"

    first = page * page_size
    page_calls = calls[first : first + page_size]
    return {
        "calls": [call_resource(call) for call in page_calls],
        "start": first,
        "end": max(first, first + len(page_calls) - 1),
        "page": page,
        "page_size": page_size,
        "uri": uri(page),
        "first_page_uri": uri(0),
        "previous_page_uri": uri(page - 1) if page > 0 else None,
        "next_page_uri": uri(page + 1) if first + page_size < len(calls) else None,
    }


def account_resource(account_sid: str) -> dict[str, JsonValue]:
    """Returns the account resource, without its token."""
    path = f"/{API_VERSION}/Accounts/{account_sid}"
    return {
        "sid": account_sid,
        "auth_token": None,
        "friendly_name": "Simulated account",
        "owner_account_sid": account_sid,
        "status": "active",
        "type": "Full",
        "date_created": format_datetime(_ACCOUNT_CREATED),
        "date_updated": format_datetime(_ACCOUNT_CREATED),
        "uri": f"{path}.json",
        "subresource_uris": {"calls": f"{path}/Calls.json", "recordings": f"{path}/Recordings.json"},
    }


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else format_datetime(instant)


def _formatted(number: str) -> str:
    if number.startswith("+1") and len(number) == 12:
        return f"({number[2:5]}) {number[5:8]}-{number[8:]}"
    return number


def _price(call: Call) -> str | None:
    if call.ended_at is None or not call.entry.duration:
        return None
    seconds_since_end = (now() - call.ended_at).total_seconds() * call.clock.speed
    return f"-{call.billed_minutes() * _PRICE_PER_MINUTE:.5f}" if seconds_since_end > _PRICED_AFTER_SECONDS else None
