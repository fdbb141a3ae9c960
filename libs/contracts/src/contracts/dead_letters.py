"""Dead letters: references to messages that could not be processed, in the stream ``DEAD_LETTERS``."""

import re
from collections.abc import Sequence
from typing import Self

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field

from contracts.invalid import bounded
from contracts.streams import DEAD_LETTERS

MAX_TOKEN_LENGTH = 100
"""How many characters of each token of the message's subject a dead letter has."""
_UNSAFE_IN_SUBJECTS = re.compile(r"[^!-~]|[*>]")
"""Characters that a client refuses to publish on, although a server delivers them."""


class DeadLetter(BaseModel):
    """One message that a consumer could not process, and the reasons.

    The message stays in its stream, and no purge removes it while its dead letter exists. A request is erased, and a
    sealed copy of it follows the dead letter in the same message. Without one, a dead letter is small, however
    large the message is. Its reasons may contain names of fields, but no values.
    """

    model_config = ConfigDict(frozen=True)

    stream: str
    sequence: int = Field(description="sequence of the message in that stream")
    consumer: str
    subject: str = Field(description="subject of the message, with long tokens cut and unsafe characters replaced")
    reasons: tuple[str, ...] = Field(description="a line per wrong field, or the error of the last delivery")
    deliveries: int = Field(description="how often it was delivered")
    persons: str | None = Field(
        default=None,
        description="whom its message may name: the first 8 digits of each digest, or *; null: of an older build",
    )

    headers: dict[str, str] | None = Field(default=None, description="only of older builds, which copied the message")
    body: str | None = Field(default=None, description="only of older builds: the body, if it is UTF-8 text")
    body_base64: Base64Bytes | None = Field(default=None, description="only of older builds: a body that is not text")

    @classmethod
    def of(
        cls,
        *,
        stream: str,
        sequence: int,
        consumer: str,
        subject: str,
        reasons: Sequence[str],
        deliveries: int,
        persons: str | None = None,
    ) -> Self:
        """Returns the dead letter of a message, with bounded texts."""
        return cls(
            stream=stream,
            sequence=sequence,
            consumer=consumer,
            subject=".".join(_safe_token(token) for token in subject.split(".")),
            reasons=tuple(bounded(reasons)),
            deliveries=deliveries,
            persons=persons,
        )

    @classmethod
    def unreadable(cls, sequence: int, reasons: Sequence[str]) -> Self:
        """Returns what stands for the message at a sequence of DEAD_LETTERS that is no dead letter."""
        return cls(
            stream=DEAD_LETTERS.name,
            sequence=sequence,
            consumer="",
            subject="",
            reasons=tuple(bounded(["this dead letter cannot be decoded", *reasons])),
            deliveries=0,
            persons="",
            headers={},
        )

    @property
    def has_copy(self) -> bool:
        """Whether it contains a copy of its message in clear, as those of older builds do."""
        return self.headers is not None

    @property
    def dead_letter_subject(self) -> str:
        """``dead_letter.<subject>``. A client that names a longer subject is disconnected (``max_control_line``)."""
        return f"dead_letter.{self.subject}"


def _safe_token(token: str) -> str:
    return _UNSAFE_IN_SUBJECTS.sub("_", token[:MAX_TOKEN_LENGTH])
