"""MongoDB: the documents, the counters and the place in the log, moved together in one transaction (law 8)."""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from bson import Binary
from pymongo import AsyncMongoClient, ReplaceOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError, OperationFailure

from campaign_stats.projection import ALL, COUNTERS, CallDocument, Projected, call_of, project
from contracts import CallStatus, Event

CHECKPOINT = "campaign-stats"
_CONNECT_MILLISECONDS = 3_000
_ANSWER_MILLISECONDS = 20_000
_WRITE_CONFLICT = 112
"""``WriteConflict`` in MongoDB's ``error_codes.yml``."""

_REMEMBERED = 100
_SUMS = dict.fromkeys(COUNTERS, 1)

Document = dict[str, Any]


class Conflict(Exception):
    """Another replica has moved the checkpoint; nothing of this batch was written."""


class Store:
    """The projection's collections: ``calls``, ``campaigns`` and ``checkpoints``; and ``writers``, the sessions."""

    def __init__(self, client: AsyncMongoClient[Document], database: str) -> None:
        self._client = client
        self._database: AsyncDatabase[Document] = client[database]
        self._calls = self._database["calls"]
        self._campaigns = self._database["campaigns"]
        self._checkpoints = self._database["checkpoints"]
        self._writers = self._database["writers"]
        self._own: set[Binary] = set()

    async def prepare(self) -> None:
        """Makes sure of the indexes. Safe to repeat, and repeated before each reading: the database may be dropped."""
        await self._calls.create_index([("campaign_id", 1), ("status", 1)])
        await self._calls.create_index([("campaign_id", 1), ("contact_id", 1)])

    async def checkpoint(self) -> int:
        """The sequence of the last event that is in the documents; 0 in an empty database."""
        found = await self._checkpoints.find_one({"_id": CHECKPOINT})
        return int(found["sequence"]) if found else 0

    async def apply(self, after: int, batch: Sequence[tuple[int, Event]], *, upto: int) -> None:
        """Writes what the batch changes and moves the checkpoint from `after` to `upto`: all of it or nothing.

        Raises Conflict if the checkpoint does not stand at `after`. Applied twice, the second time is such a race.
        Cancelled, it first comes to its end: what is broken off in the middle keeps its locks.
        """
        await _to_its_end(self._apply(after, batch, upto))

    async def _apply(self, after: int, batch: Sequence[tuple[int, Event]], upto: int) -> None:
        async with self._client.start_session() as session:
            await self._register(session)
            try:
                async with await session.start_transaction():
                    await self._move(after, upto, session)
                    await self._write(project(await self._load(batch, session), batch), session)
            except OperationFailure as error:
                if error.code == _WRITE_CONFLICT or error.has_error_label("TransientTransactionError"):
                    raise Conflict from error
                raise

    async def _register(self, session: AsyncClientSession) -> None:
        """Puts the session down outside its transaction, once each: the driver has few and uses them again."""
        identity = session.session_id["id"]
        if identity not in self._own:
            await self._writers.replace_one({"_id": identity}, {"since": datetime.now(UTC)}, upsert=True)
            self._own.add(identity)

    async def break_off_others(self) -> None:
        """Ends the transactions of all other replicas, dead or alive. One that lives loses a race by it.

        MongoDB keeps the locks of a process that was killed in the middle of a transaction for a minute
        (``transactionLifetimeLimitSeconds``), and would keep everybody from moving the checkpoint for as long.
        """
        others = self._writers.find({"_id": {"$nin": list(self._own)}}).sort("since", -1).limit(_REMEMBERED)
        sessions = [{"id": other["_id"]} async for other in others]
        if sessions:
            await self._client.admin.command({"killSessions": sessions})

    async def leave(self) -> None:
        """Takes this replica's sessions off the list, at its orderly end."""
        await self._writers.delete_many({"_id": {"$in": list(self._own)}})

    async def _move(self, after: int, upto: int, session: AsyncClientSession) -> None:
        """First in the transaction, so that the replica that loses has done no work."""
        place = {"_id": CHECKPOINT, "sequence": after}
        try:
            moved = await self._checkpoints.update_one(
                place, {"$set": {"sequence": upto}}, upsert=after == 0, session=session
            )
        except DuplicateKeyError as error:  # it stands elsewhere, so the upsert took it for missing
            raise Conflict from error
        if after and not moved.matched_count:
            raise Conflict

    async def _load(self, batch: Iterable[tuple[int, Event]], session: AsyncClientSession) -> dict[str, CallDocument]:
        ids = list({call_of(event) for _, event in batch})
        found = self._calls.find({"_id": {"$in": ids}}, session=session)
        return {item["_id"]: _read(item) async for item in found}

    async def _write(self, projected: Projected, session: AsyncClientSession) -> None:
        calls = [ReplaceOne({"_id": key}, _written(call), upsert=True) for key, call in projected.documents.items()]
        if calls:
            await self._calls.bulk_write(calls, ordered=False, session=session)
        campaigns = list(_updates(projected))
        if campaigns:
            await self._campaigns.bulk_write(campaigns, ordered=False, session=session)

    async def sums(self, campaign_id: str | None) -> dict[str, int]:
        """The counters of one campaign, or of all: one document by its id, however many calls there are."""
        return await self._campaigns.find_one({"_id": campaign_id or ALL}, {**_SUMS, "_id": 0}) or {}

    async def busiest(self, most: int) -> dict[str, dict[str, int]]:
        """The counters of the campaigns with most calls open, and under `ALL` those of all together."""
        order = [(CallStatus.IN_PROGRESS.value, -1), (CallStatus.PENDING.value, -1), ("_id", 1)]
        found = await self._campaigns.find({}, _SUMS).sort(order).limit(most + 1).to_list()
        return {item.pop("_id"): item for item in found}


def connect(url: str) -> AsyncMongoClient[Document]:
    """A client that answers within seconds whether MongoDB is there. It connects at its first use."""
    return AsyncMongoClient(
        url,
        tz_aware=True,
        serverSelectionTimeoutMS=_CONNECT_MILLISECONDS,
        connectTimeoutMS=_CONNECT_MILLISECONDS,
        socketTimeoutMS=_ANSWER_MILLISECONDS,
    )


def _updates(projected: Projected) -> Iterator[UpdateOne]:
    """Of each campaign, what is added to its sums (all of them: a document lacks none) and how it stands now."""
    for campaign in projected.increments.keys() | projected.standings.keys():
        update: Document = {"$inc": dict(projected.increments.get(campaign) or dict.fromkeys(COUNTERS, 0))}
        if standing := projected.standings.get(campaign):
            update["$set"] = standing.model_dump()
        yield UpdateOne({"_id": campaign}, update, upsert=True)


def _written(call: CallDocument) -> Document:
    fields = call.model_dump(exclude={"call_id"})
    return {
        **fields,
        "_id": call.call_id,
        "status": call.status.value,
        "disposition": call.disposition.value if call.disposition else None,
        "answered_turns": list(call.answered_turns),
        "turns": len(call.answered_turns),
    }


def _read(item: Document) -> CallDocument:
    return CallDocument.model_validate({**item, "call_id": item["_id"]})


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Awaits `work` through a cancellation, which is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled and not task.exception():
        raise asyncio.CancelledError
    task.result()
