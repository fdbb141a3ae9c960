"""What happens to a message around its handler: acknowledgement, retry, dead letter, trace, metrics, log context.

| the handler | the message | counted as a failure |
|---|---|---|
| returns | is acknowledged | no |
| is not called, because the message is no event | becomes a dead letter at once | |
| meets a stored event that this build cannot decode | is delivered again, without an end, and raises an alert | no |
| is not called, because only a newer build may decode the request | the same, up to `MAX_REQUEST_TRIES` times | no |
| raises `RetryLater` | is delivered again after the delay, up to `MAX_WAITS` times | no |
| publishes a message that is too large | becomes a dead letter at once | |
| raises anything else | is delivered again after ``Consumer.backoff``; after that it becomes a dead letter | yes |

A dead letter is stored before the message is acknowledged, so no message is lost in between. A request is copied into
its dead letter, sealed, and then erased (`chassis.sealed_copies`). A message whose dead
letter cannot be stored is terminated, which raises an alert; it stays in its stream, and the log line names its
sequence.

An unreadable event (`chassis.unreadable`) may be the message itself, or one that its handler reads. The message waits
for a build that can decode it: another replica during a rolling upgrade, or the next deploy.

Failures and waits are counted here and not by the server's ``num_delivered``, which counts both together, and also
deliveries to builds that could not decode an event. Each process counts in its own memory, from 0 after a restart. So
each replica may try a message that always fails once per entry of ``backoff``.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from structlog.contextvars import bound_contextvars

from chassis import tracing
from chassis.ack_extension import extend_ack_deadline
from chassis.dead_letters import DeadLetterRefused, store_dead_letter
from chassis.failure_counts import FailureCounts
from chassis.metrics import DEAD_LETTERS, HANDLING_SECONDS, TERMINATED
from chassis.retry_later import RetryLater
from chassis.sealed_copies import RequestSealer
from chassis.stored_event import StoredEvent
from chassis.unreadable import UnreadableEvent, UnreadableEvents
from chassis.waiting_requests import WaitingRequests
from contracts import InvalidMessage
from contracts.consumers import Consumer
from contracts.dead_letters import DeadLetter
from contracts.filters import message_ids
from contracts.named_persons import persons_of_header
from contracts.streams import REQUESTS

MAX_WAITS = 200
"""A message that waits more often than this in one process becomes a dead letter. Expected waiting ends after some tens
of deliveries; one that does not end would use a part of the consumer's ``max_ack_pending`` for ever."""
MAX_REQUEST_TRIES = 8
"""A request that cannot be decoded becomes a dead letter after this many tries, about three minutes, or at once if many
wait already (`chassis.waiting_requests`). Upstream systems may publish it in the name of a service, so it need not come
from a newer build. It must neither wait for ever nor keep others from being delivered."""
UNREADABLE_DELAYS = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0)
"""The delays in seconds before a message that meets an unreadable event is delivered again; the last one repeats."""

Decode = Callable[[Msg], Awaitable[StoredEvent]]
"""Returns the event of a message. Raises InvalidMessage if it is none, and UnreadableEvent."""
Handle = Callable[[StoredEvent], Awaitable[None]]

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened to the messages of one consumer in this process."""

    failures: FailureCounts = field(default_factory=FailureCounts)
    waits: FailureCounts = field(default_factory=FailureCounts)
    unreadable: FailureCounts = field(default_factory=FailureCounts)
    unstored: FailureCounts = field(default_factory=FailureCounts)

    def forget(self, sequence: int) -> None:
        """Removes a message that needs no further delivery."""
        for counts in (self.failures, self.waits, self.unreadable, self.unstored):
            counts.forget(sequence)


class _DeliverAgain(Exception):
    """The message failed and is delivered again after `delay` seconds."""

    def __init__(self, delay: float) -> None:
        super().__init__(delay)
        self.delay = delay


class _Terminate(Exception):
    """The message failed, and no dead letter can be stored."""


class ConsumerDelivery:
    """Handles each message of one consumer."""

    def __init__(
        self,
        consumer: Consumer,
        client: Client,
        decode: Decode,
        handle: Handle,
        sealer: RequestSealer | None = None,
    ) -> None:
        """`sealer`: seals requests that become dead letters; without one, they stay in their stream."""
        self._sealer = sealer
        self._consumer = consumer
        self._client = client
        self._decode = decode
        self._call = handle
        self._counts = Counts()
        self._waiting = WaitingRequests(consumer)
        self._unreadable = UnreadableEvents(consumer.name)
        self._seconds = HANDLING_SECONDS.labels(consumer=consumer.name)
        # The series exist from the start: increase() does not see a series that begins with 1.
        for counter in (DEAD_LETTERS, TERMINATED):
            counter.labels(consumer=consumer.name)

    async def deliver(self, message: Msg) -> None:
        """Calls the handler and tells the server how the delivery ended.

        Without a connection, the server delivers the message again.
        """
        name, ids = self._consumer.name, message_ids(message.subject, message.data)
        traceparent = (message.headers or {}).get("traceparent")
        end = message.ack
        try:
            with (
                tracing.span(f"process {name}", tracing.PROCESS, traceparent, **ids),
                bound_contextvars(consumer=name, **ids),
                self._seconds.time(),
            ):
                delay = await self._handle(message)
        except _DeliverAgain as failure:
            delay = failure.delay
        except _Terminate:
            delay, end = None, message.term
        with suppress(NatsError):
            await (end() if delay is None else message.nak(delay))

    async def _handle(self, message: Msg) -> float | None:
        """Returns the seconds until the next delivery; None if the message needs no other.

        Raises _DeliverAgain after a failure, and _Terminate.
        """
        sequence = message.metadata.sequence.stream
        try:
            try:
                stored = await self._decode(message)
            except InvalidMessage as error:
                await self._store_dead_letter(message, error.reasons)
            else:
                async with extend_ack_deadline(message, self._consumer):
                    await self._call(stored)
        except (_DeliverAgain, _Terminate):  # no dead letter could be stored
            raise
        except UnreadableEvent as error:
            self._unreadable.report(error)
            tries = self._counts.unreadable.add(sequence)
            delay = UNREADABLE_DELAYS[min(tries, len(UNREADABLE_DELAYS)) - 1]
            is_request = (error.stream, error.sequence) == (REQUESTS.name, sequence)
            if not is_request or (tries <= MAX_REQUEST_TRIES and self._waiting.admit(sequence, delay)):
                return delay
            await self._store_dead_letter(message, error.reasons)
        except RetryLater as wait:
            if self._counts.waits.add(sequence) <= MAX_WAITS or wait.is_unlimited:
                logger.debug("message_waits", reason=type(wait).__name__, again_in_seconds=wait.delay)
                return wait.delay
            await self._store_dead_letter(message, [f"{type(wait).__name__}: waited {MAX_WAITS} times in this process"])
        except MaxPayloadError:  # the handler would fail again
            await self._store_dead_letter(
                message, ["body: what follows from it is larger than NATS stores; shorten it"]
            )
        except Exception as error:  # noqa: BLE001  the message must survive every error of a handler
            await self._on_failure(message, error)
        self._counts.forget(sequence)
        return None

    async def _on_failure(self, message: Msg, error: Exception) -> None:
        failures = self._counts.failures.add(message.metadata.sequence.stream)
        deliveries, backoff = message.metadata.num_delivered, self._consumer.backoff
        if failures > len(backoff):
            reason = f"{type(error).__name__}: failed {failures} times in this process, delivered {deliveries} times"
            await self._store_dead_letter(message, [reason])
            return
        delay = backoff[failures - 1]
        logger.warning(
            "message_failed",
            failures=failures,
            deliveries=deliveries,
            again_in_seconds=delay,
            error=type(error).__name__,
            exc_info=error,
        )
        raise _DeliverAgain(delay) from error

    async def _store_dead_letter(self, message: Msg, reasons: Sequence[str]) -> None:
        metadata = message.metadata
        sequence = metadata.sequence.stream
        dead_letter = DeadLetter.of(
            stream=metadata.stream,
            sequence=sequence,
            consumer=self._consumer.name,
            subject=message.subject,
            reasons=reasons,
            deliveries=metadata.num_delivered,
            persons=self._sealer.persons_in(message) if self._sealer else persons_of_header(message.headers or {}),
        )
        try:
            copy = await self._sealer.copy_of(message, self._client) if self._sealer else None
            await store_dead_letter(self._client, dead_letter, copy)
            if copy and self._sealer:
                await self._sealer.erase(message)
        except DeadLetterRefused as error:
            self._terminate(message, reasons, error)
        except (NatsError, TimeoutError, OSError) as error:
            tries = self._counts.unstored.add(sequence)
            if tries > len(self._consumer.backoff):
                self._terminate(message, reasons, error)
            delay = self._consumer.backoff[tries - 1]
            logger.error("dead_letter_not_stored", tries=tries, again_in_seconds=delay, error=type(error).__name__)
            raise _DeliverAgain(delay) from error

    def _terminate(self, message: Msg, reasons: Sequence[str], error: Exception) -> NoReturn:
        metadata = message.metadata
        self._counts.forget(metadata.sequence.stream)
        TERMINATED.labels(consumer=self._consumer.name).inc()
        logger.critical(
            "message_terminated",
            stream=metadata.stream,
            sequence=metadata.sequence.stream,
            reasons=list(reasons),
            error=f"no dead letter could be stored: {str(error) or type(error).__name__}",
        )
        raise _Terminate from error
