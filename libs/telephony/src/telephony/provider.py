"""The interface of a telephone provider, as the edge sees it: webhooks in, instructions out."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from contracts import AnswerClassified, MessageReported, TelephonyStatusReported
from contracts.transfers import TransferStatus
from telephony.instructions import Instruction, Utterance


class Form(Mapping[str, str]):
    """The fields of a webhook's body. The value of a repeated field is its last one.

    Each look-up takes constant time. (That of Starlette's and Werkzeug's immutable multi-dicts is a scan.)
    """

    def __init__(self, fields: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in fields:
            self._values.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> str:
        return self._values[name][-1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def getall(self, name: str) -> list[str]:
        """Returns all values of a field, in their order. Flask's name, which Twilio's SDK tries first."""
        return self._values[name]


class InvalidProviderData(ValueError):
    """A field is missing or has an unknown value. The message repeats no phone number and no transcript."""


@dataclass(frozen=True, slots=True)
class Report:
    """An event that a webhook reports. A repeated webhook has the same `event_id`, so the log stores it once."""

    event: TelephonyStatusReported | AnswerClassified | MessageReported
    event_id: str


@dataclass(frozen=True, slots=True)
class TransferReport:
    """How the leg to a person ended. `is_bridged`: whether it was connected; none if the provider does not say."""

    status: TransferStatus
    seconds: int
    is_bridged: bool | None


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

    def is_authentic(self, target: str, form: Form, signature: str) -> bool:
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

    def parse_message(self, call_id: UUID, attempt: int, form: Form, *, is_finished: bool) -> Report:
        """Returns the event of `Webhook.MESSAGE`."""
        ...

    def parse_utterance(self, turn: int, form: Form) -> Utterance:
        """Returns the utterance, or the key, of `Webhook.UTTERANCE`."""
        ...

    def parse_transfer(self, form: Form) -> TransferReport:
        """Returns how the leg of `Webhook.TRANSFER_ENDED` ended."""
        ...

    def is_answered(self, form: Form) -> bool:
        """Returns whether a webhook about the leg to a person reports that the person has answered."""
        ...

    def parse_key(self, form: Form) -> str:
        """Returns the key of `Webhook.TRANSFER_CHOSEN`; empty: none."""
        ...

    def parse_own_number(self, form: Form) -> str | None:
        """Returns the number from which the call of a webhook was made; none if it is no telephone number."""
        ...

    def render(self, instruction: Instruction) -> str:
        """Returns the document that carries out an instruction."""
        ...
