"""Answers the provider's questions about the leg to a person: the offer of a warm transfer, and the person's choice.

They concern another line than that of the callee, so no turn is claimed. A person joins the callee only after it is in
the log that the callee was accepted: so a leg that was accepted and not connected is not taken for a transfer.
"""

from uuid import UUID

from contracts.transfers import ACCEPT_KEY
from edge.application.calls import call_in, last_decision
from edge.application.facts import read_facts
from edge.application.transfer_events import TRANSFER_FACTS, answer_transfer, transfer_of
from edge.domain.transfers import offer_of
from edge.ports import CallLog
from telephony.instructions import HangUp, Instruction, JoinCall, OfferTransfer


class Transfers:
    """The legs to persons. Methods raise UnknownCall, and Unavailable if the log cannot be used."""

    def __init__(self, log: CallLog) -> None:
        self._log = log

    async def offer(self, call_id: UUID, attempt: int, turn: int) -> Instruction:
        """Returns the instruction that offers the callee to the person who has answered."""
        newest = await last_decision(self._log, call_id)
        call = call_in(newest)
        facts = await read_facts(self._log, call_id, TRANSFER_FACTS, after_sequence=0)
        transfer = transfer_of(facts, attempt)
        if not call.may_use_line(attempt) or transfer is None or transfer.turn != turn or transfer.status is not None:
            return HangUp()
        text = offer_of(transfer.summary, call.language, ACCEPT_KEY)
        return OfferTransfer(call_id, attempt, turn, call.language, text)

    async def choose(self, call_id: UUID, attempt: int, turn: int, key: str) -> Instruction:
        """Appends what the person has chosen. Returns the instruction that connects both, or ends the person's leg."""
        await last_decision(self._log, call_id)
        is_accepted = key == ACCEPT_KEY
        await answer_transfer(self._log, call_id, attempt, turn, is_accepted=is_accepted)
        return JoinCall() if is_accepted else HangUp()

    async def note_answer(self, call_id: UUID, attempt: int, turn: int) -> None:
        """Appends that the person of a cold transfer has answered."""
        await answer_transfer(self._log, call_id, attempt, turn, is_accepted=True)
