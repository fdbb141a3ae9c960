"""MongoDB from the log: built beside the live documents, compared with them, and put in their place.

Three steps, each of which may be broken off at any moment and is gone on with by the next run:
1. the new documents follow the log to where the live ones stand, in batches that are transactions;
2. the live ones are held still for as long as the rest and the comparison take;
3. the new ones take their place, and the writers go on from there.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from nats.aio.client import Client
from pymongo import AsyncMongoClient

from campaign_stats.store import connect
from campaign_stats.subscriber import FILTERS
from centralita.replay.folding import event_in
from centralita.replay.reading import read
from centralita.replay.shadow import Document, Projection, digest, identity_of
from contracts import Event
from contracts.streams import CALLS

BATCH = 500
NEAR = 1000
"""So near (in sequences) the live documents may move on while the new ones follow; then they are held."""

Progress = Callable[[str, int, int], None]
"""CallInput the step, and how many of how many sequences are done."""


class OtherLog(RuntimeError):
    """The live documents stand further than this log ends: they were made from another one."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was built, up to `sequence`. `live_digest`: none if there were no live documents.

    `compared_at`: where both stood then; `different`: ``<collection>/<id>`` of documents that were not equal.
    """

    sequence: int
    digest: str
    live_digest: str | None
    compared_at: int
    documents: int
    different: tuple[str, ...]
    swapped: bool

    @property
    def equal(self) -> bool:
        """Whether the live documents were what the log says."""
        return self.live_digest is None or self.live_digest == self.digest


async def rebuild(
    client: Client, mongo_url: str, database: str, *, check: bool = False, progress: Progress | None = None
) -> Rebuilt:
    """Builds the projection anew and puts it in its place; `check`: only compares. Raises OtherLog, PyMongoError."""
    told = progress or (lambda _step, _done, _of: None)
    info = await client.jetstream().stream_info(CALLS.name)
    async with _connected(mongo_url) as mongo:
        live, new = Projection(mongo, database), Projection(mongo, f"{database}_rebuild")
        standing = await live.standing()
        if standing.swapping_to is not None:  # broken off in the last step: what was to be compared is gone
            return await _swap(live, new, standing.swapping_to, None, told)
        if standing.sequence > info.state.last_seq:
            raise OtherLog(
                f"the log ends at {info.state.last_seq}, the documents in {database} stand at {standing.sequence}"
            )
        identity = identity_of(str(info.created))
        place = await new.begin(identity)
        if place > standing.sequence > 0:
            await new.drop()
            place = await new.begin(identity)
        rebuilding = _Rebuilding(client, live, new, place, told)
        return await rebuilding.run(info.state.last_seq, check=check)


@dataclass
class _Rebuilding:
    client: Client
    live: Projection
    new: Projection
    place: int
    told: Progress

    async def run(self, last: int, *, check: bool) -> Rebuilt:
        while (standing := await self.live.standing()).sequence - self.place > NEAR:
            await self._follow("building", standing.sequence)
        stood_at = await self.live.fence()
        try:
            await self._follow("catching up", stood_at or last)
            compared = await self._compare(stood_at)
        except BaseException:
            await self._release(stood_at)
            raise
        if check:
            await self._release(stood_at)
            await self.new.drop()
            return compared
        await self._follow("to the end of the log", max(last, stood_at))
        await self.live.note_swap(self.place, stood_at)
        return await _swap(self.live, self.new, self.place, compared, self.told)

    async def _release(self, stood_at: int) -> None:
        if stood_at:
            await self.live.release(stood_at)

    async def _follow(self, step: str, upto: int) -> None:
        """Brings the new documents to `upto`."""
        batch: list[tuple[int, Event]] = []
        self.told(step, self.place, upto)
        if self.place >= upto:
            return
        async for message in read(self.client, CALLS.name, filters=FILTERS, start=self.place + 1, upto=upto):
            event = event_in(message)
            if isinstance(event, Event):
                batch.append((message.sequence, event))
            if len(batch) == BATCH:
                await self._apply(step, batch, message.sequence, upto)
                batch = []
        await self._apply(step, batch, upto, upto)

    async def _apply(self, step: str, batch: list[tuple[int, Event]], place: int, upto: int) -> None:
        await self.new.store.apply(self.place, batch, upto=place)
        self.place = place
        self.told(step, place, upto)

    async def _compare(self, stood_at: int) -> Rebuilt:
        ours = await self.new.digests()
        theirs = await self.live.digests() if stood_at else None
        names = ours.keys() | theirs.keys() if theirs is not None else set()
        different = tuple(sorted(name for name in names if ours.get(name) != (theirs or {}).get(name)))
        live_digest = None if theirs is None else digest(theirs)
        return Rebuilt(self.place, digest(ours), live_digest, self.place, len(ours), different, swapped=False)


async def _swap(live: Projection, new: Projection, sequence: int, compared: Rebuilt | None, told: Progress) -> Rebuilt:
    told("taking their place", 0, 1)
    await new.replace(live)
    await live.release(sequence)
    await new.drop()
    told("taking their place", 1, 1)
    if compared is not None:
        return replace(compared, sequence=sequence, swapped=True)
    found = await live.digests()
    return Rebuilt(sequence, digest(found), None, sequence, len(found), (), swapped=True)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[AsyncMongoClient[Document]]:
    client = connect(url)
    try:
        yield client
    finally:
        await client.close()
