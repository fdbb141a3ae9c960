"""The messages of Twilio's ConversationRelay: writes those of Twilio, reads those of the server.

https://www.twilio.com/docs/voice/conversationrelay/websocket-messages
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

_FIELDS: Mapping[str, Mapping[str, type]] = {
    "text": {"token": str, "last": bool, "lang": str, "interruptible": bool, "preemptible": bool},
    "play": {"source": str, "loop": int, "interruptible": bool, "preemptible": bool},
    "sendDigits": {"digits": str},
    "language": {"ttsLanguage": str, "transcriptionLanguage": str},
    "end": {"handoffData": str},
}
_REQUIRED = {"text": {"token"}, "play": {"source"}, "sendDigits": {"digits"}}


@dataclass(frozen=True)
class Text:
    """A text to be spoken. After one that `is_last`, a talk cycle ends."""

    token: str
    is_last: bool
    is_interruptible: bool | None
    is_preemptible: bool


@dataclass(frozen=True)
class Digits:
    """Keys to be pressed for the callee; `w` is half a second."""

    digits: str


@dataclass(frozen=True)
class End:
    """The end of the session."""

    handoff: str | None


@dataclass(frozen=True)
class Other:
    """A valid message that the simulator does not carry out."""

    kind: str


@dataclass(frozen=True)
class Invalid:
    """A message that Twilio does not process (64107)."""

    reason: str


def read(text: str) -> Text | Digits | End | Other | Invalid:
    """Reads a text message of the server, strictly: a field that is not documented makes it invalid."""
    try:
        message = json.loads(text)
    except ValueError:
        return Invalid("message is not JSON")
    if not isinstance(message, dict) or not isinstance(kind := message.get("type"), str) or kind not in _FIELDS:
        return Invalid("type is not that of a message")
    fields = {name: value for name, value in message.items() if name != "type"}
    wrong = [name for name, value in fields.items() if not _is_valid(kind, name, value)]
    if wrong or _REQUIRED.get(kind, set()) - fields.keys():
        return Invalid(f"wrong or missing fields in {kind}: {sorted(wrong)}")
    if kind == "text":
        preemptible = fields.get("preemptible", False)
        return Text(fields["token"], fields.get("last", False), fields.get("interruptible"), preemptible)
    if kind == "sendDigits":
        return Digits(fields["digits"])
    return End(fields.get("handoffData")) if kind == "end" else Other(kind)


def setup(session_sid: str, form: Mapping[str, str], parameters: Mapping[str, str]) -> str:
    """Returns the first message; `form` are the call's own fields."""
    fields = {
        "sessionId": session_sid,
        "accountSid": form["AccountSid"],
        "parentCallSid": "",
        "callSid": form["CallSid"],
        "from": form["From"],
        "to": form["To"],
        "forwardedFrom": "",
        "callType": "PSTN",
        "callerName": "",
        "direction": form["Direction"],
        "callStatus": "IN-PROGRESS",
        "customParameters": dict(parameters),
    }
    return _message("setup", **fields)


def prompt(text: str, language: str) -> str:
    """Returns what the callee said."""
    return _message("prompt", voicePrompt=text, lang=language, last=True)


def interrupt(utterance: str, seconds: float) -> str:
    """Returns that the callee has interrupted our speech; the duration is a text, as it was seen."""
    return _message("interrupt", utteranceUntilInterrupt=utterance, durationUntilInterruptMs=str(round(seconds * 1000)))


def dtmf(key: str) -> str:
    """Returns a key that the callee pressed."""
    return _message("dtmf", digit=key)


def info(name: str, value: str) -> str:
    """Returns an event of the session."""
    return _message("info", name=name, value=value)


def error(description: str) -> str:
    """Returns that a message was not processed."""
    return _message("error", description=description)


def _message(kind: str, **fields: object) -> str:
    return json.dumps({"type": kind, **fields})


def _is_valid(kind: str, name: str, value: object) -> bool:
    expected = _FIELDS[kind].get(name)
    return expected is not None and isinstance(value, expected) and isinstance(value, bool) is (expected is bool)
