"""The words of transfers: the callee is connected with a person of the company (docs/transfers.md).

Standard library only, so that a pure domain may import them.
"""

from enum import StrEnum


class TransferKind(StrEnum):
    """How a call is transferred."""

    COLD = "cold"
    """The callee is connected at once with the person who answers."""
    WARM = "warm"
    """The person hears first who is transferred and why, and accepts by a key. The callee waits meanwhile."""


class TransferStatus(StrEnum):
    """How a transfer ended."""

    COMPLETED = "completed"
    """Both were connected, and one of them has hung up."""
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    REFUSED = "refused"
    """The person did not accept it by the key."""
    FAILED = "failed"
    """The network could not reach the number."""
    CANCELED = "canceled"
    """The callee, or an operator, ended the call before a person answered."""


ACCEPT_KEY = "1"
"""The key by which a person accepts a warm transfer."""
RING_SECONDS = 25
"""How long the telephone of the person rings."""
SCREENING_SECONDS = 90
"""How long a person may take at most to hear the summary of a warm transfer and accept it."""
MAX_TRANSFER_SECONDS = 10_800
"""The longest limit of the time that a callee talks with a person. The telephone provider allows calls of 4 hours."""
MAX_TRANSFERS = 3
"""How many transfers the agent may begin in one attempt."""
MAX_SUMMARY_CHARACTERS = 600
"""About 45 seconds of speech."""

_WORDS = {
    TransferStatus.COMPLETED: "they were connected",
    TransferStatus.NO_ANSWER: "no answer",
    TransferStatus.BUSY: "busy",
    TransferStatus.REFUSED: "not accepted",
    TransferStatus.FAILED: "not reached",
    TransferStatus.CANCELED: "canceled",
}


def transfer_words(status: TransferStatus) -> str:
    """Returns how a transfer ended, in words."""
    return _WORDS[status]


def transfer_result(destination: str, status: TransferStatus) -> str:
    """Returns the words that claim the turn after a transfer that connected no person: ``[transfer sales: busy]``.

    The agent answers to them, as to keys that were pressed.
    """
    return f"[transfer {destination}: {_WORDS[status]}]"
