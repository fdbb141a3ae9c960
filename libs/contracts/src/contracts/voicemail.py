"""What happens when a machine answers a call: the line is closed, or a message is left.

A request has `RequestedVoicemail`, which is validated. A stored call has `VoicemailPolicy`, which accepts any value
(law 12).
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from contracts.personal import PERSONAL, PersonalText
from contracts.script import missing_variables, render_line
from contracts.texts import template_refusals

MAX_MESSAGE_CHARACTERS = 1_000
"""The longest message, with and without its values: about 70 seconds of speech."""
_FIELD = "voicemail.message"


class VoicemailPolicy(BaseModel):
    """A message for the callee's voicemail."""

    model_config = ConfigDict(frozen=True, extra="allow")

    message: PersonalText = Field(description="a template; its placeholders are those of the variables")

    def render(self, variables: Mapping[str, str]) -> str:
        """Returns the message with its values, as one line. Raises KeyError if a variable is missing."""
        return render_line(self.message, variables)


class RequestedVoicemail(BaseModel):
    """A message to leave after the greeting of a voicemail, or after its beep if it has one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    message: Annotated[
        str, StringConstraints(min_length=1, max_length=MAX_MESSAGE_CHARACTERS, strip_whitespace=True), PERSONAL
    ]

    def stored(self) -> VoicemailPolicy:
        """Returns the policy as a call carries it."""
        return VoicemailPolicy(message=self.message)

    @field_validator("message")
    @classmethod
    def _has_valid_placeholders(cls, message: str) -> str:
        missing_variables(message, {}, "the message")
        return message

    def refusals(self) -> list[str]:
        """Returns why the message is refused with any variables; empty if it is acceptable."""
        return template_refusals(self.message, _FIELD)


def message_refusals(message: str | None, variables: Mapping[str, str]) -> list[str]:
    """Returns why a message cannot be spoken with these variables; empty if it can."""
    if message is None:
        return []
    if missing := missing_variables(message, variables, _FIELD):
        return [f"{_FIELD}: asks for {', '.join(missing)}: give it in variables"]
    text = render_line(message, variables)
    if not text:
        return [f"{_FIELD}: has no text; write the words to speak, or leave voicemail out"]
    if len(text) > MAX_MESSAGE_CHARACTERS:
        return [f"{_FIELD}: {len(text)} characters with its variables; at most {MAX_MESSAGE_CHARACTERS}: shorten it"]
    return []
