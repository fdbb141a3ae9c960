"""What this service needs from a model's vendor, and the answer cache."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from conversation.domain.messages import Completion, Message
from conversation.domain.tools import Tool


class Model(Protocol):
    """A language model that streams its answers."""

    @property
    def name(self) -> str:
        """The vendor's name of the model."""
        ...

    def answer(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, first_by: float, deadline_at: float
    ) -> AsyncGenerator[str | Completion, None]:
        """Yields pieces of text, and one `Completion` at the end of a complete answer.

        The answer must begin by `first_by` and end by `deadline_at`, instants of the running loop's clock (seconds).
        Raises `providers.RequestFailed`, also after the first piece.
        """
        ...


class AnswerCache(Protocol):
    """Answers that may be reused for other callees. Never raises: a cache that fails counts as empty."""

    async def get(self, key: str) -> tuple[str, ...]:
        """Returns the sentences of the answer; none if there is no such answer."""
        ...

    async def put(self, key: str, sentences: Sequence[str]) -> None:
        """Stores an answer, if there is room."""
        ...
