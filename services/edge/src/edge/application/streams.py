"""The media streams of an attempt in the log: read, and reported when their processes said nothing."""

import asyncio
from collections.abc import Awaitable, Sequence
from uuid import UUID

import structlog

from chassis.event_log import StoredEvent
from contracts import (
    ConversationEnded,
    MediaClosed,
    MediaDegraded,
    MediaLost,
    MediaOpened,
    SpeechHeard,
    SpeechPlayed,
)
from contracts.vocabulary import DegradationReason
from edge.application.calls import call_in
from edge.domain.decisions import ReportLoss
from edge.domain.occurrences import StreamEnded
from edge.domain.streams import Streams
from edge.metrics import DEGRADED
from edge.ports import CallLog, Unavailable
from telephony.instructions import AskAgain, Instruction

STREAM_FACTS = (SpeechHeard, ConversationEnded, SpeechPlayed, MediaOpened, MediaClosed, MediaLost, MediaDegraded)
"""The facts on which the instruction after a stream depends."""

MAX_ANSWER_SECONDS = 5.0
"""How long the instruction after a stream may take; the line is silent meanwhile."""
MAX_REPETITIONS = 5
"""How often the provider is told to ask again: for about half a minute."""

logger = structlog.get_logger()


def streams_of(facts: Sequence[StoredEvent], attempt: int, *, is_configured: bool) -> Streams:
    """Returns the media streams of an attempt."""
    opened, lost, played, closed, is_degraded = set[int](), set[int](), set[int](), {}, False
    for event in (stored.event for stored in facts):
        match event:
            case MediaOpened(attempt=of_attempt, generation=generation) if of_attempt == attempt:
                opened.add(generation)
            case MediaClosed(attempt=of_attempt, generation=generation, reason=reason) if of_attempt == attempt:
                closed[generation] = reason
            case MediaLost(attempt=of_attempt, generation=generation) if of_attempt == attempt:
                lost.add(generation)
            case SpeechPlayed(attempt=of_attempt, turn=turn, is_complete=True) if of_attempt == attempt:
                played.add(turn)
            case MediaDegraded(attempt=of_attempt) if of_attempt == attempt:
                is_degraded = True
    return Streams(is_configured, frozenset(opened), closed, frozenset(lost), is_degraded, frozenset(played))


async def answer_in_time(response: Awaitable[Instruction], call_id: UUID, ended: StreamEnded) -> Instruction:
    """Returns what follows a stream; if the log does not tell it in time, the instruction to ask again after a pause.

    The callee is on the line, and a webhook that fails ends the call: the provider says so, and hangs up. Raises
    Unavailable after `MAX_REPETITIONS`.
    """
    try:
        async with asyncio.timeout(MAX_ANSWER_SECONDS):
            return await response
    except (Unavailable, TimeoutError) as error:
        if ended.repetition >= MAX_REPETITIONS:
            raise Unavailable("the log does not tell what follows the media stream") from error
        logger.warning("stream_end_not_answered", reason=str(error) or "late", repetition=ended.repetition)
        return AskAgain(call_id, ended.attempt, ended.generation, ended.repetition + 1)


async def report_loss(log: CallLog, newest: StoredEvent, loss: ReportLoss) -> None:
    """Appends that a stream is lost. A repeated webhook appends nothing."""
    call, generation = call_in(newest), loss.generation
    event = MediaLost(call_id=call.call_id, attempt=call.attempt, generation=generation, reason=loss.reason)
    await log.append(event, cause=newest.envelope, event_id=f"{call.call_id}/{call.attempt}/{generation}/lost")


async def report_degradation(log: CallLog, newest: StoredEvent, reason: DegradationReason) -> None:
    """Appends that the attempt goes on in turns. A repeated webhook appends nothing."""
    call = call_in(newest)
    event = MediaDegraded(call_id=call.call_id, attempt=call.attempt, reason=reason)
    stored = await log.append(event, cause=newest.envelope, event_id=f"{call.call_id}/{call.attempt}/degraded")
    if not stored.is_repeated:
        DEGRADED.labels(reason=reason).inc()
