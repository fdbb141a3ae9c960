"""The keys that the agent presses: what its reply requests, and that they are pressed once at most."""

from collections.abc import Iterable

from chassis.event_log import StoredEvent
from contracts import DigitsSent, Event, ReplyGenerated
from edge.domain.decisions import SendDigits
from edge.ports import CallLog
from telephony.instructions import PressKeys

DIGIT_FACTS = (ReplyGenerated, DigitsSent)


def digits_of(events: Iterable[Event], attempt: int, turn: int) -> tuple[str, bool]:
    """Returns the keys that the reply of a turn requests and that were not pressed, and whether they were pressed."""
    digits, has_sent = "", False
    for event in events:
        if not isinstance(event, ReplyGenerated | DigitsSent) or (event.attempt, event.turn) != (attempt, turn):
            continue
        digits = event.digits
        has_sent = has_sent or isinstance(event, DigitsSent)
    return ("" if has_sent else digits), has_sent


async def press_keys(log: CallLog, newest: StoredEvent, keys: SendDigits) -> PressKeys:
    """Appends that the keys are pressed, and returns the instruction.

    The event is stored before the answer, so a repeated or lost answer presses nothing twice: it then presses nothing,
    and the agent hears the menu again.
    """
    press = keys.instruction
    event = DigitsSent(call_id=press.call_id, attempt=press.attempt, turn=press.turn, digits=press.digits)
    event_id = f"{press.call_id}/{press.attempt}/digits/{press.turn}"
    await log.append(event, cause=newest.envelope, event_id=event_id)
    return press
