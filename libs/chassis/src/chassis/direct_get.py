"""Reading stored messages in pages, or the newest of several subjects, without a consumer.

This is the batched direct get of ADR-31 (nats-architecture-and-design), for which nats-py has no call. Any node of a
cluster answers, also one that lags behind the leader. A page is therefore the stored messages from a sequence on up to
some sequence: it may lack newer ones, but it has no gap. Each message and the end of the page name the message before
them, so a reply that was lost on the way is detected.

The server counts the messages that follow a page. On a filter with a wildcard that costs as much as the log after the
page is long: 21 ms at 1,200,000 messages (law 11). On one literal subject, or on ``>``, it costs the same from any
sequence.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError, TimeoutError
from nats.js.api import RawStreamMsg
from nats.js.errors import APIError

from chassis.leader_retry import REQUEST_TIMEOUT_SECONDS
from chassis.request_reply import replies_of
from contracts.accounts import api_subject
from contracts.envelope import first_stored_at

MAX_PAGE = 256
_MAX_PAGE_BYTES = 8 * 1024 * 1024
_END_OF_PAGE, _NOTHING_FOUND, _NO_RESPONDERS = "204", "404", "503"
_POSITION_HEADERS = (
    "Nats-Stream",
    "Nats-Subject",
    "Nats-Sequence",
    "Nats-Time-Stamp",
    "Nats-Last-Sequence",
    "Nats-Num-Pending",
)
_UNKNOWN = datetime.fromtimestamp(0, UTC)


@dataclass
class StoredMessage(RawStreamMsg):
    """A message of a stream. Unlike in nats-py, every field has a value."""

    subject: str = ""
    seq: int = 0
    data: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    stream: str = ""
    time: datetime = _UNKNOWN


@dataclass(frozen=True, slots=True)
class Page:
    """Messages in the order of the stream, and how many more follow on the same filter."""

    messages: list[StoredMessage]
    pending: int = 0

    @property
    def has_more(self) -> bool:
        """Whether more messages follow on the same filter."""
        return self.pending > 0


async def get_page(
    client: Client,
    stream: str,
    subject: str,
    *,
    start_sequence: int = 1,
    start_time: datetime | None = None,
    limit: int = MAX_PAGE,
    account: str | None = None,
) -> Page:
    """Returns up to `limit` messages on `subject` from `start_sequence` on, or from `start_time` on if it is given.

    `account`: in which the stream is, if it is not where it belongs. Raises an error of nats-py; TimeoutError also if a
    part of the page was lost on the way.
    """
    start = {"start_time": start_time.isoformat()} if start_time else {"seq": max(start_sequence, 1)}
    query = {**start, "batch": limit, "max_bytes": _MAX_PAGE_BYTES, "next_by_subj": subject}
    return await _request(client, stream, query, account=account)


async def get_newest_of_each(client: Client, stream: str, filters: Sequence[str]) -> list[StoredMessage]:
    """Returns the newest message of each subject that matches a filter, in the order of the stream.

    The answer is a state that the stream had at one moment, unless a message was deleted meanwhile: then those after it
    may be missing. Raises an error of nats-py; an APIError with code 413 if more than 1,024 subjects match.
    """
    return (await _request(client, stream, {"multi_last": list(filters)})).messages


async def get_next(client: Client, stream: str, filter: str, start_sequence: int) -> StoredMessage | None:
    """Returns the first message on a filter from `start_sequence` on that the answering node has, or None.

    Unlike a page, it costs the same wherever it is, also on a filter with wildcards: 0.2 to 2 ms with 200,000 messages.
    Raises an error of nats-py.
    """
    query = {"seq": max(start_sequence, 1), "next_by_subj": filter}
    messages = (await _request(client, stream, query, is_batch=False)).messages
    return messages[0] if messages else None


async def get_newest(client: Client, stream: str, filter: str) -> StoredMessage | None:
    """Returns the newest message on a filter that the answering node has, or None. Raises an error of nats-py."""
    messages = (await _request(client, stream, {"last_by_subj": filter}, is_batch=False)).messages
    return messages[0] if messages else None


async def get_first(client: Client, stream: str, filter: str) -> StoredMessage | None:
    """Returns the first message on a filter, or None. Raises an error of nats-py.

    Unlike for a page, the server does not count the messages that follow.
    """
    query = {"seq": 1, "next_by_subj": filter}
    messages = (await _request(client, stream, query, is_batch=False)).messages
    return messages[0] if messages else None


async def _request(
    client: Client, stream: str, query: Mapping[str, object], *, is_batch: bool = True, account: str | None = None
) -> Page:
    """Returns the messages of one request. The server ends those of a batch with a status, a single one with none."""
    replies, reply = await replies_of(client), _Reply(is_batch=is_batch)
    subject = replies.expect(reply.add)
    try:
        request = api_subject("DIRECT.GET", stream, account=account)
        await client.publish(request, json.dumps(query).encode(), reply=subject)
        return await reply.page()
    finally:
        replies.forget(subject)


class _Reply:
    """The messages of one request, as they arrive."""

    def __init__(self, *, is_batch: bool) -> None:
        self._is_batch = is_batch
        self._messages: list[StoredMessage] = []
        self._last_sequence = 0
        self._ended: asyncio.Future[Page] = asyncio.get_running_loop().create_future()

    def add(self, message: Msg) -> None:
        if self._ended.done():
            return
        headers = message.headers or {}
        if "Nats-Sequence" not in headers:  # a stored message may have a header "Status", too
            self._end(headers)
        elif not self._is_batch:
            self._ended.set_result(Page([stored_message(message)]))
        elif int(headers["Nats-Last-Sequence"]) != self._last_sequence:
            self._ended.set_exception(TimeoutError())
        else:
            self._messages.append(stored_message(message))
            self._last_sequence = self._messages[-1].seq

    def _end(self, headers: Mapping[str, str]) -> None:
        match headers.get("Status"):
            case status if status == _END_OF_PAGE:
                if int(headers.get("Nats-Last-Sequence", self._last_sequence)) != self._last_sequence:
                    self._ended.set_exception(TimeoutError())
                else:
                    self._ended.set_result(Page(self._messages, int(headers.get("Nats-Num-Pending", "0"))))
            case status if status == _NOTHING_FOUND:
                self._ended.set_result(Page([]))
            case status if status == _NO_RESPONDERS:
                self._ended.set_exception(NoRespondersError())
            case status:
                code = int(status) if status else None
                self._ended.set_exception(APIError(code=code, description=headers.get("Description")))

    async def page(self) -> Page:
        """Returns the page once it is complete. Raises TimeoutError if nothing more of it arrives in time."""
        while True:
            received = len(self._messages)
            await asyncio.wait([self._ended], timeout=REQUEST_TIMEOUT_SECONDS)
            if self._ended.done():
                return self._ended.result()
            if len(self._messages) == received:
                raise TimeoutError


def stored_message(message: Msg) -> StoredMessage:
    """Returns a stored message that the server sent with its position in the headers: by direct get, or live.

    The headers of the result are those of the sender.
    """
    headers = message.headers or {}
    position = {name: headers.pop(name, "") for name in _POSITION_HEADERS}
    return StoredMessage(
        subject=position["Nats-Subject"],
        seq=int(position["Nats-Sequence"]),
        data=message.data,
        headers=headers,
        stream=position["Nats-Stream"],
        time=first_stored_at(headers, datetime.fromisoformat(position["Nats-Time-Stamp"])),
    )
