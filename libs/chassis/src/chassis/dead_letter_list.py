"""Lists of dead letters, and their numbers by stream, consumer, kind of message and reason.

The stream `DEAD_LETTERS` has no index of them, and may have 256 MB of sealed copies. So one request reads at most
`MAX_READ` dead letters and a little more than `MAX_READ_BYTES`. Its answer names the sequence at which the next request
goes on.
"""

import hashlib
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

from nats.aio.client import Client

from chassis.dead_letters import StoredDeadLetter
from chassis.direct_get import StoredMessage, get_page
from chassis.leader_retry import retry_until_leader
from contracts.dead_letter_queries import (
    MAX_LISTED,
    DeadLetterGroup,
    DeadLetterGroups,
    DeadLetterGroupsQuery,
    DeadLetterList,
    DeadLetterListQuery,
    ListedDeadLetter,
)
from contracts.invalid import bounded
from contracts.streams import DEAD_LETTERS

MAX_READ = 2_000
"""The maximum number of dead letters that one request reads."""
MAX_READ_BYTES = 16 * 1024 * 1024
"""A request reads no further page after so many bytes. A page has at most 8 MB."""
MAX_ANSWER_BYTES = 400_000
"""An answer ends after so many bytes: reasons may name fields of 300 characters, each of 4 bytes. NATS accepts 1 MB."""
MAX_NAME_LENGTH = 300
_DIGITS = re.compile(r"\d+")


async def list_dead_letters(client: Client, query: DeadLetterListQuery) -> DeadLetterList:
    """Returns the dead letters that match, the oldest first. Raises an error of nats-py."""
    found: list[ListedDeadLetter] = []
    size = 0
    position = _Position(query.after_sequence)
    async with aclosing(_read(client, position)) as messages:
        async for message in messages:
            listed = listed_of(StoredDeadLetter.read(message.seq, message.time, message.headers, message.data))
            if _matches(query, listed):
                found.append(listed)
                size += len(listed.model_dump_json().encode())
            if len(found) == query.limit or size >= MAX_ANSWER_BYTES:
                position.stop_at(message)
                break
    return DeadLetterList(dead_letters=tuple(found), read_sequence=position.sequence, has_more=position.has_more)


async def count_dead_letters(client: Client, query: DeadLetterGroupsQuery) -> DeadLetterGroups:
    """Returns the groups of the dead letters that match, the largest first. Raises an error of nats-py."""
    groups: dict[tuple[str, ...], _Group] = {}
    position = _Position(query.after_sequence)
    async with aclosing(_read(client, position)) as messages:
        async for message in messages:
            listed = listed_of(StoredDeadLetter.read(message.seq, message.time, message.headers, message.data))
            if not _matches(query, listed):
                continue
            groups.setdefault(_group_of(listed), _Group(listed)).add(listed)
    ordered = sorted(groups.items(), key=lambda item: (-item[1].count, item[1].first.sequence))
    return DeadLetterGroups(
        groups=tuple(group.counted(kind, reason) for (_, _, kind, reason), group in ordered[:MAX_LISTED]),
        other_count=sum(group.count for _, group in ordered[MAX_LISTED:]),
        read_sequence=position.sequence,
        has_more=position.has_more,
    )


def listed_of(stored: StoredDeadLetter) -> ListedDeadLetter:
    """Returns a dead letter without its message, with bounded texts: those of older builds had no bounds."""
    dead = stored.dead_letter
    listed = ListedDeadLetter(
        sequence=stored.sequence,
        stored_at=stored.at,
        stream=dead.stream[:MAX_NAME_LENGTH],
        message_sequence=dead.sequence,
        consumer=dead.consumer[:MAX_NAME_LENGTH],
        subject=dead.subject[:MAX_NAME_LENGTH],
        deliveries=dead.deliveries,
        reasons=tuple(bounded(dead.reasons)),
    )
    return listed.model_copy(update={"group": _id_of(_group_of(listed))})


def _group_of(listed: ListedDeadLetter) -> tuple[str, str, str, str]:
    """Returns the stream, the consumer, the kind of message and the first reason with ``#`` in place of numbers."""
    kind = ".".join(listed.subject.split(".")[:2])
    reason = _DIGITS.sub("#", listed.reasons[0]) if listed.reasons else ""
    return listed.stream, listed.consumer, kind, reason


def _id_of(group: tuple[str, ...]) -> str:
    """Returns a short id of a group, for addresses. Digits are left out: a digest would reveal a number."""
    text = "\0".join(_DIGITS.sub("#", part) for part in group)
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]


@dataclass(slots=True)
class _Position:
    """How far a request has read: up to `sequence`."""

    sequence: int
    has_more: bool = False

    def stop_at(self, message: StoredMessage) -> None:
        """Notes that the rest of the page was not looked at."""
        self.has_more = self.has_more or message.seq < self.sequence
        self.sequence = message.seq


@dataclass(slots=True)
class _Group:
    first: ListedDeadLetter
    count: int = 0
    newest_at: datetime | None = None

    def add(self, listed: ListedDeadLetter) -> None:
        self.count += 1
        self.newest_at = listed.stored_at

    def counted(self, kind: str, reason: str) -> DeadLetterGroup:
        return DeadLetterGroup(
            stream=self.first.stream,
            consumer=self.first.consumer,
            message=kind,
            reason=reason,
            count=self.count,
            oldest_at=self.first.stored_at,
            newest_at=self.newest_at or self.first.stored_at,
            first_sequence=self.first.sequence,
            group=self.first.group,
        )


def _matches(query: DeadLetterListQuery | DeadLetterGroupsQuery, listed: ListedDeadLetter) -> bool:
    is_in_group = not isinstance(query, DeadLetterListQuery) or query.group in (None, listed.group)
    return is_in_group and query.stream in (None, listed.stream) and query.consumer in (None, listed.consumer)


async def _read(client: Client, position: _Position) -> AsyncGenerator[StoredMessage, None]:
    """Yields the messages after a position, which it moves on by each page, up to the limits of one request."""
    count, size, has_more = 0, 0, True
    while has_more and count < MAX_READ and size < MAX_READ_BYTES:
        start = position.sequence + 1
        page = await retry_until_leader(
            lambda: get_page(client, DEAD_LETTERS.name, ">", start_sequence=start)  # noqa: B023
        )
        count, size = count + len(page.messages), size + sum(len(message.data) for message in page.messages)
        position.has_more = has_more = page.has_more
        if page.messages:
            position.sequence = page.messages[-1].seq
        for message in page.messages:
            yield message
