"""A model behind the breaker and the places of its provider."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from conversation.domain.messages import Completion, Message
from conversation.domain.tools import Tool
from conversation.ports import Failure, Model, ModelFailed
from providers import Provider, Unavailable

_NOT_THE_PROVIDERS_FAULT = frozenset({Failure.REFUSED, Failure.TOO_LONG, Failure.FILTERED, Failure.EMPTY})


class GuardedModel:
    """Implements `conversation.ports.Model` by another one."""

    def __init__(self, model: Model, provider: Provider) -> None:
        self._model = model
        self._provider = provider

    @property
    def name(self) -> str:
        """The other one's."""
        return self._model.name

    async def answer(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, first_by: float, deadline: float
    ) -> AsyncGenerator[str | Completion, None]:
        """See the port. A listener who leaves is held against nobody."""
        patience = max(0.0, first_by - asyncio.get_running_loop().time())
        try:
            async with self._provider.request(patience=patience) as request:
                try:
                    stream = self._model.answer(messages, tools, first_by=first_by, deadline=deadline)
                    async with aclosing(stream) as pieces:
                        async for piece in pieces:
                            yield piece
                    request.succeeded()
                except ModelFailed as error:
                    blame = request.refused if error.failure in _NOT_THE_PROVIDERS_FAULT else request.failed
                    blame(error.failure.value)
                    raise
        except Unavailable as error:
            raise ModelFailed(Failure(error.outcome)) from error
