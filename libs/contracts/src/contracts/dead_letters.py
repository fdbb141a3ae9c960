"""Messages that could not be used. They go to the stream ``DEAD_LETTERS`` whole, so that nothing is lost."""

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field


class DeadLetter(BaseModel):
    """One message that a consumer gave up on, and why. Holds whatever was in it: treat it as personal data."""

    model_config = ConfigDict(frozen=True)

    stream: str
    sequence: int = Field(description="where it stands in that stream")
    consumer: str
    subject: str
    headers: dict[str, str]
    body: str | None = Field(description="the body, if it is UTF-8 text")
    body_base64: Base64Bytes | None = Field(default=None, description="the body, if it is not text")
    reasons: tuple[str, ...] = Field(description="a line per field that is wrong, or the error of the last try")
    deliveries: int = Field(description="how often it was tried")

    @property
    def dead_letter_subject(self) -> str:
        """``dead_letter.<the subject it came on>``."""
        return f"dead_letter.{self.subject}"
