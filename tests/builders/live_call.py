"""Builds what a live conversation leaves in the log: every event that only such conversations have."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from tests.builders.turns import a_reply, a_sentence

from contracts import (
    Call,
    CallCreated,
    CallStatus,
    CallStatusChanged,
    ConversationMode,
    DegradationReason,
    Event,
    InterruptionReason,
    KeysPressed,
    MediaClosed,
    MediaClosedReason,
    MediaDegraded,
    MediaLost,
    MediaLostReason,
    MediaOpened,
    SpeechHeard,
    SpeechInterrupted,
    SpeechPlayed,
    TurnLatencies,
)
from records.messages import Message

REPLY = "I can offer you Tuesday at eleven. Or Thursday at four."
HEARD = "I can offer you Tuesday"
LATENCIES = TurnLatencies(
    endpoint_seconds=0.5,
    log_seconds=0.01,
    first_sentence_seconds=0.4,
    synthesis_seconds=0.2,
    playout_seconds=0.04,
)


def live_call_events(call: Call, reply: str = REPLY, heard: str = HEARD, keys: str = "12") -> Iterator[Event]:
    """Yields the events of a call that is in progress.

    Its greeting and the reply of turn 1 are interrupted, keys are pressed, and it goes on in turns after two streams.
    """
    live = call.model_copy(update={"mode": ConversationMode.LIVE})
    yield CallCreated(call=live, occurred_at=live.created_at)
    for status in (CallStatus.DIALING, CallStatus.IN_PROGRESS):
        previous, live = live, live.model_copy(update={"status": status, "attempt": 1})
        yield CallStatusChanged(
            call=live, occurred_at=live.created_at, previous=previous.status, status=status, attempt=1
        )
    place = {"call_id": call.call_id, "attempt": 1}
    yield MediaOpened(**place, generation=1, stream_id="MZ1", previous_turn=0)
    yield _interrupted(call, 0, "Hola", InterruptionReason.WORDS)
    yield SpeechPlayed(**place, turn=0, is_complete=False, seconds=0.4)
    yield SpeechHeard(
        **place,
        turn=1,
        text="When can I come?",
        language="en",
        segments=2,
        spoken_seconds=1.5,
        endpoint_seconds=0.5,
        transcription_seconds=0.31,
    )
    yield a_sentence(call.call_id, 1, 0, reply)
    yield _interrupted(call, 1, heard, InterruptionReason.KEYS)
    yield SpeechPlayed(
        **place, turn=1, is_complete=False, seconds=1.2, pauses=3, resumes=2, backchannels=2, latencies=LATENCIES
    )
    yield a_reply(call.call_id, 1, reply)
    yield KeysPressed(**place, turn=1, keys=keys)
    yield SpeechHeard(**place, turn=2, text=f"[keys: {' '.join(keys)}]", language="en")
    yield a_reply(call.call_id, 2, "Thursday, then.")
    yield SpeechPlayed(**place, turn=2, is_complete=True, seconds=0.9)
    yield MediaClosed(**place, generation=1, reason=MediaClosedReason.DRAINED, seconds=12.4, frames=620, underruns=1)
    yield MediaOpened(**place, generation=2, stream_id="MZ2", previous_turn=2)
    yield MediaLost(**place, generation=2, reason=MediaLostReason.DIED)
    yield MediaDegraded(**place, reason=DegradationReason.LOST_STREAMS)


def _interrupted(call: Call, turn: int, heard: str, reason: InterruptionReason) -> SpeechInterrupted:
    return SpeechInterrupted(
        call_id=call.call_id, attempt=1, turn=turn, sentence=0, heard=heard, heard_seconds=1.2, reason=reason
    )


def messages_of(call: Call, events: Sequence[Event]) -> list[Message]:
    """Returns the events as messages of the log, one a second."""
    return [
        Message(
            "CALLS",
            number,
            call.created_at + timedelta(seconds=number),
            event.subject,
            {},
            event.model_dump_json().encode(),
        )
        for number, event in enumerate(events, 1)
    ]


def resources_of(messages: Sequence[Message]) -> list[dict[str, object]]:
    """Returns the events of messages as the REST API has them."""
    return [
        {
            "sequence": message.sequence,
            "type": stored.event.type_name(),
            "time": message.time.isoformat(),
            "data": stored.event.model_dump(mode="json"),
            "unreadable": [],
        }
        for message in messages
        for stored in (message.stored_event(),)
    ]
