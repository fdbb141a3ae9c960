"""Follows the log in order, in batches, from the checkpoint on, and applies each batch to the store.

The service has no durable consumer. Its position is the checkpoint (see `campaign_stats.store`), so after a failure it
reads again from there.
"""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from pymongo.errors import PyMongoError

from campaign_stats.metrics import APPLIED, BATCH_SECONDS, CONFLICTS, LAG_EVENTS, LAG_SECONDS, SKIPPED
from campaign_stats.store import Conflict, Store
from chassis import tracing
from chassis.stored_event import stored_event_of
from chassis.stream_reader import Incomplete, PullReader, last_sequence, pull_reader
from contracts import ConversationEnded, Event, InvalidMessage, ReplyGenerated
from contracts.streams import CALLS, campaign_state_filter, subject_ids

logger = structlog.get_logger()

FILTERS = ("call.*.*.*", ReplyGenerated.subjects(), ConversationEnded.subjects(), campaign_state_filter("*"))
BATCH = 500
IDLE_SECONDS = 2.0
"""How long a fetch waits for the first message. After it, NATS and MongoDB are asked whether they changed."""
_MAX_PAUSE_SECONDS = 10.0
_CONFLICT_PAUSE_SECONDS = 0.02
_MAX_LOCKED_SECONDS = 3.0
"""How long the checkpoint may be locked without moving before the replica that locked it counts as dead."""


class OutOfSync(Exception):
    """The checkpoint is beyond the end of the log, or moved back. The follower reads again from the checkpoint."""


class Follower:
    """Keeps the documents up to date with the log, in one replica.

    A second delivery is harmless: the checkpoint moves by compare-and-set in the transaction that writes the documents.
    An event that this or another replica has applied lies before the checkpoint.
    """

    def __init__(self, client: Client, store: Store) -> None:
        self._client = client
        self._store = store
        self._failures = 0
        self._oldest_unapplied_at: datetime | None = None
        self._interrupted_at: datetime | None = datetime.now(UTC)
        self._locked_at: float | None = None
        self.trouble: str | None = "has not started to read the log"
        """Why the documents do not follow the log at present; None if they do."""
        LAG_SECONDS.set_function(self.lag_seconds)

    def lag_seconds(self) -> float:
        """Returns the age of the oldest event that is known to be missing from the documents, or 0.

        While the log cannot be followed, returns at least how long that has lasted.
        """
        instants = [instant for instant in (self._oldest_unapplied_at, self._interrupted_at) if instant]
        return (datetime.now(UTC) - min(instants)).total_seconds() if instants else 0.0

    async def run(self) -> None:
        """Follows the log until cancelled or until the connection is closed. Pauses and restarts after a failure."""
        while not self._client.is_closed:
            try:
                await self._follow()
            except Exception as error:  # noqa: BLE001  after any error the documents must follow again
                if not self._client.is_closed:
                    await self._pause(error)

    async def _pause(self, error: Exception) -> None:
        name = type(error).__name__
        self._interrupted_at = self._interrupted_at or datetime.now(UTC)
        self.trouble = str(error) if isinstance(error, OutOfSync | Incomplete) else f"{name} while following the log"
        seconds = min(0.1 * 2**self._failures, _MAX_PAUSE_SECONDS)
        self._failures = min(self._failures + 1, 16)
        is_expected = isinstance(error, OutOfSync | Incomplete | PyMongoError | NatsError | TimeoutError)
        logger.warning(
            "projection_interrupted",
            reason=self.trouble,
            error=name,
            again_in_seconds=seconds,
            exc_info=None if is_expected else error,
        )
        await asyncio.sleep(seconds)

    async def _follow(self) -> None:
        await self._store.prepare()
        checkpoint = await self._store.checkpoint()
        await self._check_log(checkpoint)
        async with pull_reader(self._client, CALLS.name, FILTERS, start_sequence=checkpoint + 1) as reader:
            self.trouble = self._interrupted_at = None
            while True:
                checkpoint = await self._apply_next(reader, checkpoint)
                self._failures = 0

    async def _check_log(self, checkpoint: int) -> None:
        end_sequence = await last_sequence(self._client, CALLS.name)
        if end_sequence < checkpoint:
            raise OutOfSync(
                f"the log ends at {end_sequence}, before the checkpoint {checkpoint}: the documents were made from "
                "another log; drop the database, and they are rebuilt from this one"
            )

    async def _apply_next(self, reader: PullReader, checkpoint: int) -> int:
        """Applies the next batch, if there is one; returns the checkpoint after it."""
        messages = await reader.fetch(BATCH, IDLE_SECONDS)
        if messages:
            return await self._apply(checkpoint, messages)
        await reader.pending()  # raises if the server has lost the consumer, which is silent too
        if await self._store.checkpoint() < checkpoint:
            raise OutOfSync("the checkpoint moved back: the database was dropped or restored")
        return checkpoint

    async def _apply(self, checkpoint: int, messages: list[Msg]) -> int:
        """Brings the documents up to the last of the messages; returns the checkpoint after it."""
        newest = messages[-1].metadata
        while unapplied := [message for message in messages if message.metadata.sequence.stream > checkpoint]:
            self._oldest_unapplied_at = unapplied[0].metadata.timestamp
            LAG_EVENTS.set(newest.num_pending + len(unapplied))
            try:
                with BATCH_SECONDS.time(), _spans(unapplied):
                    await self._store.apply(checkpoint, _events(unapplied), end_sequence=newest.sequence.stream)
                APPLIED.inc(len(unapplied))
                checkpoint, self._locked_at = newest.sequence.stream, None
            except Conflict:
                checkpoint = await self._after_conflict(checkpoint)
        self._oldest_unapplied_at = newest.timestamp if newest.num_pending else None
        LAG_EVENTS.set(newest.num_pending)
        return checkpoint

    async def _after_conflict(self, checkpoint: int) -> int:
        """Returns the present checkpoint. If it does not move for long, ends the sessions of the other replicas."""
        CONFLICTS.inc()
        await asyncio.sleep(_CONFLICT_PAUSE_SECONDS)
        present = await self._store.checkpoint()
        if present < checkpoint:
            raise OutOfSync("the checkpoint moved back: the database was dropped or restored")
        now = asyncio.get_running_loop().time()
        if present > checkpoint or self._locked_at is None:
            self._locked_at = now
        elif now - self._locked_at > _MAX_LOCKED_SECONDS:
            logger.warning("checkpoint_locked", checkpoint=checkpoint, seconds=now - self._locked_at)
            await self._store.kill_other_sessions()
            self._locked_at = None
        return present


def _events(messages: list[Msg]) -> list[tuple[int, Event]]:
    events: list[tuple[int, Event]] = []
    for message in messages:
        try:
            stored = stored_event_of(message)
        except InvalidMessage as error:
            SKIPPED.inc()
            logger.error("event_skipped", sequence=message.metadata.sequence.stream, reasons=error.reasons)
        else:
            events.append((stored.sequence, stored.event))
    return events


@contextmanager
def _spans(messages: list[Msg]) -> Iterator[None]:
    """Makes a span around the batch in the trace of each of its messages."""
    with ExitStack() as stack:
        for message in messages if tracing.is_enabled() else ():
            family, fact, *_ = message.subject.split(".")
            context = tracing.parent_context((message.headers or {}).get("traceparent"))
            ids = subject_ids(message.subject)
            span = tracing.TRACER.start_span(f"project {family}.{fact}", context, tracing.PROCESS, ids)
            stack.callback(span.end)
        yield
