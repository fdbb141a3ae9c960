"""The rules for transfers: the callee is connected with a person of the company (docs/transfers.md).

The provider dials the person, and connects both on the line of the call. So the call occupies its slot, and a hang-up
ends both legs. Its deadline becomes the latest end of the transfer. Once both are connected, the conversation has its
disposition. Each end of the line then completes the call, also if the end of the transfer is never reported.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from call_orchestrator.domain import inputs
from call_orchestrator.domain.decisions import CallConcluded, CallTransferEnded, CallTransferStarted, Decision, Ignored
from call_orchestrator.domain.states import InProgress, Live, Terms
from contracts.transfers import MAX_TRANSFER_SECONDS, TransferStatus
from contracts.vocabulary import Disposition

TRANSFER_MARGIN = timedelta(minutes=1)
"""How long the provider may take to report the end of a transfer that has reached its limit."""
MIN_TALK_AFTER = timedelta(minutes=2)
"""How long the conversation may go on at least after a transfer that connected no person."""
HANGUP_MARGIN = timedelta(seconds=4)
"""How long the edge's instruction to close the line may take after a transfer."""
_LONGEST = timedelta(seconds=MAX_TRANSFER_SECONDS)


def start_transfer(state: Live, started: inputs.TransferStarted, now: datetime) -> Decision:
    """Gives the call time for the transfer."""
    if state.hangup_reason is not None or state.disposition is not None:
        return Ignored("the conversation is over already")
    if state.message is not None:
        return Ignored("a machine answered")
    if started.turn <= state.transfer_turn:
        return Ignored("the transfer has begun before")
    deadline_at = now + started.longest + TRANSFER_MARGIN
    after = replace(state, transfer_turn=started.turn, is_transferring=True, deadline_at=deadline_at)
    return CallTransferStarted(state=after)


def answer_transfer(state: Live, answered: inputs.TransferAnswered, now: datetime) -> Decision:
    """Decides that the callee was connected. The call ends when one of both hangs up."""
    if _is_over(state, answered.turn):
        return Ignored("no such transfer is in progress")
    if state.hangup_reason is not None or state.disposition is not None:
        return Ignored("the conversation is over already")
    if not answered.is_accepted:
        return Ignored("the end of the transfer follows")
    deadline_at = now + _LONGEST + TRANSFER_MARGIN
    if state.transfer_turn == answered.turn:
        deadline_at = min(state.deadline_at, deadline_at)
    after = replace(state, transfer_turn=answered.turn, is_transferring=True, deadline_at=deadline_at)
    return CallConcluded(state=replace(after, disposition=Disposition.TRANSFERRED))


def end_transfer(state: Live, ended: inputs.TransferEnded, terms: Terms, now: datetime) -> Decision:
    """Decides what follows a transfer: the end of the call, or the conversation if no person was connected.

    An end that overtakes its beginning is recorded, so that the beginning is ignored.
    """
    if _is_over(state, ended.turn):
        return Ignored("no such transfer is in progress")
    if state.hangup_reason is not None:
        return Ignored("the line is being closed already")
    over = replace(state, transfer_turn=ended.turn, is_transferring=False)
    if state.disposition is Disposition.TRANSFERRED or (
        state.disposition is None and ended.status is TransferStatus.COMPLETED
    ):
        deadline_at = now + HANGUP_MARGIN
        return CallConcluded(state=replace(over, disposition=Disposition.TRANSFERRED, deadline_at=deadline_at))
    if state.disposition is not None:
        return Ignored("the conversation is over already")
    talk_ends_at = state.answered_at + terms.max_talk if isinstance(state, InProgress) else now + terms.max_talk
    return CallTransferEnded(state=replace(over, deadline_at=max(talk_ends_at, now + MIN_TALK_AFTER)))


def _is_over(state: Live, turn: int) -> bool:
    """Whether the transfer that was announced in this turn is over, or a later one has begun."""
    return turn < state.transfer_turn or (turn == state.transfer_turn and not state.is_transferring)
