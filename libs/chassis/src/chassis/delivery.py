"""What happens to a message around its handler: acknowledgement, retry, dead letter, trace, metrics, log context.

| the handler | the message | counted as a failure |
|---|---|---|
| returns | is acknowledged | no |
| is not called, because the message is no event | becomes a dead letter at once | |
| raises `RetryLater` | is delivered again after the delay, up to `MAX_DELIVERIES` | no |
| raises anything else | is delivered again after ``Consumer.backoff``; after that it becomes a dead letter | yes |

A dead letter is stored before the message is acknowledged, so no message is lost in between. A message whose dead
letter cannot be stored is terminated, which raises an alert; it stays in its stream, and the log line names its
sequence.

Failures are counted here and not by the server's ``num_delivered``, which counts expected waiting too. Each process
counts in its own memory, from 0 after a restart. So each replica may try a message that always fails once per entry of
``backoff``. `MAX_DELIVERIES` bounds the sum over all processes.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn

import structlog
from faststream import BaseMiddleware, PublishCommand
from faststream.context import ContextRepo
from faststream.exceptions import NackMessage, RejectMessage
from faststream.message import StreamMessage
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from structlog.contextvars import bound_contextvars

from chassis import tracing
from chassis.ack_extension import extend_ack_deadline
from chassis.dead_letters import DeadLetterRefused, store_dead_letter
from chassis.failure_counts import FailureCounts
from chassis.metrics import DEAD_LETTERS, HANDLING_SECONDS, TERMINATED
from chassis.retry_later import RetryLater
from contracts import InvalidMessage
from contracts.streams import Consumer, subject_ids

MAX_DELIVERIES = 200
"""A message that was delivered more often than this becomes a dead letter at its next failure or wait. Expected waiting
ends after some tens of deliveries; one that does not end would use a part of the consumer's ``max_ack_pending`` for
ever."""

CallNext = Callable[[StreamMessage[Msg]], Awaitable[Any]]

logger = structlog.get_logger()


class ConsumerDelivery:
    """Makes the FastStream middleware of one consumer, a new one for each message."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self.failures = FailureCounts()
        self.unstored = FailureCounts()
        # The series exist from the start: increase() does not see a series that begins with 1.
        for counter in (DEAD_LETTERS, TERMINATED):
            counter.labels(consumer=consumer.name)

    def __call__(self, message: Msg | None, /, *, context: ContextRepo) -> "_Delivery":
        """Called by FastStream with the message."""
        return _Delivery(message, context=context, of=self)


class _Delivery(BaseMiddleware[PublishCommand, Msg | None]):
    """One delivery of one message."""

    def __init__(self, message: Msg | None, /, *, context: ContextRepo, of: ConsumerDelivery) -> None:
        super().__init__(message, context=context)
        self._consumer = of.consumer
        self._failures = of.failures
        self._unstored = of.unstored

    async def consume_scope(self, call_next: CallNext, msg: StreamMessage[Msg]) -> Any:
        """Calls the handler. FastStream acknowledges on return and carries out NackMessage and RejectMessage."""
        name, ids = self._consumer.name, subject_ids(msg.raw_message.subject)
        traceparent = (msg.raw_message.headers or {}).get("traceparent")
        with (
            tracing.span(f"process {name}", tracing.PROCESS, traceparent, **ids),
            bound_contextvars(consumer=name, **ids),
            HANDLING_SECONDS.labels(consumer=name).time(),
        ):
            wait = await self._handle(call_next, msg)
        if wait is not None:
            raise NackMessage(delay=wait.delay)

    async def _handle(self, call_next: CallNext, msg: StreamMessage[Msg]) -> RetryLater | None:
        message = msg.raw_message
        try:
            await msg.decode()  # FastStream keeps the result
        except InvalidMessage as error:
            await self._store_dead_letter(message, error.reasons)
            return None
        try:
            async with extend_ack_deadline(message, self._consumer):
                await call_next(msg)
        except RetryLater as wait:
            if wait.is_unlimited or message.metadata.num_delivered <= MAX_DELIVERIES:
                logger.debug("message_waits", reason=type(wait).__name__, again_in_seconds=wait.delay)
                return wait
            await self._on_failure(message, wait)
        # Also InvalidMessage: a handler may read a stored event that it cannot decode (law 12).
        except Exception as error:  # noqa: BLE001  the message must survive every error of a handler
            await self._on_failure(message, error)
        self._failures.forget(message.metadata.sequence.stream)
        return None

    async def _on_failure(self, message: Msg, error: Exception) -> None:
        failures = self._failures.add(message.metadata.sequence.stream)
        deliveries, backoff = message.metadata.num_delivered, self._consumer.backoff
        if failures > len(backoff) or deliveries > MAX_DELIVERIES:
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
        raise NackMessage(delay=delay) from error

    async def _store_dead_letter(self, message: Msg, reasons: Sequence[str]) -> None:
        sequence, client = message.metadata.sequence.stream, self.context.get_local("handler_").connection
        try:
            await store_dead_letter(client, self._consumer.name, message, reasons)
        except DeadLetterRefused as error:
            self._terminate(message, reasons, error)
        except (NatsError, TimeoutError, OSError) as error:
            tries = self._unstored.add(sequence)
            if tries > len(self._consumer.backoff):
                self._terminate(message, reasons, error)
            delay = self._consumer.backoff[tries - 1]
            logger.error("dead_letter_not_stored", tries=tries, again_in_seconds=delay, error=type(error).__name__)
            raise NackMessage(delay=delay) from error
        self._unstored.forget(sequence)

    def _terminate(self, message: Msg, reasons: Sequence[str], error: Exception) -> NoReturn:
        metadata = message.metadata
        for counts in (self._failures, self._unstored):
            counts.forget(metadata.sequence.stream)
        TERMINATED.labels(consumer=self._consumer.name).inc()
        logger.critical(
            "message_terminated",
            stream=metadata.stream,
            sequence=metadata.sequence.stream,
            reasons=list(reasons),
            error=f"no dead letter could be stored: {str(error) or type(error).__name__}",
        )
        raise RejectMessage from error
