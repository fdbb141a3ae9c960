"""Examples of the events about transfers, for `contracts.examples`."""

from datetime import datetime, timedelta

from contracts.call import Call
from contracts.event import Event
from contracts.events.calls import CallTransferEnded, CallTransferStarted
from contracts.events.transfers import TransferAnswered, TransferEnded, TransferRequested, TransferStarted
from contracts.transfers import TransferKind, TransferStatus

_DESTINATION = "appointments"


def transfer_examples(call: Call, at: datetime) -> tuple[Event, ...]:
    """Returns an example of each event. `call` is in progress."""
    call_id, attempt, turn = call.call_id, call.attempt, 1
    transferring = call.model_copy(
        update={
            "transfer_turn": turn,
            "is_transferring": True,
            "deadline_at": at + timedelta(seconds=25 + 90 + 3_600 + 60),
        }
    )
    return (
        TransferRequested(
            call_id=call_id,
            attempt=attempt,
            turn=turn,
            destination=_DESTINATION,
            kind=TransferKind.WARM,
            phone_number="+12125550145",
            summary="Ana Ruiz asks whether her appointment can be moved to Friday.",
        ),
        TransferStarted(
            call_id=call_id,
            attempt=attempt,
            turn=turn,
            destination=_DESTINATION,
            kind=TransferKind.WARM,
            ring_seconds=25,
            max_seconds=3_600,
            words="All right.",
        ),
        TransferAnswered(call_id=call_id, attempt=attempt, turn=turn, is_accepted=False),
        TransferEnded(
            call_id=call_id,
            attempt=attempt,
            turn=turn,
            destination=_DESTINATION,
            status=TransferStatus.REFUSED,
            seconds=12,
        ),
        CallTransferStarted(call=transferring, occurred_at=at),
        CallTransferEnded(call=call.model_copy(update={"transfer_turn": turn}), occurred_at=at + timedelta(seconds=31)),
    )
