"""Appends a call of many events: what an ended conversation of many turns leaves in the log."""

from collections.abc import Iterator
from datetime import timedelta

from tests.builders.turns import a_reply, a_sentence, an_utterance

from chassis.event_log import EventLog
from contracts import (
    AudioReady,
    Call,
    CallCreated,
    CallStatus,
    CallStatusChanged,
    ConversationEnded,
    DialPlaced,
    Disposition,
    Event,
    TelephonyStatusReported,
)
from contracts.examples import EXAMPLES
from contracts.vocabulary import TelephonyStatus

PERSON = "ab" * 16
UTTERANCE = "Good morning, yes, that is me; I am not quite sure yet whether I can come on {n} March at ten o'clock."
REPLY = (
    "No problem at all. I can offer you Tuesday the {n}th at eleven, or Thursday at half past four in the afternoon."
)


async def append_long_call(
    calls: EventLog, created: Call, *, events: int = 200, person: str = PERSON, is_completed: bool = True
) -> Call:
    """Appends a call of exactly so many events; returns the call after the last one."""
    call = created.model_copy(update={"number_digest": person})
    last = call
    for event in _events(call, events, is_completed):
        await calls.append(event, person=person)
        last = getattr(event, "call", last)
    return last


def _events(call: Call, count: int, is_completed: bool) -> Iterator[Event]:
    yield CallCreated(call=call, occurred_at=call.created_at)
    steps = (
        (CallStatus.DIALING, DialPlaced(call_id=call.call_id, attempt=1, provider_call_id="CA1")),
        (CallStatus.RINGING, None),
        (CallStatus.IN_PROGRESS, None),
    )
    for second, (status, placed) in enumerate(steps, start=1):
        reported = TelephonyStatus.RINGING if status == CallStatus.RINGING else TelephonyStatus.IN_PROGRESS
        if status != CallStatus.DIALING:
            yield TelephonyStatusReported(call_id=call.call_id, attempt=1, provider_call_id="CA1", status=reported)
        changed = _moved(call, status, second)
        call = changed.call
        yield changed
        if placed:
            yield placed
    for number in range(count - 9 if is_completed else count - 7):
        yield _of_conversation(call, number)
    if not is_completed:
        return
    yield ConversationEnded(
        call_id=call.call_id, attempt=1, turn=1, disposition=Disposition.CONFIRMED, summary="Comes on Tuesday."
    )
    yield _moved(call, CallStatus.COMPLETED, count)


def _moved(call: Call, status: CallStatus, second: int) -> CallStatusChanged:
    at = call.created_at + timedelta(seconds=second)
    after = call.model_copy(update={"status": status, "attempt": 1, "status_changed_at": at, "reason": None})
    return CallStatusChanged(call=after, occurred_at=at, previous=call.status, status=status, attempt=1)


def _of_conversation(call: Call, number: int) -> Event:
    """Returns the event with this number of a conversation whose turns have four events each."""
    turn = number // 4 + 1
    match number % 4:
        case 0:
            return an_utterance(call.call_id, turn, UTTERANCE.format(n=turn))
        case 1:
            return a_sentence(call.call_id, turn, 1, REPLY.format(n=turn))
        case 2:
            return a_reply(call.call_id, turn, REPLY.format(n=turn))
        case _:
            ready = EXAMPLES["audio.ready"]
            assert isinstance(ready, AudioReady)
            return ready.model_copy(update={"call_id": call.call_id, "attempt": 1, "turn": turn})
