"""Follows the log in batches, from the checkpoint on, in its order, and hands them to the store."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from prometheus_client import Counter, Gauge, Histogram
from pymongo.errors import PyMongoError

from campaign_stats.store import Conflict, Store
from chassis import tracing
from chassis.stored_event import stored_event_of
from contracts import ConversationEnded, Event, InvalidMessage, ReplyGenerated
from contracts.streams import CALLS, campaign_state_filter, subject_ids

logger = structlog.get_logger()

FILTERS = ("call.*.*.*", ReplyGenerated.subjects(), ConversationEnded.subjects(), campaign_state_filter("*"))
BATCH = 500
IDLE_SECONDS = 2.0
"""How long a fetch waits for the first message; after it, both servers are asked whether all is as it was."""
_FORGOTTEN_AFTER = 60.0
_MAX_PAUSE = 10.0
_AFTER_A_RACE = 0.02
_PATIENCE = 3.0
"""How long (seconds) the checkpoint may be locked without moving before the replica that holds it counts as dead."""

APPLIED = Counter("centralita_projection_events", "Events of the log that are in the documents")
SKIPPED = Counter(
    "centralita_projection_skipped_events", "Messages on our subjects that are no events; they stay in the log"
)
RACES = Counter("centralita_projection_lost_races", "Batches that another replica had applied first")
BATCH_SECONDS = Histogram("centralita_projection_batch_seconds", "Time from a batch's arrival to its commit")
LAG_EVENTS = Gauge("centralita_projection_lag_events", "Events in the log that are not yet in the documents")
LAG_SECONDS = Gauge(
    "centralita_projection_lag_seconds", "Age of the oldest event not in the documents, or of the trouble in following"
)


class OutOfStep(Exception):
    """What was read, the log and the checkpoint do not fit together (any more): read again from the checkpoint."""


class Follower:
    """One replica's reading of the log.

    Idempotent: the checkpoint moves by compare-and-set in the transaction that writes the documents, so an event read
    again, by this replica or another, is before the checkpoint and is not applied.
    """

    def __init__(self, client: Client, store: Store) -> None:
        self._client = client
        self._store = store
        self._failures = 0
        self._waiting_since: datetime | None = None
        self._interrupted_since: datetime | None = datetime.now(UTC)
        self._locked_out_since: float | None = None
        self.trouble: str | None = "has not begun to read the log"
        """Why the documents do not follow the log at present; none if they do."""
        LAG_SECONDS.set_function(self.lag_seconds)

    def lag_seconds(self) -> float:
        """How long ago the oldest event happened that is known not to be in the documents, or, while the log cannot be
        followed and nobody knows of any, how long that has been so; 0 if all is well."""
        since = [instant for instant in (self._waiting_since, self._interrupted_since) if instant]
        return (datetime.now(UTC) - min(since)).total_seconds() if since else 0.0

    async def run(self) -> None:
        """Follows the log until cancelled or disconnected for good. What fails is tried again after a pause."""
        while not self._client.is_closed:
            try:
                await self._follow()
            except Exception as error:  # noqa: BLE001  whatever it is, the documents must go on following
                if not self._client.is_closed:
                    await self._pause(error)

    async def _pause(self, error: Exception) -> None:
        name = type(error).__name__
        self._interrupted_since = self._interrupted_since or datetime.now(UTC)
        self.trouble = str(error) if isinstance(error, OutOfStep) else f"{name} while following the log"
        seconds = min(0.1 * 2**self._failures, _MAX_PAUSE)
        self._failures = min(self._failures + 1, 16)
        foreseen = isinstance(error, OutOfStep | PyMongoError | NatsError | TimeoutError)
        unforeseen = None if foreseen else error
        logger.warning(
            "projection_interrupted", reason=self.trouble, error=name, again_in_seconds=seconds, exc_info=unforeseen
        )
        await asyncio.sleep(seconds)

    async def _follow(self) -> None:
        await self._store.prepare()
        place = await self._store.checkpoint()
        async with _reader(self._client.jetstream(), place) as reader:
            self.trouble = self._interrupted_since = None
            while True:
                messages = await reader.next()
                if messages:
                    place = await self._apply(place, messages)
                elif await self._store.checkpoint() < place:
                    raise OutOfStep("the checkpoint went back: the database was dropped or restored")
                self._failures = 0

    async def _apply(self, place: int, messages: list[Msg]) -> int:
        """Brings the documents to the last of the messages; returns where the checkpoint stands then."""
        newest = messages[-1].metadata
        while rest := [message for message in messages if message.metadata.sequence.stream > place]:
            self._waiting_since = rest[0].metadata.timestamp
            LAG_EVENTS.set(newest.num_pending + len(rest))
            try:
                with BATCH_SECONDS.time(), _traced(rest):
                    await self._store.apply(place, _events(rest), upto=newest.sequence.stream)
                APPLIED.inc(len(rest))
                place, self._locked_out_since = newest.sequence.stream, None
            except Conflict:
                place = await self._after_a_race(place)
        self._waiting_since = newest.timestamp if newest.num_pending else None
        LAG_EVENTS.set(newest.num_pending)
        return place

    async def _after_a_race(self, place: int) -> int:
        """Where the checkpoint stands now. If it does not move for long, whoever holds it is made to let go."""
        RACES.inc()
        await asyncio.sleep(_AFTER_A_RACE)
        standing = await self._store.checkpoint()
        if standing < place:
            raise OutOfStep("the checkpoint went back: the database was dropped or restored")
        now = asyncio.get_running_loop().time()
        if standing > place or self._locked_out_since is None:
            self._locked_out_since = now
        elif now - self._locked_out_since > _PATIENCE:
            logger.warning("checkpoint_locked", checkpoint=place, seconds=now - self._locked_out_since)
            await self._store.break_off_others()
            self._locked_out_since = None
        return standing


def _events(messages: list[Msg]) -> list[tuple[int, Event]]:
    events: list[tuple[int, Event]] = []
    for message in messages:
        try:
            read = stored_event_of(message)
        except InvalidMessage as error:
            SKIPPED.inc()
            logger.error("no_event", sequence=message.metadata.sequence.stream, reasons=error.reasons)
        else:
            events.append((read.sequence, read.event))
    return events


@contextmanager
def _traced(messages: list[Msg]) -> Iterator[None]:
    """A span around the batch in the trace of each of its messages."""
    with ExitStack() as stack:
        for message in messages if tracing.is_enabled() else ():
            family, fact, *_ = message.subject.split(".")
            place = tracing.parent_context((message.headers or {}).get("traceparent"))
            span = tracing.TRACER.start_span(
                f"project {family}.{fact}", place, tracing.PROCESS, subject_ids(message.subject)
            )
            stack.callback(span.end)
        yield


class _Reader:
    """A pull consumer of its own, without acknowledgements, whose numbering is checked: a gap would be a lost event."""

    def __init__(self, subscription: JetStreamContext.PullSubscription) -> None:
        self._subscription = subscription
        self._delivered = 0

    async def next(self) -> list[Msg]:
        """What there is, up to `BATCH`; empty if nothing came for `IDLE_SECONDS`.

        nats-py asks with ``no_wait`` and ``expires``: the server waits for a first message, sends what it has by then
        and ends the request, so a live message comes at once and a backlog in full batches. Raises OutOfStep.
        """
        try:
            messages = await self._subscription.fetch(BATCH, timeout=IDLE_SECONDS)
        except TimeoutError:
            messages = []
        if not messages:
            await self._subscription.consumer_info()  # a consumer that the server lost is silent too: here it raises
        for message in messages:
            self._delivered += 1
            if message.metadata.sequence.consumer != self._delivered:
                raise OutOfStep("a message was lost between the server and here")
        return messages


@asynccontextmanager
async def _reader(js: JetStreamContext, place: int) -> AsyncIterator[_Reader]:
    """Reads from after `place`. Raises OutOfStep if the log ends before it."""
    info = await js.stream_info(CALLS.name)
    if info.state.last_seq < place:
        raise OutOfStep(
            f"the log ends at {info.state.last_seq}, the checkpoint stands at {place}: the documents were made from "
            "another log; drop the database and they are rebuilt from this one"
        )
    config = ConsumerConfig(
        filter_subjects=list(FILTERS),
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=place + 1,
        ack_policy=AckPolicy.NONE,
        inactive_threshold=_FORGOTTEN_AFTER,
        mem_storage=True,
        num_replicas=1,
    )
    subscription = await js.pull_subscribe("", stream=CALLS.name, config=config)
    try:
        yield _Reader(subscription)
    finally:
        with suppress(NatsError):
            await subscription.unsubscribe()
        with suppress(NatsError):
            await js.delete_consumer(CALLS.name, config.name or "")
