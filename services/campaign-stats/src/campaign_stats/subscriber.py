"""Follows the log in order, in batches, from the checkpoint on, and applies each batch to the store.

The first event after a pause is applied at once, those after it every `BATCH_INTERVAL_SECONDS`. While the follower is
behind, it reads page after page.

The service has no durable consumer. Its position is the checkpoint (see `campaign_stats.store`), so after a failure it
reads again from there.

An event that MongoDB cannot store becomes a dead letter, and the others of its batch are applied (see
`campaign_stats.applying`). An event that this build cannot decode was probably written by a newer one. The follower
waits `MAX_UNREADABLE_SECONDS` for a newer replica to apply it, then it becomes a dead letter, too (ADR 24).
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from pymongo.errors import PyMongoError

from campaign_stats.applying import apply_batch
from campaign_stats.metrics import APPLIED, BATCH_SECONDS, CONFLICTS, LAG_EVENTS, LAG_SECONDS, SKIPPED
from campaign_stats.store import Conflict, Store
from campaign_stats.writers import MAX_SILENT_SECONDS, Heartbeats
from chassis import tracing
from chassis.dead_letters import DeadLetterRefused, store_dead_letter
from chassis.direct_get import StoredMessage
from chassis.leader_get import get_of_leader
from chassis.metrics import DEAD_LETTERS, TERMINATED
from chassis.stored_event import stored_event_of_raw
from chassis.stream_api import jetstream_of
from chassis.stream_reader import Reader, StreamRecreated
from chassis.stream_scan import Batch
from chassis.unreadable import UnreadableEvent
from contracts import Event, Service
from contracts.dead_letters import DeadLetter
from contracts.filters import PROJECTION_FILTERS, subject_ids
from contracts.streams import ARCHIVED_SEQUENCE, CALLS

logger = structlog.get_logger()

BATCH_INTERVAL_SECONDS = 0.5
"""How long the follower waits between two batches once it has read the newest event. The next batch has all events of
that time and costs MongoDB as many commands as one event (ADR 6)."""
_MAX_PAUSE_SECONDS = 10.0
_CONFLICT_PAUSE_SECONDS = 0.02
MAX_UNREADABLE_SECONDS = 45.0
"""How long an event that cannot be decoded waits for a newer replica, as in a rolling upgrade."""
_UNREADABLE_PAUSE_SECONDS = 0.5


class OutOfSync(Exception):
    """The checkpoint is of another log, before archived events, or moved back.

    The follower reads again from the checkpoint.
    """


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
        self._heartbeats: Heartbeats = {}
        self._unreadable_sequence = 0
        self._unreadable_at = 0.0
        self.trouble: str | None = "has not started to read the log"
        """Why the documents do not follow the log at present; None if they do."""
        LAG_SECONDS.set_function(self.lag_seconds)
        # The series exist from the start: increase() does not see a series that begins with 1.
        for counter in (DEAD_LETTERS, TERMINATED):
            counter.labels(consumer=Service.CAMPAIGN_STATS.value)

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
        self.trouble = str(error) if isinstance(error, OutOfSync) else f"{name} while following the log"
        seconds = min(0.1 * 2**self._failures, _MAX_PAUSE_SECONDS)
        self._failures = min(self._failures + 1, 16)
        is_expected = isinstance(error, OutOfSync | StreamRecreated | PyMongoError | NatsError | TimeoutError)
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
        reader = Reader(self._client, CALLS, PROJECTION_FILTERS, start_sequence=checkpoint + 1)
        async with reader.is_woken_by_live():
            self.trouble = self._interrupted_at = None
            while True:
                checkpoint = await self._apply_next(reader, checkpoint)
                self._failures = 0

    async def _check_log(self, checkpoint: int) -> None:
        info = await jetstream_of(self._client, CALLS.name).stream_info(CALLS.name)
        end_sequence = info.state.last_seq
        archived_sequence = int((info.config.metadata or {}).get(ARCHIVED_SEQUENCE, 0))
        if checkpoint < archived_sequence:
            raise OutOfSync(
                f"the log up to {archived_sequence} is archived in part, and the documents end at {checkpoint}: run "
                "`centralita replay rebuild --archive` with the directory of the archive"
            )
        if end_sequence < checkpoint:
            raise OutOfSync(
                f"the log ends at {end_sequence}, before the checkpoint {checkpoint}: the documents were made from "
                "another log; drop the database, and they are rebuilt from this one"
            )
        if checkpoint:
            await self._check_event(checkpoint)

    async def _check_event(self, checkpoint: int) -> None:
        """Raises OutOfSync if the log has another event at the checkpoint than the one from which it was made."""
        try:
            stored = await get_of_leader(self._client, CALLS.name, checkpoint)
        except NotFoundError:  # it was archived, or an import was undone
            return
        recorded_at = await self._store.checkpoint_stored_at(checkpoint)
        if recorded_at is None:
            await self._store.record_stored_at(checkpoint, stored.time)
        elif recorded_at != stored.time:
            raise OutOfSync(
                f"the event at the checkpoint {checkpoint} was stored at {stored.time}, not at {recorded_at}: the "
                "documents were made from another log; drop the database, and they are rebuilt from this one"
            )

    async def _apply_next(self, reader: Reader, checkpoint: int) -> int:
        """Applies the next batch, if there is one; returns the checkpoint after it."""
        batch = await reader.next()
        if batch.messages:
            checkpoint = await self._apply(checkpoint, batch)
            if not batch.pending:
                await _wait_for_events()
            return checkpoint
        self._show_lag(batch.pending, None)
        await self._present_checkpoint(checkpoint)
        return checkpoint

    async def _present_checkpoint(self, checkpoint: int) -> int:
        """Returns the checkpoint in the database. Raises OutOfSync if it is before `checkpoint`."""
        present = await self._store.checkpoint()
        if present < checkpoint:
            raise OutOfSync("the checkpoint moved back: the database was dropped or restored")
        return present

    async def _apply(self, checkpoint: int, batch: Batch) -> int:
        """Brings the documents up to the last of the messages; returns the checkpoint after it."""
        while unapplied := [message for message in batch.messages if message.seq > checkpoint]:
            self._show_lag(batch.pending + len(unapplied), unapplied[0].time)
            try:
                checkpoint = await self._apply_readable(checkpoint, unapplied)
            except Conflict:
                checkpoint = await self._after_conflict(checkpoint)
        self._show_lag(batch.pending, batch.messages[-1].time if batch.pending else None)
        return checkpoint

    def _show_lag(self, events: int, oldest_unapplied_at: datetime | None) -> None:
        self._oldest_unapplied_at = oldest_unapplied_at
        LAG_EVENTS.set(events)

    async def _apply_readable(self, checkpoint: int, messages: list[StoredMessage]) -> int:
        """Applies the messages, or those before an unreadable one that still waits; returns the checkpoint."""
        events, unreadable = _decode(messages)
        if unreadable and self._may_become_readable(min(unreadable), unreadable):
            messages = [message for message in messages if message.seq < min(unreadable)]
            if not messages:
                await asyncio.sleep(_UNREADABLE_PAUSE_SECONDS)
                return await self._present_checkpoint(checkpoint)
            events, unreadable = _decode(messages)
        by_sequence = {message.seq: message for message in messages}

        async def on_refused(reasons: Mapping[int, Sequence[str]]) -> None:
            for sequence, lines in reasons.items():
                await self._store_dead_letter(by_sequence[sequence], lines)

        end_sequence = messages[-1].seq
        with BATCH_SECONDS.time(), _spans(messages):
            await on_refused(unreadable)
            apply = partial(apply_batch, end_sequence=end_sequence, stored_at=messages[-1].time)
            await apply(self._store, checkpoint, events, on_refused=on_refused)
        APPLIED.inc(len(messages))
        self._locked_at = None
        return end_sequence

    def _may_become_readable(self, sequence: int, reasons: Mapping[int, Sequence[str]]) -> bool:
        """Whether to wait for a newer replica that can decode the event at `sequence`."""
        now = asyncio.get_running_loop().time()
        if sequence != self._unreadable_sequence:
            self._unreadable_sequence, self._unreadable_at = sequence, now
            logger.error("event_unreadable", sequence=sequence, reasons=list(reasons[sequence]))
        return now - self._unreadable_at < MAX_UNREADABLE_SECONDS

    async def _store_dead_letter(self, message: StoredMessage, reasons: Sequence[str]) -> None:
        """Stores a dead letter before the checkpoint moves past its message, so that none is skipped silently."""
        consumer = Service.CAMPAIGN_STATS.value
        dead_letter = DeadLetter.of(
            stream=CALLS.name,
            sequence=message.seq,
            consumer=consumer,
            subject=message.subject,
            reasons=reasons,
            deliveries=1,
        )
        try:
            await store_dead_letter(self._client, dead_letter)
        except DeadLetterRefused as error:
            TERMINATED.labels(consumer=consumer).inc()
            logger.critical(
                "message_terminated",
                stream=CALLS.name,
                sequence=message.seq,
                reasons=list(reasons),
                error=f"no dead letter could be stored: {error}",
            )
        SKIPPED.inc()

    async def _after_conflict(self, checkpoint: int) -> int:
        """Returns the present checkpoint. If it does not move for long, ends the transactions of dead replicas."""
        CONFLICTS.inc()
        await asyncio.sleep(_CONFLICT_PAUSE_SECONDS)
        present = await self._present_checkpoint(checkpoint)
        now, writers = asyncio.get_running_loop().time(), self._store.writers
        if present > checkpoint:
            self._locked_at = None
        elif self._locked_at is None:
            self._locked_at, self._heartbeats = now, await writers.heartbeats()
        elif now - self._locked_at > MAX_SILENT_SECONDS:
            dead = await writers.end_silent(self._heartbeats)
            logger.warning(
                "checkpoint_locked", checkpoint=checkpoint, seconds=now - self._locked_at, dead_replicas=dead
            )
            self._locked_at = None
        return present


async def _wait_for_events() -> None:
    await asyncio.sleep(BATCH_INTERVAL_SECONDS)


def _decode(messages: list[StoredMessage]) -> tuple[list[tuple[int, Event]], dict[int, Sequence[str]]]:
    """Returns the events with their sequences, and the reasons why the other messages are no events."""
    events: list[tuple[int, Event]] = []
    unreadable: dict[int, Sequence[str]] = {}
    for message in messages:
        try:
            stored = stored_event_of_raw(message, CALLS.name)
        except UnreadableEvent as error:
            unreadable[message.seq] = error.reasons
        else:
            events.append((stored.sequence, stored.event))
    return events, unreadable


@contextmanager
def _spans(messages: list[StoredMessage]) -> Iterator[None]:
    """Makes a span around the batch in the trace of each of its messages."""
    with ExitStack() as stack:
        for message in messages if tracing.is_enabled() else ():
            family, fact, *_ = message.subject.split(".")
            context = tracing.parent_context(message.headers.get("traceparent"))
            ids = subject_ids(message.subject)
            span = tracing.TRACER.start_span(f"project {family}.{fact}", context, tracing.PROCESS, ids)
            stack.callback(span.end)
        yield
