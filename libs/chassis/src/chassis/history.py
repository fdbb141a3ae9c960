"""Reading all messages on a few filters of a stream, at a cost that does not depend on the length of the stream.

| method | reads | use it |
|---|---|---|
| `newest` | the newest message on a filter, from the leader | for a decision, above all one that appends nothing |
| `newest_of_any_node` | the same from any node, which may lag | if an older answer does no harm |
| `read` | all messages on the filters of one call or campaign | for its history, from any sequence |
| `read_after` | the messages of a filter after a sequence | for an attempt or a turn, from near the end |
| `read_period` | the messages of a filter in a period | for a period near the end |

The server counts what follows a page, so a page on a filter with a wildcard must begin near the end (`direct_get`).
`read` therefore first finds the subjects that match its filters, each with its newest message, and then reads a page of
each literal subject.

Nodes of a cluster may lag. `read` asks the leader for the newest message on each filter, and repeats a request that a
node answers without it. Its result is all messages up to one sequence, without those that were appended meanwhile.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from nats.aio.client import Client
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from chassis.direct_get import Page, StoredMessage, get_newest, get_newest_of_each, get_page
from chassis.leader_get import get_newest_of_leader
from chassis.leader_retry import MAX_ELECTION_SECONDS, retry_until_leader
from chassis.stream_scan import next_at_leader

_LAG_PAUSE_SECONDS = 0.02
_FIRST_INSTANT, _LAST_INSTANT = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_WILDCARDS = ("*", ">")


class History:
    """The stored messages of one stream. Every method repeats its requests while the cluster has no leader."""

    def __init__(self, client: Client, stream: str) -> None:
        self._client = client
        self._stream = stream

    async def newest(self, filter: str) -> RawStreamMsg | None:
        """Returns the newest message on a filter, from the leader."""
        try:
            return await retry_until_leader(lambda: get_newest_of_leader(self._client, self._stream, filter))
        except NotFoundError:
            return None

    async def newest_of_any_node(self, filter: str) -> RawStreamMsg | None:
        """Returns the newest message on a filter, from any node."""
        return await retry_until_leader(lambda: get_newest(self._client, self._stream, filter))

    async def read(self, filters: Sequence[str], after_sequence: int) -> list[StoredMessage]:
        """Returns all messages on the filters after a sequence, in the order of the log. Raises TimeoutError."""
        async with asyncio.timeout(MAX_ELECTION_SECONDS):
            while True:
                found = await asyncio.gather(*(self.newest(filter) for filter in filters))
                newest = [message for message in found if message]
                if _last_sequence(newest) <= after_sequence:
                    return []
                messages = await self._read_up_to(newest, filters, after_sequence)
                if messages is not None:
                    return messages
                await asyncio.sleep(_LAG_PAUSE_SECONDS)  # then again: the newest may have been deleted

    async def _read_up_to(
        self, newest: Sequence[RawStreamMsg], filters: Sequence[str], after_sequence: int
    ) -> list[StoredMessage] | None:
        """Returns the messages, or None if a node that lags has answered, or a message was deleted meanwhile."""
        if any(wildcard in filter for filter in filters for wildcard in _WILDCARDS):
            required_sequence = _last_sequence(newest)
            newest = await retry_until_leader(lambda: get_newest_of_each(self._client, self._stream, filters))
            if _last_sequence(newest) < required_sequence:
                return None
        subjects = [last for last in newest if (last.seq or 0) > after_sequence]
        pages = await asyncio.gather(*(self._pages(last.subject or "", after_sequence) for last in subjects))
        for last, messages in zip(subjects, pages, strict=True):
            if _last_sequence(messages) < (last.seq or 0):
                return None
        end_sequence = _last_sequence(newest)
        found = [message for messages in pages for message in messages if (message.seq or 0) <= end_sequence]
        return sorted(found, key=lambda message: message.seq or 0)

    async def read_after(self, filter: str, after_sequence: int, known_sequence: int | None) -> list[StoredMessage]:
        """Returns the messages on a filter after a sequence; at least up to `known_sequence`. Raises TimeoutError."""
        async with asyncio.timeout(MAX_ELECTION_SECONDS):
            while True:
                messages = await self._pages(filter, after_sequence)
                if max(_last_sequence(messages), after_sequence) >= (known_sequence or 0):
                    return messages
                await asyncio.sleep(_LAG_PAUSE_SECONDS)

    async def read_period(self, filter: str, start_at: datetime, end_at: datetime) -> list[StoredMessage]:
        """Returns the messages that the server stored from `start_at` to `end_at`. Raises TimeoutError."""
        async with asyncio.timeout(MAX_ELECTION_SECONDS):
            while True:
                messages = await self._pages(filter, 0, start_at, end_at)
                if await self._is_period_complete(filter, messages, start_at, end_at):
                    return [message for message in messages if _time(message) <= end_at]
                await asyncio.sleep(_LAG_PAUSE_SECONDS)

    async def _is_period_complete(
        self, filter: str, messages: Sequence[StoredMessage], start_at: datetime, end_at: datetime
    ) -> bool:
        """Returns whether the leader has no further message of the period.

        The leader finds the next message on a filter at the same cost from any sequence. The newest one, whose cost
        grows with the log, is read only if the period has no message and an earlier one exists.
        """
        if messages and _time(messages[-1]) > end_at:
            return True
        following = await next_at_leader(self._client, self._stream, filter, _last_sequence(messages) + 1)
        if following is None or _time(following) > end_at:
            return True
        if messages or _time(following) >= start_at:
            return False
        newest = await self.newest(filter)
        return newest is None or _time(newest) < start_at

    async def _pages(
        self, filter: str, after_sequence: int, start_at: datetime | None = None, end_at: datetime = _LAST_INSTANT
    ) -> list[StoredMessage]:
        """Returns the messages after a sequence or from `start_at` on, to the first page that goes beyond `end_at`."""
        page = await self._page(filter, after_sequence + 1, start_at)
        messages = page.messages
        while page.has_more and _time(messages[-1]) <= end_at:
            page = await self._page(filter, _last_sequence(messages) + 1)
            messages += page.messages
        return messages

    async def _page(self, filter: str, start_sequence: int, start_time: datetime | None = None) -> Page:
        return await retry_until_leader(
            lambda: get_page(self._client, self._stream, filter, start_sequence=start_sequence, start_time=start_time)
        )


def _last_sequence(messages: Sequence[RawStreamMsg]) -> int:
    return max((message.seq or 0 for message in messages), default=0)


def _time(message: RawStreamMsg) -> datetime:
    """Returns when the server stored the message."""
    return message.time or _FIRST_INSTANT
