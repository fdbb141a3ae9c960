"""The transfers of an attempt in the log: read, and appended as the provider reports them (docs/transfers.md).

Each of these events is stored once for a transfer, also if a webhook is repeated.
"""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from chassis.event_log import StoredEvent
from contracts import Call, CallEvent, TransferAnswered, TransferEnded, TransferRequested, TransferStarted
from contracts.transfers import RING_SECONDS, TransferKind
from edge.application.calls import call_in
from edge.domain.decisions import EndTransfer, StartTransfer
from edge.domain.transfers import Transfer
from edge.metrics import TRANSFER_SECONDS, TRANSFERS
from edge.ports import CallLog
from telephony.instructions import ConnectPerson

TRANSFER_FACTS: tuple[type[CallEvent], ...] = (TransferRequested, TransferAnswered, TransferEnded)
"""The facts on which the instruction after a transfer depends."""


def kinds_of(call: Call, kinds: Sequence[type[CallEvent]]) -> Sequence[type[CallEvent]]:
    """Returns the facts to read: those about transfers, too, if the call may have any."""
    return (*kinds, *TRANSFER_FACTS) if call.has_tools else kinds


def transfer_of(facts: Sequence[StoredEvent], attempt: int) -> Transfer | None:
    """Returns the newest transfer of an attempt; none if the facts contain none."""
    transfer: Transfer | None = None
    for event in (stored.event for stored in facts):
        match event:
            case TransferRequested() if event.attempt == attempt:
                transfer = Transfer(event.turn, event.destination, event.kind, event.phone_number, event.summary)
            case TransferAnswered() if transfer and (event.attempt, event.turn) == (attempt, transfer.turn):
                transfer = replace(transfer, is_accepted=event.is_accepted)
            case TransferEnded() if transfer and (event.attempt, event.turn) == (attempt, transfer.turn):
                transfer = replace(transfer, status=event.status)
    return transfer


async def start_transfer(log: CallLog, newest: StoredEvent, start: StartTransfer, max_seconds: int) -> ConnectPerson:
    """Appends that the transfer begins. Returns the instruction that dials the person.

    A repeated webhook gets the same instruction: the provider carries out only the answer that it receives.
    """
    call, transfer, turn = call_in(newest), start.transfer, start.transfer.turn
    started = TransferStarted(
        call_id=call.call_id,
        attempt=call.attempt,
        turn=turn,
        destination=transfer.destination,
        kind=transfer.kind,
        ring_seconds=RING_SECONDS,
        max_seconds=max_seconds,
        words=start.words,
    )
    await log.append(started, cause=newest.envelope, event_id=_event_id(call.call_id, call.attempt, turn, "started"))
    return ConnectPerson(
        call.call_id,
        call.attempt,
        turn,
        transfer.phone_number,
        RING_SECONDS,
        max_seconds,
        call.caller_id,
        is_offered=transfer.kind is TransferKind.WARM,
    )


async def answer_transfer(log: CallLog, call_id: UUID, attempt: int, turn: int, *, is_accepted: bool) -> None:
    """Appends that the person has answered, and whether the callee was accepted."""
    answered = TransferAnswered(call_id=call_id, attempt=attempt, turn=turn, is_accepted=is_accepted)
    await log.append(answered, cause=None, event_id=_event_id(call_id, attempt, turn, "answered"))


async def end_transfer(log: CallLog, newest: StoredEvent, ending: EndTransfer) -> None:
    """Appends how the transfer ended."""
    call, transfer = call_in(newest), ending.transfer
    ended = TransferEnded(
        call_id=call.call_id,
        attempt=call.attempt,
        turn=transfer.turn,
        destination=transfer.destination,
        status=ending.status,
        seconds=ending.seconds,
    )
    event_id = _event_id(call.call_id, call.attempt, transfer.turn, "ended")
    await log.append(ended, cause=newest.envelope, event_id=event_id)
    TRANSFERS.labels(kind=transfer.kind, status=ending.status).inc()
    if ending.seconds:
        TRANSFER_SECONDS.labels(kind=transfer.kind).observe(ending.seconds)


def _event_id(call_id: UUID, attempt: int, turn: int, name: str) -> str:
    return f"{call_id}/{attempt}/transfer/{turn}/{name}"
