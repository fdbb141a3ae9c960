"""When a stream ends, and why."""

import asyncio

from contracts import MediaClosedReason
from voice.application.speech.synthesis import Sentence

MAX_LAST_SENTENCE_SECONDS = 5.0
"""How long a stream that ends waits for the end of the sentence that is being played."""


class Ending:
    """The end of one stream. Instants are those of the running loop's clock."""

    def __init__(self) -> None:
        self._reason: asyncio.Future[MediaClosedReason] = asyncio.get_running_loop().create_future()
        self._finishing: tuple[MediaClosedReason, float] | None = None
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
        """Ends the stream after the sentence that is being played. The first reason counts."""
        if self._finishing is None:
            self._finishing = reason, now + MAX_LAST_SENTENCE_SECONDS

    def sentence_heard(self) -> None:
        """Takes that a sentence was heard to its end."""
        if self._finishing is not None:
            self.end(self._finishing[0])

    def check(self, now: float, *, is_audible: bool) -> None:
        """Ends the stream if that is due. `is_audible`: whether the callee hears our speech, or will after a pause."""
        if self._finishing is not None and (now >= self._finishing[1] or not is_audible):
            self.end(self._finishing[0])
        if self.failed is not None and not is_audible:
            self.end(MediaClosedReason.SYNTHESIS)
