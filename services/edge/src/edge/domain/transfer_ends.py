"""What follows the end of a transfer (docs/transfers.md), as far as it does not depend on the mode of the call."""

from contracts.transfers import TransferStatus, transfer_result
from edge.domain.decisions import ClaimTurn, EndTransfer
from edge.domain.dialogue_state import Dialogue
from edge.domain.occurrences import TransferReported
from telephony.instructions import HangUp, Utterance


def unreported_end(dialogue: Dialogue, reported: TransferReported) -> EndTransfer | None:
    """Returns how the transfer ended, if the log does not say it yet. Also a callee who has hung up ends it."""
    transfer = dialogue.transfer
    if transfer is None or (reported.attempt, reported.turn) != (dialogue.attempt, transfer.turn) or transfer.status:
        return None
    return EndTransfer(transfer, transfer.ended(reported.status, is_bridged=reported.is_bridged), reported.seconds)


def consequence_of(dialogue: Dialogue, reported: TransferReported) -> HangUp | ClaimTurn | None:
    """Returns the end of the call, or the turn that the result claims. None: it has claimed its turn before."""
    transfer = dialogue.transfer
    if transfer is None or transfer.turn != reported.turn or dialogue.claimed_turn is not None:
        return None
    if transfer.status is TransferStatus.COMPLETED or dialogue.has_ended:
        return HangUp()
    result = transfer_result(transfer.destination, transfer.status or reported.status)
    return ClaimTurn(dialogue.last_turn + 1, Utterance(result, None, reported.event_id(dialogue.call_id)))
