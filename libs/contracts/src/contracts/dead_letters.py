"""Dead letters: messages that could not be processed, kept whole in the stream ``DEAD_LETTERS``."""

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field


class DeadLetter(BaseModel):
    """One message that a consumer could not process, and the reasons. It is personal data, as the message was."""

    model_config = ConfigDict(frozen=True)

    stream: str
    sequence: int = Field(description="sequence of the message in that stream")
    consumer: str
    subject: str
    headers: dict[str, str]
    body: str | None = Field(description="the body, if it is UTF-8 text")
    body_base64: Base64Bytes | None = Field(default=None, description="the body, if it is not text")
    reasons: tuple[str, ...] = Field(description="a line per wrong field, or the error of the last delivery")
    deliveries: int = Field(description="how often it was delivered")

    @property
    def dead_letter_subject(self) -> str:
        """``dead_letter.<subject of the message>``."""
        return f"dead_letter.{self.subject}"
