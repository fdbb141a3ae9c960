"""Rebuild: MongoDB's documents are computed again from the log, compared with the live ones, and replace them.

A rebuild has three steps. Each may be interrupted at any moment, and the next run continues it.

1. The new documents are built in a database beside the live one, up to the live sequence, in transactional batches.
2. The live documents are fenced (see `projection_database`) while the new ones catch up and both are compared.
3. The new documents replace the live ones, and campaign-stats continues from their sequence.

An event that cannot be decoded or written is left out, as in campaign-stats, and reported.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pymongo
from nats.aio.client import Client
from pymongo import AsyncMongoClient

from campaign_stats.applying import apply_batch
from campaign_stats.store import connect
from centralita.replay.archived_log import Archive, check_archive, read_log
from centralita.replay.projection_database import Document, ProjectionDatabase, rebuild_identity, total_digest
from chassis.stream_api import jetstream_of
from contracts import Event, InvalidMessage
from contracts.filters import PROJECTION_FILTERS
from contracts.streams import CALLS

BATCH = 500
COLLECTION_SECONDS = 600
"""How long MongoDB may need for one command on a whole collection: the replacement, an index, or a full read."""
CONNECT_SECONDS = 5
MAX_LAG_BEFORE_FENCE = 1000
"""The live documents are fenced once the new ones are at most this many sequences behind."""

Progress = Callable[[str, int, int], None]
"""Called with the name of the stage, the number of done sequences and their total number."""


class DifferentLog(RuntimeError):
    """The live documents are ahead of the log, so they were built from another log."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The result of a rebuild: `documents` documents, built up to `sequence`.

    `live_digest`: None if there were no live documents. `compared_sequence`: the sequence of both at the comparison.
    `different`: ``<collection>/<id>`` of each document that was not equal. `left_out`: the sequences of the events that
    this run could not decode or write, with the reasons.
    """

    sequence: int
    digest: str
    live_digest: str | None
    compared_sequence: int
    documents: int
    different: tuple[str, ...]
    is_swapped: bool
    left_out: Mapping[int, Sequence[str]] = field(default_factory=dict)

    @property
    def is_equal(self) -> bool:
        """Whether the live documents were equal to the rebuilt ones, or did not exist."""
        return self.live_digest is None or self.live_digest == self.digest


async def rebuild(
    client: Client,
    mongo_url: str,
    database: str,
    *,
    archive: Archive | None = None,
    check: bool = False,
    progress: Progress | None = None,
) -> Rebuilt:
    """Builds the projection again and swaps it in; with `check`, only compares.

    Raises DifferentLog, WrongArchive, DamagedArchive, PyMongoError.
    """
    report = progress or (lambda *_: None)
    await check_archive(client, archive)
    info = await jetstream_of(client, CALLS.name).stream_info(CALLS.name)
    async with _connected(mongo_url) as mongo:
        live, new = ProjectionDatabase(mongo, database), ProjectionDatabase(mongo, f"{database}_rebuild")
        state = await live.state()
        if state.swap_sequence is not None:  # interrupted in the swap: the documents to compare with may be gone
            return await _swap(live, new, state.swap_sequence, None, report)
        if state.sequence > info.state.last_seq:
            raise DifferentLog(
                f"the log ends at {info.state.last_seq}, but the documents in the database {database} are at "
                f"{state.sequence}: they were made from another log. Give the --database of this log"
            )
        identity = rebuild_identity(str(info.created))
        sequence = await new.begin_rebuild(identity)
        if sequence > state.sequence > 0:
            await new.drop()
            sequence = await new.begin_rebuild(identity)
        running = _Rebuild(client, archive, live, new, sequence, report)
        return await running.run(info.state.last_seq, check=check)


@dataclass
class _Rebuild:
    """A rebuild in progress; `sequence` is that of the new documents."""

    client: Client
    archive: Archive | None
    live: ProjectionDatabase
    new: ProjectionDatabase
    sequence: int
    report: Progress
    left_out: dict[int, Sequence[str]] = field(default_factory=dict)

    async def run(self, last: int, *, check: bool) -> Rebuilt:
        while (state := await self.live.state()).sequence - self.sequence > MAX_LAG_BEFORE_FENCE:
            await self._build("building", state.sequence)
        fenced_sequence = await self.live.fence()
        try:
            await self._build("catching up", fenced_sequence or last)
            compared = await self._compare(fenced_sequence)
        except BaseException:
            await self._release(fenced_sequence)
            raise
        if check:
            await self._release(fenced_sequence)
            await self.new.drop()
            return compared
        await self._build("to the end of the log", max(last, fenced_sequence))
        await self.live.begin_swap(self.sequence, fenced_sequence)
        return await _swap(self.live, self.new, self.sequence, compared, self.report)

    async def _release(self, fenced_sequence: int) -> None:
        if fenced_sequence:
            await self.live.release(fenced_sequence)

    async def _build(self, stage: str, last: int) -> None:
        """Applies the events up to the sequence `last` to the new documents."""
        batch: list[tuple[int, Event]] = []
        self.report(stage, self.sequence, last)
        if self.sequence >= last:
            return
        start, filters = self.sequence + 1, PROJECTION_FILTERS
        events = read_log(self.client, self.archive, CALLS.name, filters, start_sequence=start, end_sequence=last)
        async for message in events:
            try:
                batch.append((message.sequence, message.stored_event().event))
            except InvalidMessage as error:
                self.left_out[message.sequence] = error.reasons
            if len(batch) == BATCH:
                await self._apply(stage, batch, message.sequence, last)
                batch = []
        await self._apply(stage, batch, last, last)

    async def _apply(self, stage: str, batch: list[tuple[int, Event]], sequence: int, last: int) -> None:
        async def on_refused(reasons: Mapping[int, Sequence[str]]) -> None:
            self.left_out.update(reasons)

        await apply_batch(self.new.store, self.sequence, batch, end_sequence=sequence, on_refused=on_refused)
        self.sequence = sequence
        self.report(stage, sequence, last)

    async def _compare(self, fenced_sequence: int) -> Rebuilt:
        rebuilt = await self.new.digests()
        live = await self.live.digests() if fenced_sequence else None
        names = rebuilt.keys() | live.keys() if live is not None else set()
        different = tuple(sorted(name for name in names if rebuilt.get(name) != (live or {}).get(name)))
        live_digest = None if live is None else total_digest(live)
        digest, count = total_digest(rebuilt), len(rebuilt)
        at, left_out = self.sequence, self.left_out  # the latter grows until the end of the log
        return Rebuilt(at, digest, live_digest, at, count, different, is_swapped=False, left_out=left_out)


async def _swap(
    live: ProjectionDatabase, new: ProjectionDatabase, sequence: int, compared: Rebuilt | None, report: Progress
) -> Rebuilt:
    report("replacing the live documents", 0, 1)
    await new.replace(live)
    await live.release(sequence)
    await new.drop()
    report("replacing the live documents", 1, 1)
    if compared is not None:
        return replace(compared, sequence=sequence, is_swapped=True)
    digests = await live.digests()
    return Rebuilt(sequence, total_digest(digests), None, sequence, len(digests), (), is_swapped=True)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[AsyncMongoClient[Document]]:
    client = connect(url, collection_seconds=COLLECTION_SECONDS)
    try:
        with pymongo.timeout(CONNECT_SECONDS):  # a missing server is reported at once
            await client.admin.command("ping")
        yield client
    finally:
        await client.close()
