"""Speech behind the breaker and the places of its provider."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from contracts import AudioRequested
from providers import Provider, Unavailable
from voice.domain.clips import Recipe
from voice.ports import Failure, Speech, SpeechFailed


class GuardedSpeech:
    """The port `Speech` by another one."""

    def __init__(self, speech: Speech, provider: Provider) -> None:
        self._speech = speech
        self._provider = provider

    @property
    def name(self) -> str:
        """The other one's."""
        return self._speech.name

    def recipe(self, request: AudioRequested) -> Recipe:
        """The other one's."""
        return self._speech.recipe(request)

    async def synthesize(self, recipe: Recipe, *, first_by: float) -> AsyncGenerator[bytes, None]:
        """See the port. A listener who leaves is held against nobody."""
        patience = max(0.0, first_by - asyncio.get_running_loop().time())
        try:
            async with self._provider.request(patience=patience) as request:
                try:
                    async with aclosing(self._speech.synthesize(recipe, first_by=first_by)) as pieces:
                        async for piece in pieces:
                            yield piece
                    request.succeeded()
                except SpeechFailed as error:
                    blame = request.refused if error.failure is Failure.REFUSED else request.failed
                    blame(error.failure.value)
                    raise
        except Unavailable as error:
            raise SpeechFailed(Failure(error.outcome), error.outcome) from error
