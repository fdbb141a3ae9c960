"""The simulator's own record: every call that was dialled, and everything that happened in it."""

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Literal

from pydantic import JsonValue

from simulators.twilio.stream_ledger import StreamEntry

WebhookKind = Literal["voice", "gather", "redirect", "fallback", "status", "amd", "connect", "stream", "dial", "leg"]


def _now() -> str:
    return datetime.now(UTC).isoformat()


@dataclass
class StatusEntry:
    """A status of the call. `sequence` is its callback's SequenceNumber, None if no callback was requested."""

    status: str
    sequence: int | None
    at: str = field(default_factory=_now)


@dataclass
class WebhookEntry:
    """A request to the application. `status` is the HTTP status of the answer, None without an answer.

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
    """A download by <Play>. `seconds` is the length of the audio received; `first_byte_seconds` is real time."""

    url: str
    bytes: int = 0
    seconds: float = 0.0
    first_byte_seconds: float | None = None
    outcome: Literal["playing", "played", "interrupted", "cut", "failed"] = "playing"
    at: str = field(default_factory=_now)


@dataclass
class UtteranceEntry:
    """Something that was spoken. A <Play> has no text; `url` names the audio."""

    speaker: Literal["agent", "callee"]
    text: str | None = None
    url: str | None = None
    at: str = field(default_factory=_now)


@dataclass
class ErrorEntry:
    """An error or warning as Twilio's debugger shows it: code and reason."""

    code: int
    reason: str
    url: str | None = None
    at: str = field(default_factory=_now)


@dataclass
class DialEntry:
    """A leg to a person (<Dial>). `status` is that of its DialCallStatus; `seconds` are simulated, since the answer.

    `heard` and `keys` are what the person heard before the legs were connected, and the keys that it pressed.
    """

    sid: str
    to: str
    from_: str
    behaviour: str = ""
    status: str = "ringing"
    is_bridged: bool = False
    seconds: int | None = None
    heard: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    at: str = field(default_factory=_now)

    def form(self, account_sid: str, parent_sid: str, status: str) -> dict[str, str]:
        """Returns the fields of a request about this leg. `parent_sid` is the first leg's."""
        return {
            "CallSid": self.sid,
            "ParentCallSid": parent_sid,
            "AccountSid": account_sid,
            "ApiVersion": "2010-04-01",
            "Direction": "outbound-dial",
            "CallStatus": status,
            "To": self.to,
            "Called": self.to,
            "From": self.from_,
            "Caller": self.from_,
        }


@dataclass
class CallEntry:
    """One accepted create request. `status` is the resource's; `duration` is in simulated seconds since the answer.

    `digits` are the keys that the agent pressed: by TwiML, as tones on a media stream, or by `sendDigits`; without `w`.
    `beep_at` is when the voicemail gave its beep, if one answered and detection waited for it.
    """

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
    beep_at: str | None = None
    digits: str = ""
    statuses: list[StatusEntry] = field(default_factory=list)
    webhooks: list[WebhookEntry] = field(default_factory=list)
    plays: list[PlayEntry] = field(default_factory=list)
    utterances: list[UtteranceEntry] = field(default_factory=list)
    errors: list[ErrorEntry] = field(default_factory=list)
    streams: list[StreamEntry] = field(default_factory=list)
    dials: list[DialEntry] = field(default_factory=list)

    def add_error_once(self, code: int, reason: str, url: str) -> None:
        """Records an error or warning that Twilio reports once for each stream."""
        if not any(error.code == code and error.url == url for error in self.errors):
            self.errors.append(ErrorEntry(code, reason, url))

    def as_json(self) -> dict[str, JsonValue]:
        """Returns the entry with `from_` under the name `from`."""
        document = asdict(self)
        document["from"] = document.pop("from_")
        return document


@dataclass
class Refusal:
    """A create request that was refused, with Twilio's error code. No call exists for it."""

    to: str
    code: int
    at: str = field(default_factory=_now)


@dataclass
class Ledger:
    """All accepted calls and all refused create requests, in the order of their requests."""

    calls: list[CallEntry] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def as_json(self) -> list[dict[str, JsonValue]]:
        """Returns the calls as JSON values."""
        return [call.as_json() for call in self.calls]

    def clear(self) -> None:
        """Removes all entries."""
        self.calls.clear()
        self.refused.clear()
