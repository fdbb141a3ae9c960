"""How long the callee waits for a reply: fillers shorten the wait, and a conversation without replies ends.

Conversation answers within its own deadline, also if every model fails. A reply that does not come means that no
replica of it works. The wait begins with the first turn that has no reply: further words of the callee do not renew it.
"""

from voice.domain.live.turn_policy import TurnPolicy


class ReplyWait:
    """The wait of one callee. Instants are those of the running loop's clock."""

    def __init__(self, policy: TurnPolicy) -> None:
        self._policy = policy
        self._began_at: float | None = None
        self._filler_at: float | None = None

    def begin(self, now: float) -> None:
        """Takes that a turn is claimed, whose reply is owed."""
        self._began_at = now if self._began_at is None else self._began_at
        self._filler_at = now + self._policy.filler_seconds

    def end(self) -> None:
        """Takes that a reply comes, or that none is owed."""
        self._began_at = self._filler_at = None

    def takes_filler(self, now: float) -> bool:
        """Returns whether a filler is due now. The next one follows later."""
        if self._filler_at is None or now < self._filler_at:
            return False
        self._filler_at = now + self._policy.next_filler_seconds
        return True

    def stood_still(self, seconds: float) -> None:
        """Takes that this process stood still: a reply may have arrived that was not read yet."""
        if self._began_at is not None:
            self._began_at += seconds

    def is_over(self, now: float) -> bool:
        """Returns whether the callee has waited for too long."""
        return self._began_at is not None and now - self._began_at >= self._policy.unanswered_seconds
