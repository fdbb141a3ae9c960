"""Reading stored messages in pages, or the newest of several subjects, without a consumer.

This is the batched direct get of ADR-31 (nats-architecture-and-design), for which nats-py has no call. Any node of a
cluster answers, also one that lags behind the leader.

The server counts the messages that follow a page. On a filter with a wildcard that costs as much as the log after the
page is long: 21 ms at 1,200,000 messages (law 11). On one literal subject it costs the same from any sequence.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.js.api import RawStreamMsg
from nats.js.errors import APIError

from chassis.leader_retry import REQUEST_TIMEOUT_SECONDS

MAX_PAGE = 256
_END_OF_PAGE, _NOTHING_FOUND, _NO_RESPONDERS = "204", "404", "503"


@dataclass(frozen=True, slots=True)
class Page:
    """Messages in the order of the stream, and whether more follow on the same filter."""

    messages: list[RawStreamMsg]
    has_more: bool


async def get_page(
    client: Client,
    stream: str,
    subject: str,
    *,
    start_sequence: int = 1,
    start_time: datetime | None = None,
    limit: int = MAX_PAGE,
) -> Page:
    """Returns up to `limit` messages on `subject` from `start_sequence` on, or from `start_time` on if it is given.

    Raises an error of nats-py.
    """
    start = {"start_time": start_time.isoformat()} if start_time else {"seq": start_sequence}
    return await _request(client, stream, {**start, "batch": limit, "next_by_subj": subject})


async def get_newest_of_each(client: Client, stream: str, filters: Sequence[str]) -> list[RawStreamMsg]:
    """Returns the newest message of each subject that matches a filter, in the order of the stream.

    The answer is a state that the stream had at one moment, unless a message was deleted meanwhile: then those after it
    may be missing. Raises an error of nats-py; an APIError with code 413 if more than 1,024 subjects match.
    """
    return (await _request(client, stream, {"multi_last": list(filters)})).messages


async def get_newest(client: Client, stream: str, filter: str) -> RawStreamMsg | None:
    """Returns the newest message on a filter that the answering node has, or None. Raises an error of nats-py."""
    messages = (await _request(client, stream, {"last_by_subj": filter}, is_batch=False)).messages
    return messages[0] if messages else None


async def _request(client: Client, stream: str, query: Mapping[str, object], *, is_batch: bool = True) -> Page:
    """Returns the messages of one request. The server ends those of a batch with a status, a single one with none."""
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    messages: list[RawStreamMsg] = []
    try:
        await client.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(query).encode(), reply=inbox)
        while True:
            message = await subscription.next_msg(timeout=REQUEST_TIMEOUT_SECONDS)
            headers = message.headers or {}
            match headers.get("Status"):
                case None:
                    messages.append(_raw_message(message, headers))
                    if not is_batch:
                        return Page(messages, False)
                case status if status == _END_OF_PAGE:
                    return Page(messages, int(headers.get("Nats-Num-Pending", "0")) > 0)
                case status if status == _NOTHING_FOUND:
                    return Page(messages, False)
                case status if status == _NO_RESPONDERS:
                    raise NoRespondersError
                case status:
                    raise APIError(code=int(status), description=headers.get("Description"))
    finally:
        await subscription.unsubscribe()


def _raw_message(message: Msg, headers: dict[str, str]) -> RawStreamMsg:
    return RawStreamMsg(
        subject=headers["Nats-Subject"],
        seq=int(headers["Nats-Sequence"]),
        data=message.data,
        headers=headers,
        stream=headers["Nats-Stream"],
        time=datetime.fromisoformat(headers["Nats-Time-Stamp"]),
    )
