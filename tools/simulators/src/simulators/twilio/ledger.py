"""The exchange's own book: every call that was dialled, and all that happened in it."""

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Literal

from pydantic import JsonValue

WebhookKind = Literal["voice", "gather", "redirect", "fallback", "status", "amd"]


def _now() -> str:
    return datetime.now(UTC).isoformat()


@dataclass
class StatusEntry:
    """A status that the call took. `sequence` is its callback's SequenceNumber; None if nobody asked for it."""

    status: str
    sequence: int | None
    at: str = field(default_factory=_now)


@dataclass
class WebhookEntry:
    """A request to our side. `status` is the HTTP status that came back, None if none did.

    `seconds` is real time until the answer was complete. `event` is the CallStatus of a status callback.
    """

    kind: WebhookKind
    url: str
    event: str | None = None
    status: int | None = None
    attempts: int = 0
    seconds: float | None = None
    error: str | None = None
    at: str = field(default_factory=_now)


@dataclass
class PlayEntry:
    """A download by <Play>. `seconds` of audio arrived; `first_byte_seconds` is real; `outcome` how it ended."""

    url: str
    bytes: int = 0
    seconds: float = 0.0
    first_byte_seconds: float | None = None
    outcome: Literal["playing", "played", "interrupted", "cut", "failed"] = "playing"
    at: str = field(default_factory=_now)


@dataclass
class UtteranceEntry:
    """Something said. The agent's <Play> has no text here: `url` names what was played."""

    who: Literal["agent", "callee"]
    text: str | None = None
    url: str | None = None
    at: str = field(default_factory=_now)


@dataclass
class ErrorEntry:
    """What Twilio's debugger would show: an error or warning code and its reason."""

    code: int
    reason: str
    url: str | None = None
    at: str = field(default_factory=_now)


@dataclass
class CallEntry:
    """One processed create. `status` is the resource's; `duration` in nominal seconds of connection."""

    sid: str
    to: str
    from_: str
    url: str | None
    behaviour: str
    created_at: str = field(default_factory=_now)
    status: str = "queued"
    duration: int | None = None
    answered_by: str | None = None
    ended_by: str | None = None
    statuses: list[StatusEntry] = field(default_factory=list)
    webhooks: list[WebhookEntry] = field(default_factory=list)
    plays: list[PlayEntry] = field(default_factory=list)
    said: list[UtteranceEntry] = field(default_factory=list)
    errors: list[ErrorEntry] = field(default_factory=list)

    def as_json(self) -> dict[str, JsonValue]:
        """This entry with `from_` under its true name, `from`."""
        document = asdict(self)
        document["from"] = document.pop("from_")
        return document


@dataclass
class Refusal:
    """A create that was refused: no call came of it."""

    to: str
    code: int
    at: str = field(default_factory=_now)


@dataclass
class Ledger:
    """Every call in the order of its create, and every create that was refused."""

    calls: list[CallEntry] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def as_json(self) -> list[dict[str, JsonValue]]:
        """The calls, ready for JSON."""
        return [call.as_json() for call in self.calls]

    def clear(self) -> None:
        """Forget everything."""
        self.calls.clear()
        self.refused.clear()
