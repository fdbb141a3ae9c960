"""The media streams of an attempt in the log: read, and reported when their processes said nothing."""

from collections.abc import Sequence

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
from edge.domain.streams import Streams
from edge.metrics import DEGRADED
from edge.ports import CallLog

STREAM_FACTS = (SpeechHeard, ConversationEnded, SpeechPlayed, MediaOpened, MediaClosed, MediaLost, MediaDegraded)
"""The facts on which the instruction after a stream depends."""


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


async def report_loss(log: CallLog, newest: StoredEvent, loss: ReportLoss) -> None:
    """Appends that a stream is lost. A repeated webhook appends nothing."""
    call, generation = call_in(newest), loss.generation
    event = MediaLost(call_id=call.call_id, attempt=call.attempt, generation=generation, reason=loss.reason)
    await log.append(event, cause=newest.envelope, event_id=f"{call.call_id}/{call.attempt}/{generation}/lost")


async def report_degradation(log: CallLog, newest: StoredEvent, reason: DegradationReason) -> None:
    """Appends that the attempt goes on in turns. A repeated webhook appends nothing."""
    call = call_in(newest)
    event = MediaDegraded(call_id=call.call_id, attempt=call.attempt, reason=reason)
    await log.append(event, cause=newest.envelope, event_id=f"{call.call_id}/{call.attempt}/degraded")
    DEGRADED.labels(reason=reason).inc()
