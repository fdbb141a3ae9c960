"""What this service needs of the world."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from conversation.domain.messages import Completion, Message
from conversation.domain.tools import Tool


class Model(Protocol):
    """A language model that streams."""

    @property
    def name(self) -> str:
        """Which model it is."""
        ...

    def answer(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, first_by: float, deadline: float
    ) -> AsyncGenerator[str | Completion, None]:
        """Pieces of text as they come, and one `Completion` at the end of a whole answer.

        The answer must begin by `first_by` and end by `deadline`, instants of the running loop's clock (seconds).

        Raises `providers.RequestFailed`.
        """
        ...


class Answers(Protocol):
    """What was answered to somebody else who asked the same. Never raises: a cache that fails is empty."""

    async def get(self, key: str) -> tuple[str, ...]:
        """The sentences of the answer; none if none is kept."""
        ...

    async def put(self, key: str, sentences: Sequence[str]) -> None:
        """Keeps an answer, if there is room."""
        ...
