"""Transfers, as the edge conducts them: the callee is connected with a person of the company (docs/transfers.md).

A transfer is one instruction on the line of the callee: the provider dials the person, connects both, and asks what is
next when the leg of the person has ended. So nothing has to be dialled, found or ended by us, and a process that dies
loses nothing: each of the provider's questions is answered from the log.

Who was connected also follows from the log. Of a warm transfer the provider reports a leg as completed that was never
connected, because the person was heard on it. So it counts as completed only if the person has accepted it.
"""

from dataclasses import dataclass

from contracts.transfers import TransferKind, TransferStatus


@dataclass(frozen=True, slots=True)
class Transfer:
    """One transfer of an attempt, from the log. `turn`: in whose reply it was announced."""

    turn: int
    destination: str
    kind: TransferKind
    phone_number: str
    summary: str = ""
    is_accepted: bool | None = None
    """Whether the person has answered, and accepted a warm transfer; none: not known."""
    status: TransferStatus | None = None
    """How it ended; none: it did not."""

    def ended(self, reported: TransferStatus, *, is_bridged: bool | None) -> TransferStatus:
        """Returns how it ended, from what the provider reports of the leg. `is_bridged`: none if it does not say."""
        if self.is_accepted:
            return TransferStatus.COMPLETED
        if reported is not TransferStatus.COMPLETED:
            return TransferStatus.REFUSED if self.is_accepted is False else reported
        if self.kind is TransferKind.WARM:
            return TransferStatus.REFUSED
        return TransferStatus.NO_ANSWER if is_bridged is False else TransferStatus.COMPLETED


OFFERS = {
    "es": "Se le transfiere una llamada. {summary} Para aceptarla, pulse {key}.",
    "en": "A call is being transferred to you. {summary} To accept it, press {key}.",
}
"""What a person hears before a warm transfer, by primary language."""


def offer_of(summary: str, language: str, key: str) -> str:
    """Returns what the person hears. Each sentence of it ends with a full stop."""
    text = summary.strip()
    if text and text[-1] not in ".!?…":
        text += "."
    return " ".join(OFFERS[language.split("-")[0]].format(summary=text, key=key).split())
