"""The interface of a telephone provider, as the edge sees it: webhooks in, instructions out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from contracts import AnswerClassified, TelephonyStatusReported
from telephony.instructions import Instruction, Utterance

Form = Mapping[str, str]
"""The fields of a webhook's body."""


class InvalidProviderData(ValueError):
    """A field is missing or has an unknown value. The message repeats no phone number and no transcript."""


@dataclass(frozen=True, slots=True)
class Report:
    """An event that a webhook reports. A repeated webhook has the same `event_id`, so the log stores it once."""

    event: TelephonyStatusReported | AnswerClassified
    event_id: str


class WebhookProvider(Protocol):
    """Translates a provider's webhooks. Every `parse_...` raises InvalidProviderData."""

    @property
    def name(self) -> str:
        """The provider's name, in lower case."""
        ...

    @property
    def prefix(self) -> str:
        """The part of every webhook path before `Webhook.template`, with a slash in front."""
        ...

    @property
    def signature_header(self) -> str:
        """The HTTP header that carries the signature."""
        ...

    @property
    def media_type(self) -> str:
        """The media type of rendered instructions."""
        ...

    def is_authentic(self, target: str, form: Form, signature: str | None) -> bool:
        """Whether the provider signed this form for `target`, a path with its query."""
        ...

    def parse_answer(self, call_id: UUID, attempt: int, form: Form) -> Report:
        """Returns the event of `Webhook.ANSWERED`."""
        ...

    def parse_status(self, call_id: UUID, attempt: int, form: Form) -> Report:
        """Returns the event of `Webhook.STATUS`."""
        ...

    def parse_classification(self, call_id: UUID, attempt: int, form: Form) -> Report:
        """Returns the event of `Webhook.CLASSIFICATION`."""
        ...

    def parse_utterance(self, turn: int, form: Form) -> Utterance:
        """Returns the utterance of `Webhook.UTTERANCE`."""
        ...

    def render(self, instruction: Instruction) -> str:
        """Returns the document that carries out an instruction."""
        ...
