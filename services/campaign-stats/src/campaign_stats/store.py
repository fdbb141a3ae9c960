"""The documents in MongoDB, and the checkpoint that moves with them.

The checkpoint is the sequence of the last event of the log that is in the documents. It is a document in the same
database and moves by compare-and-set in the transaction that writes the batch. The transaction fails if the checkpoint
no longer has the value from which the batch was read (law 8). From that follows:

- An event is applied exactly once, also after a crash: documents, counters and checkpoint are committed together or not
  at all.
- Replicas need no coordination. Two that apply the same batch race for the checkpoint; the loser has written nothing.
- The documents are disposable. In an empty database the checkpoint is 0, so the projection reads the log from its start
  and computes the same documents.

A sequence alone does not say of which log it is. So the checkpoint also has the time at which nats-server stored the
event there. A restored, copied or migrated log keeps these times; a log into which events were published or imported
again has others. Without that time, as in a checkpoint of an older build, the log at the next start counts as the same.

Each call document also names the sequence of its last event, so an event before it changes nothing. The transaction of
a killed process locks the checkpoint; `campaign_stats.writers` ends it.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pymongo import AsyncMongoClient, ReplaceOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError, OperationFailure

from campaign_stats import lists
from campaign_stats.documents import ENCODING_ERRORS, Document, outcome_updates, read, refusals, updates, written
from campaign_stats.outcome_reads import read_outcomes
from campaign_stats.projection import ALL, CallDocument, Projected, call_of, project
from campaign_stats.writers import Writers
from contracts import (
    CallList,
    CallListQuery,
    CampaignCalls,
    CampaignCallsQuery,
    CampaignList,
    CampaignListQuery,
    Event,
    Outcomes,
    OutcomesQuery,
)

CHECKPOINT = "campaign-stats"
_CONNECT_MILLISECONDS = 3_000
_ANSWER_SECONDS = 20
_WRITE_CONFLICT = 112
"""``WriteConflict`` in MongoDB's ``error_codes.yml``."""

_DOCUMENT_ERRORS = frozenset({15, 16, 22, 10334, 17280, 17419, 17420})
"""``Overflow``, ``InvalidLength``, ``InvalidBSON``, ``BSONObjectTooLarge``, ``KeyTooLong``, and two for a document that
an update makes too large. ``BadValue`` (2) is not among them: an option or a counter in the database causes it too, so
it would discard every event."""


class Conflict(Exception):
    """Another replica moved the checkpoint; nothing of this batch was written."""


class EventsRefused(Exception):
    """The documents after these events cannot be stored; nothing of this batch was written.

    `reasons` has the sequence of each event. The batch without them can be applied.
    """

    def __init__(self, reasons: Mapping[int, Sequence[str]]) -> None:
        super().__init__(f"{len(reasons)} events cannot be written")
        self.reasons = reasons


class BatchRejected(Exception):
    """The driver or the server refused a document of this batch; nothing of it was written."""


class Store:
    """The collections ``calls``, ``campaigns``, ``outcomes`` and ``checkpoints``, and the replicas in ``writers``."""

    def __init__(self, client: AsyncMongoClient[Document], database: str) -> None:
        self._client = client
        self._database: AsyncDatabase[Document] = client[database]
        self._calls = self._database["calls"]
        self._campaigns = self._database["campaigns"]
        self._outcomes = self._database["outcomes"]
        self._checkpoints = self._database["checkpoints"]
        self.writers = Writers(self._database["writers"])

    async def prepare(self) -> None:
        """Creates the indexes if they are missing. Called before each reading: the database may have been dropped."""
        await self._calls.create_index([("campaign_id", 1), ("status", 1), ("_id", 1)])
        await self._calls.create_indexes(lists.call_indexes())
        await self._campaigns.create_index(lists.BUSIEST_FIRST)

    async def checkpoint(self) -> int:
        """Returns the checkpoint; 0 in an empty database."""
        checkpoint = await self._checkpoints.find_one({"_id": CHECKPOINT})
        return int(checkpoint["sequence"]) if checkpoint else 0

    async def checkpoint_stored_at(self, checkpoint: int) -> datetime | None:
        """Returns when nats-server stored the event at the checkpoint; None if that is not recorded."""
        found = await self._checkpoints.find_one({"_id": CHECKPOINT, "event.sequence": checkpoint})
        return datetime.fromisoformat(found["event"]["stored_at"]) if found else None

    async def record_stored_at(self, checkpoint: int, stored_at: datetime) -> None:
        """Records when nats-server stored the event at the checkpoint, unless the checkpoint has moved."""
        event = _event(checkpoint, stored_at)
        await self._checkpoints.update_one({"_id": CHECKPOINT, "sequence": checkpoint}, {"$set": {"event": event}})

    async def apply(
        self,
        checkpoint: int,
        batch: Sequence[tuple[int, Event]],
        *,
        end_sequence: int,
        stored_at: datetime | None = None,
    ) -> None:
        """Writes what the batch changes and moves the checkpoint to `end_sequence`, all or nothing.

        `stored_at`: when nats-server stored the event at `end_sequence`, if that is known.

        Raises Conflict if the checkpoint is no longer `checkpoint`, as for a batch that is applied a second time.
        Raises EventsRefused or BatchRejected if a document cannot be stored (see `campaign_stats.applying`). A
        cancellation takes effect after the transaction: one that is interrupted keeps its locks.
        """
        present: Document = {"sequence": end_sequence}
        if stored_at:
            present["event"] = _event(end_sequence, stored_at)
        await _finish(self._apply(checkpoint, batch, present))

    async def _apply(self, checkpoint: int, batch: Sequence[tuple[int, Event]], present: Document) -> None:
        async with self._client.start_session() as session:
            await self.writers.register(session)
            try:
                async with await session.start_transaction():
                    await self._move_checkpoint(checkpoint, present, session)
                    projected = project(await self._load(batch, session), batch, refusals)
                    if projected.refused:
                        raise EventsRefused(projected.refused)
                    await self._write(projected, session)
            except OperationFailure as error:
                if error.code == _WRITE_CONFLICT or error.has_error_label("TransientTransactionError"):
                    raise Conflict from error
                if _error_codes(error) & _DOCUMENT_ERRORS:
                    raise BatchRejected(f"MongoDB refused a document with code {error.code}") from error
                raise
            except ENCODING_ERRORS as error:
                raise BatchRejected(f"the driver cannot send a document ({type(error).__name__})") from error

    async def _move_checkpoint(self, checkpoint: int, present: Document, session: AsyncClientSession) -> None:
        """Moves the checkpoint. Raises Conflict. Called first, so that a replica that loses has done no work."""
        expected = {"_id": CHECKPOINT, "sequence": checkpoint}
        try:
            moved = await self._checkpoints.update_one(
                expected, {"$set": present}, upsert=checkpoint == 0, session=session
            )
        except DuplicateKeyError as error:  # the checkpoint exists with another value, so the upsert inserted a second
            raise Conflict from error
        if checkpoint and not moved.matched_count:
            raise Conflict

    async def _load(self, batch: Iterable[tuple[int, Event]], session: AsyncClientSession) -> dict[str, CallDocument]:
        ids = list({call_of(event) for _, event in batch})
        documents = self._calls.find({"_id": {"$in": ids}}, session=session)
        return {document["_id"]: read(document) async for document in documents}

    async def _write(self, projected: Projected, session: AsyncClientSession) -> None:
        calls = [ReplaceOne({"_id": key}, written(call), upsert=True) for key, call in projected.documents.items()]
        if calls:
            await self._calls.bulk_write(calls, ordered=False, session=session)
        campaigns = list(updates(projected))
        if campaigns:
            await self._campaigns.bulk_write(campaigns, ordered=False, session=session)
        if outcomes := list(outcome_updates(projected)):
            await self._outcomes.bulk_write(outcomes, ordered=False, session=session)

    async def sums(self, campaign_id: str | None) -> dict[str, int]:
        """Returns the counters of one campaign, or of all. Reads one document, however many calls there are."""
        return await self._campaigns.find_one({"_id": campaign_id or ALL}, {**lists.SUMS, "_id": 0}) or {}

    async def call_ids(self, query: CampaignCallsQuery) -> CampaignCalls:
        """Returns one page of ids. Reads one index entry per id and status, however many calls there are."""
        selected: Document = {"campaign_id": query.campaign_id, "status": {"$in": sorted(query.statuses)}}
        if query.after:
            selected["_id"] = {"$gt": str(query.after)}
        found = await self._calls.find(selected, {"_id": 1}).sort("_id", 1).limit(query.limit + 1).to_list()
        ids = tuple(UUID(document["_id"]) for document in found[: query.limit])
        return CampaignCalls(call_ids=ids, has_more=len(found) > query.limit)

    async def list_calls(self, query: CallListQuery) -> CallList:
        """Returns one page of calls, newest first."""
        return await lists.list_calls(self._calls, query)

    async def list_campaigns(self, query: CampaignListQuery) -> CampaignList:
        """Returns one page of campaigns."""
        return await lists.list_campaigns(self._campaigns, query)

    async def outcomes(self, query: OutcomesQuery) -> Outcomes:
        """Returns how far calls came, why they ended, and their outcomes over time."""
        return await read_outcomes(self._campaigns, self._outcomes, query)

    async def busiest(self, limit: int) -> dict[str, dict[str, int]]:
        """Returns the counters of the campaigns with most open calls, and under `ALL` those of all campaigns."""
        campaigns = await lists.busiest_campaigns(self._campaigns, limit + 1).to_list()
        return {campaign.pop("_id"): campaign for campaign in campaigns}


def connect(url: str, *, collection_seconds: int | None = None) -> AsyncMongoClient[Document]:
    """Returns a client that connects at its first use, and that fails within seconds if MongoDB is unavailable.

    `collection_seconds`: for commands on whole collections, how long it waits for an answer. A server that is busy
    with such a command answers the driver's heartbeats and new connections late too, so it waits as long for them.
    """
    connect_milliseconds = _CONNECT_MILLISECONDS if collection_seconds is None else collection_seconds * 1000
    return AsyncMongoClient(
        url,
        tz_aware=True,
        serverSelectionTimeoutMS=connect_milliseconds,
        connectTimeoutMS=connect_milliseconds,
        socketTimeoutMS=(_ANSWER_SECONDS if collection_seconds is None else collection_seconds) * 1000,
    )


def _event(sequence: int, stored_at: datetime) -> Document:
    """Returns the event at a checkpoint. Its time is a text, because a date of BSON has only milliseconds."""
    return {"sequence": sequence, "stored_at": stored_at.isoformat()}


def _error_codes(error: OperationFailure) -> set[int | None]:
    """Returns the code of the error and, of a bulk write, those of its operations."""
    details: Mapping[str, Any] = error.details or {}
    return {error.code, *(one.get("code") for one in details.get("writeErrors", ()))}


async def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Awaits `work` to its end, even if cancelled; raises the error of `work`, or else the cancellation."""
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
