"""Moves streams of older builds from the central account to the account of their owner, while no service runs.

A stream cannot change its account, and nats-server restores no snapshot through an import. So each message is stored
once more, in a stream of the same name in the account of the owner. It keeps its sequence, its subject and its headers,
apart from those of the server (`chassis.stream_copy`): what names a sequence of the stream stays valid. Contacts that
were delivered and not acknowledged are delivered again (law 6); the pull consumers of CONTACTS are created by
call-orchestrator when it takes contacts.

`CACHES` are not copied: without them, speech is synthesized and answers are generated once more.

If the command is interrupted, it is run again: each step finds out from the server what is done.

| found on the server | next step |
|---|---|
| the stream in the central account | its subjects change, so it receives no more messages; the other one is created |
| the other one is incomplete | it is continued after its last message |
| the other one has all messages | it gets its subjects and settings, and services accept it |
| the other one is complete | the stream in the central account is deleted |
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import StreamConfig, StreamInfo, SubjectTransform
from nats.js.errors import NotFoundError

from chassis.direct_get import StoredMessage, get_page
from chassis.leader_retry import retry_until_leader
from chassis.misplaced_streams import OWNED, Misplaced, find_misplaced, incomplete, is_incomplete
from chassis.stream_api import jetstream_of
from chassis.stream_copy import GAPS, CopyInterrupted, Writer, kept_headers
from chassis.stream_replacement import create_stream
from contracts.accounts import CENTRAL, account_of_stream, stored_again
from contracts.buckets import ANSWERS, CALL_CLIPS, CLIPS

CACHES = tuple(bucket.stream.name for bucket in (CLIPS, CALL_CLIPS, ANSWERS))
_ORIGIN = "centralita-moved-from"
"""In the metadata of a stream: which one it was in the central account, and the last sequence of that."""
_BATCH, _REPORTED_MESSAGES = 500, 50_000
_LAG_PAUSE_SECONDS, _ANSWER_SECONDS = 0.05, 600.0

Report = Callable[[str], None]
"""Called before each step with what follows."""


class BothInUse(Exception):
    """A stream has messages in both accounts, and the one is no copy of the other. Nothing of it was changed."""

    def __init__(self, stream: str) -> None:
        super().__init__(
            f"the stream {stream} is in the account {CENTRAL} and in {account_of_stream(stream)}, and both were in "
            "use: the former build ran after the migration had begun. Restore the copy of the volume of NATS, or "
            "delete the stream that is wrong as the user admin"
        )


async def move_streams(client: Client, report: Report) -> None:
    """Moves all streams that are in the central account and have an owner.

    Raises BothInUse, CopyInterrupted, and the errors of nats-py.
    """
    for stream in sorted(OWNED, key=lambda one: one.name not in CACHES):  # the caches first: their space is free then
        if misplaced := await retry_until_leader(partial(find_misplaced, client, stream)):
            await _Move(client, misplaced, report).run()


@dataclass(frozen=True, slots=True)
class _Move:
    client: Client
    found: Misplaced
    report: Report

    async def run(self) -> None:
        """Does what is left to do."""
        former, owned = self.found.former, self.found.owned
        if self._name not in CACHES and former.state.last_seq:
            if owned and not _is_copy(owned, former):
                if owned.state.last_seq and not is_incomplete(owned):
                    raise BothInUse(self._name)
                await self._owned.delete_stream(self._name)
                owned = None
            if owned is None or is_incomplete(owned):
                await self._complete(await self._frozen(), owned)
        self.report(f"the stream {self._name} of {CENTRAL} is deleted")
        await self._former.delete_stream(self._name)

    @property
    def _name(self) -> str:
        return self.found.stream.name

    @property
    def _former(self) -> JetStreamContext:
        return jetstream_of(self.client, self._name, _ANSWER_SECONDS, account=CENTRAL)

    @property
    def _owned(self) -> JetStreamContext:
        return jetstream_of(self.client, self._name, _ANSWER_SECONDS)

    async def _frozen(self) -> StreamInfo:
        """Makes the server store nothing more in the stream of the central account."""
        config = replace(self.found.former.config, subjects=[f"moved.{self._name}"], allow_direct=True)
        await self._former.update_stream(config)
        return await self._former.stream_info(self._name)

    async def _complete(self, former: StreamInfo, owned: StreamInfo | None) -> None:
        """Creates the stream in the account of its owner, or continues it, until it has all messages."""
        self.report(f"the messages of {self._name} are copied to the account {account_of_stream(self._name)}")
        if owned and not _is_copy(owned, former):
            await self._owned.delete_stream(self._name)
            owned = None
        owned = owned or await self._create(former)
        await self._fill(owned.state.last_seq, former)
        await self._owned.purge_stream(self._name, subject=GAPS)
        messages = (await self._owned.stream_info(self._name)).state.messages
        if messages != former.state.messages and not former.config.max_age:
            await self._owned.delete_stream(self._name)
            raise CopyInterrupted(f"{self._name} has {former.state.messages} messages, its copy had {messages}")
        await self._owned.update_stream(self._config(former))

    async def _create(self, former: StreamInfo) -> StreamInfo:
        state, config = former.state, self._config(former)
        config = replace(
            config,
            subjects=[stored_again(self._name, ">")],
            subject_transform=SubjectTransform(src=stored_again(self._name, ">"), dest=">"),
            republish=None,
            max_bytes=None,  # a message is longer, because its time becomes a header
            max_msg_size=-1,
            first_seq=state.first_seq if state.messages else state.last_seq,
            metadata=incomplete(config.metadata or {}),
        )
        await create_stream(self._owned, config)
        return await self._owned.stream_info(self._name)

    def _config(self, former: StreamInfo) -> StreamConfig:
        """Returns the settings of the stream in its own account. Provisioning sets those of this build later."""
        own = {name: one for name, one in (former.config.metadata or {}).items() if not name.startswith("_nats")}
        metadata = {**own, _ORIGIN: _origin(former)}
        return replace(self.found.former.config, subjects=[*self.found.stream.subjects], metadata=metadata)

    async def _fill(self, position: int, former: StreamInfo) -> None:
        end_sequence, reported = former.state.last_seq, position
        writer = Writer(self.client, self._name, position)
        async for page in self._pages(position, end_sequence):
            for message in page:
                await writer.fill_gap(message.seq - 1)
                await writer.add(message.subject, message.data, kept_headers(message))
            if page[-1].seq - reported >= _REPORTED_MESSAGES:
                reported = page[-1].seq
                self.report(f"{self._name}: {reported:,} of {end_sequence:,}")
        await writer.fill_gap(end_sequence)
        await writer.flush()

    async def _pages(self, position: int, end_sequence: int) -> AsyncIterator[list[StoredMessage]]:
        """Yields the messages after a position. A node that lags ends too early: the leader knows."""
        while position < end_sequence:
            page = await retry_until_leader(
                partial(
                    get_page,
                    self.client,
                    self._name,
                    ">",
                    start_sequence=position + 1,
                    limit=_BATCH,
                    account=CENTRAL,
                )
            )
            if page.messages:
                yield page.messages
                position = page.messages[-1].seq
            elif await retry_until_leader(partial(self._is_at_end, position)):
                return
            else:
                await asyncio.sleep(_LAG_PAUSE_SECONDS)

    async def _is_at_end(self, position: int) -> bool:
        try:
            await self._former.get_msg(self._name, seq=position + 1, subject=">", next=True)
        except NotFoundError:
            return True
        return False


def _origin(former: StreamInfo) -> str:
    return json.dumps([str(former.created), former.state.last_seq])


def _is_copy(owned: StreamInfo, former: StreamInfo) -> bool:
    """Returns whether a stream is the copy of another one, to which nothing was added meanwhile."""
    return (owned.config.metadata or {}).get(_ORIGIN) == _origin(former)
