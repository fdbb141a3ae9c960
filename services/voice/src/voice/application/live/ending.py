"""When a stream ends, and why.

A stream whose process stops ends where the callee loses nothing by it: behind a sentence of ours, and before or behind
an utterance. An utterance that has begun claims its turn first, so that the next stream answers it. A callee who goes
on for long is not waited for: the next stream continues with the words until a pause.
"""

import asyncio
from collections.abc import Callable
from enum import Enum, auto

from contracts import MediaClosedReason
from voice.application.speech.synthesis import Sentence

MAX_FINISHING_SECONDS = 5.0
"""How long a stream that ends waits for the end of a sentence, or of the callee's turn."""
TURN_SECONDS = 2.5
"""How long it waits for the end of the callee's turn; then it ends in the next pause."""


class Unclaimed(Enum):
    """What the callee has said, or is saying, that has claimed no turn."""

    NOTHING = auto()
    IN_PAUSE = auto()
    """The callee makes a pause, and the words until then are known."""
    UNFINISHED = auto()
    """The callee speaks or presses keys, or a transcript is awaited."""


class Ending:
    """The end of one stream. Instants are those of the running loop's clock."""

    def __init__(self, unclaimed: Callable[[], Unclaimed] = lambda: Unclaimed.NOTHING) -> None:
        self._reason: asyncio.Future[MediaClosedReason] = asyncio.get_running_loop().create_future()
        self._finishing: tuple[MediaClosedReason, float] | None = None
        self._unclaimed = unclaimed
        self.failed: tuple[Sentence, str] | None = None
        """The first sentence that cannot be synthesized, and why: the stream ends once those before it were heard."""

    async def wait(self) -> MediaClosedReason:
        """Returns the reason, once the stream has to end."""
        return await asyncio.shield(self._reason)

    def end(self, reason: MediaClosedReason) -> None:
        """Ends the stream now. The first reason counts."""
        if not self._reason.done():
            self._reason.set_result(reason)

    def finish(self, reason: MediaClosedReason, now: float) -> None:
        """Ends the stream after the sentence that is being played. The first reason counts.

        A stream that is `DRAINED` ends after the callee's turn, too.
        """
        if self._finishing is None:
            self._finishing = reason, now

    def stood_still(self, seconds: float) -> None:
        """Takes that this process stood still: what was played and said meanwhile is not known yet."""
        if self._finishing is not None:
            reason, since = self._finishing
            self._finishing = reason, since + seconds

    def sentence_heard(self, now: float) -> None:
        """Takes that a sentence was heard to its end."""
        if self._finishing is not None and self._may_end(*self._finishing, now):
            self.end(self._finishing[0])

    def check(self, now: float, *, is_audible: bool) -> None:
        """Ends the stream if that is due. `is_audible`: whether the callee hears our speech, or will after a pause."""
        if self._finishing is not None:
            reason, since = self._finishing
            if now >= since + MAX_FINISHING_SECONDS or (not is_audible and self._may_end(reason, since, now)):
                self.end(reason)
        if self.failed is not None and not is_audible:
            self.end(MediaClosedReason.SYNTHESIS)

    def _may_end(self, reason: MediaClosedReason, since: float, now: float) -> bool:
        """Returns whether a stream that finishes since then may end, as far as the callee's words are concerned."""
        if reason is not MediaClosedReason.DRAINED:  # nothing can be transcribed any more
            return True
        unclaimed = self._unclaimed()
        is_long = now >= since + TURN_SECONDS
        return unclaimed is Unclaimed.NOTHING or (unclaimed is Unclaimed.IN_PAUSE and is_long)
