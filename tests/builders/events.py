"""Builds events and envelopes."""

from tests.builders.calls import NOW

from contracts import Call, CallCreated, CallStatus, CallStatusChanged, Envelope


def call_created(call: Call) -> CallCreated:
    """Returns the event that created the call."""
    return CallCreated(call=call, occurred_at=call.created_at)


def status_changed(call: Call, *, previous: CallStatus = CallStatus.PENDING) -> CallStatusChanged:
    """Returns the event by which the call came into its status."""
    return CallStatusChanged(
        call=call, occurred_at=call.status_changed_at, previous=previous, status=call.status, attempt=call.attempt
    )


def an_envelope(id: str = "cause-1") -> Envelope:
    """Returns the envelope of a message with this id, such as the cause of an event."""
    return Envelope.read({}, subject="test", id=id, time=NOW)
