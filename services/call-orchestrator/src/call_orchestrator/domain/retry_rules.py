"""The rules by which a call is dialled again after an outcome.

An attempt ends with an outcome (`RetryOutcome`). A call may have a rule for it: how many retries may follow this
outcome, and after which delay. The delay grows by a factor with each of them. Each outcome has its own count, and
`max_retries` of the call limits the sum, because it limits dials.

Without a rule, a call that was busy, not answered or failed is dialled again after `retry_delay`. One that reached a
voicemail, or whose callee hung up early, is not. Nor is one whose conversation has a disposition: only a campaign with
a goal may have a rule for conversations that did not reach it.
"""

from dataclasses import dataclass
from datetime import timedelta

from contracts.vocabulary import Disposition, RetryOutcome

MAX_DELAY = timedelta(days=7)
EARLY_HANGUP = timedelta(seconds=10)
RETRIED_WITHOUT_RULE = frozenset({RetryOutcome.BUSY, RetryOutcome.NO_ANSWER, RetryOutcome.FAILED})
CONTINUABLE = frozenset(
    {
        Disposition.RESCHEDULED,
        Disposition.CALLBACK_REQUESTED,
        Disposition.ANSWERED,
        Disposition.UNRESPONSIVE,
        Disposition.TECHNICAL_FAILURE,
    }
)
"""After these dispositions a person may be called again for the goal of the campaign. A person who has confirmed or
declined, is another one, or wants no calls is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRule:
    """The rule of one outcome."""

    max_retries: int
    delay: timedelta
    backoff: float = 1
    max_delay: timedelta = MAX_DELAY

    def next_delay(self, retries: int) -> timedelta | None:
        """Returns the delay of the next retry, in whole seconds; None if no retry remains.

        `retries`: how many followed this outcome before.
        """
        if retries >= self.max_retries:
            return None
        seconds = self.delay.total_seconds() * self.backoff**retries
        return timedelta(seconds=round(min(seconds, self.max_delay.total_seconds())))
