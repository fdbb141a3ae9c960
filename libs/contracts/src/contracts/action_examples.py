"""Examples of the events about what the model does beside speaking, for `contracts.examples`."""

from datetime import UTC, datetime

from contracts.call import Call
from contracts.event import Event
from contracts.events.calls import CallCallbackNoted
from contracts.events.conversations import CallbackScheduled
from contracts.events.telephony import DigitsSent
from contracts.transfer_examples import transfer_examples
from contracts.values import call_id_of

_CALL_ID = call_id_of("appointment-1027")
_AT = datetime(2026, 3, 3, 15, 0, tzinfo=UTC)

_CALLBACK = {"callback_at": _AT, "callback_number": 1, "callback_reason": "At work until three."}


def action_examples(talking: Call, noted_at: datetime) -> tuple[Event, ...]:
    """Returns the examples. `talking`: a call in progress, whose callee asks at `noted_at` to be called again."""
    return (
        CallCallbackNoted(call=talking.model_copy(update=_CALLBACK), occurred_at=noted_at),
        CallbackScheduled(
            call_id=_CALL_ID,
            attempt=1,
            turn=2,
            number=1,
            at=_AT,
            asked_at=_AT,
            local_time="2026-03-03T10:00:00-05:00",
            reason="At work until three.",
        ),
        DigitsSent(call_id=_CALL_ID, attempt=1, turn=2, digits="1w2"),
        *transfer_examples(talking, noted_at),
    )
