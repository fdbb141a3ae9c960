"""What this service needs of the world."""

from collections.abc import AsyncGenerator, Sequence
from enum import StrEnum
from typing import Protocol

from conversation.domain.messages import Completion, Message
from conversation.domain.tools import Tool


class Failure(StrEnum):
    """Why the model gave no whole answer; bounded, for it labels a metric."""

    DEADLINE = "deadline"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    """HTTP 4xx, but not 429: a wrong key, an unknown model."""
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    CUT_OFF = "cut_off"
    """The stream broke, or ended without saying that the answer is whole."""
    TOO_LONG = "too_long"
    FILTERED = "filtered"
    EMPTY = "empty"
    """Neither words nor tools, or nothing but tools however often it was asked."""
    BREAKER_OPEN = "breaker_open"
    """It was not asked: it has kept failing, and is left alone for a while."""
    NO_CAPACITY = "no_capacity"
    """It was not asked: as many turns as may be are being answered already."""


class ModelFailed(Exception):
    """The model gave no whole answer. What it had said by then may have been spoken."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.value)
        self.failure = failure


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

        Raises ModelFailed.
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
