"""Twilio's ConversationRelay: messages to values and back (Twilio, "ConversationRelay: WebSocket messages").

Twilio transcribes the callee and speaks our texts. A *talk cycle* is what is said in one piece: texts until one that is
`last`. An interruption discards what is left of it. With the attribute `events`, Twilio also says who speaks, and which
of our words were played; their messages are those that its own examples read.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from voice.domain.live.media_stream import MAX_MESSAGE_BYTES
from voice.domain.live.vendor_messages import Malformed, MalformedReason, object_of, parse_object, text_of

MAX_PROMPT_CHARACTERS = 2_000
"""More of an utterance is not used; it is several minutes of speech."""
_MAX_MILLISECONDS = 24 * 3_600_000
_KEYS = "0123456789*#ABCD"


@dataclass(frozen=True, slots=True)
class SetUp:
    """The session begins. `parameters` are those of TwiML's `<Parameter>`."""

    session_id: str
    call_sid: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the callee said. It is complete if it `is_last`; otherwise the next one of the utterance replaces it."""

    text: str
    is_last: bool


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The callee interrupted our speech: what was heard of it, and for how long if that is known."""

    utterance: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class RelayKey:
    """The callee pressed a key: one of `0`–`9`, `*`, `#`, `A`–`D`."""

    key: str


@dataclass(frozen=True, slots=True)
class AgentSpeaking:
    """Our speech begins to be heard, or ends."""

    is_speaking: bool


@dataclass(frozen=True, slots=True)
class CalleeSpeaking:
    """The callee begins to speak, or ends."""

    is_speaking: bool


@dataclass(frozen=True, slots=True)
class TextPlayed:
    """The next words of our texts that were played."""

    text: str


@dataclass(frozen=True, slots=True)
class ErrorReported:
    """Twilio refused a message of ours, or something failed. The session goes on. The text may repeat our message."""


@dataclass(frozen=True, slots=True)
class Information:
    """A message that needs no reaction."""


RelayMessage = (
    SetUp
    | Prompt
    | Interrupted
    | RelayKey
    | AgentSpeaking
    | CalleeSpeaking
    | TextPlayed
    | ErrorReported
    | Information
    | Malformed
)


def parse(text: str | bytes) -> RelayMessage:
    """Returns what Twilio said. Raises nothing. `text` is a text message: decoded, or its UTF-8 bytes."""
    message = parse_object(text, max_bytes=MAX_MESSAGE_BYTES)
    if isinstance(message, Malformed):
        return message
    kind = message.get("type")
    parse_kind = _PARSERS.get(kind) if isinstance(kind, str) else None
    return parse_kind(message) if parse_kind else Malformed(MalformedReason.UNKNOWN_EVENT)


def speak(token: str, language: str, *, is_last: bool, is_interruptible: bool, is_preemptible: bool) -> str:
    """Returns the message that has a text spoken, behind the texts before it. After one that `is_last`, a cycle ends.

    One that `is_preemptible` also ends when the next cycle begins.
    """
    message = {
        "type": "text",
        "token": token,
        "lang": language,
        "last": is_last,
        "interruptible": is_interruptible,
        "preemptible": is_preemptible,
    }
    return json.dumps(message)


def end_of_cycle() -> str:
    """Returns the message that ends a cycle: no further text of it follows."""
    return json.dumps({"type": "text", "token": "", "last": True})


def send_digits(digits: str) -> str:
    """Returns the message that presses keys; `w` is half a second."""
    return json.dumps({"type": "sendDigits", "digits": digits})


def end(handoff: Mapping[str, str]) -> str:
    """Returns the message that ends the session at once. Twilio then asks for the next instruction."""
    return json.dumps({"type": "end", "handoffData": json.dumps(dict(handoff))})


def _parse_setup(message: dict[str, object]) -> SetUp | Malformed:
    session_id, call_sid = text_of(message, "sessionId"), text_of(message, "callSid")
    parameters = object_of(message, "customParameters")
    texts = {name: value for name, value in parameters.items() if isinstance(value, str)}
    if not session_id or call_sid is None or len(texts) < len(parameters):
        return Malformed(MalformedReason.WRONG_FIELD)
    return SetUp(session_id, call_sid, texts)


def _parse_prompt(message: dict[str, object]) -> Prompt | Malformed:
    text, is_last = text_of(message, "voicePrompt"), message.get("last", True)
    if text is None or not isinstance(is_last, bool):
        return Malformed(MalformedReason.WRONG_FIELD)
    return Prompt(text.strip()[:MAX_PROMPT_CHARACTERS], is_last)


def _parse_interrupt(message: dict[str, object]) -> Interrupted | Malformed:
    utterance = text_of(message, "utteranceUntilInterrupt")
    if utterance is None:
        return Malformed(MalformedReason.WRONG_FIELD)
    return Interrupted(utterance, _seconds(message.get("durationUntilInterruptMs")))


def _parse_key(message: dict[str, object]) -> RelayKey | Malformed:
    key = text_of(message, "digit")
    is_key = key is not None and len(key) == 1 and key in _KEYS
    return RelayKey(key) if key is not None and is_key else Malformed(MalformedReason.WRONG_FIELD)


def _parse_information(message: dict[str, object]) -> AgentSpeaking | CalleeSpeaking | TextPlayed | Information:
    name, value = message.get("name"), message.get("value")
    if name == "tokensPlayed" and isinstance(value, str):
        return TextPlayed(value)
    if name == "agentSpeaking" and value in ("on", "off"):
        return AgentSpeaking(value == "on")
    if name == "clientSpeaking" and value in ("on", "off"):
        return CalleeSpeaking(value == "on")
    return Information()


def _parse_error(_message: dict[str, object]) -> ErrorReported:
    return ErrorReported()


def _parse_other(_message: dict[str, object]) -> Information:
    return Information()


def _seconds(milliseconds: object) -> float | None:
    """Returns a duration that Twilio sends as a number, or as a text of digits; none if it is neither."""
    if isinstance(milliseconds, str) and milliseconds.isascii() and milliseconds.isdigit() and len(milliseconds) < 10:
        milliseconds = int(milliseconds)
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return None
    is_duration = math.isfinite(milliseconds) and 0 <= milliseconds <= _MAX_MILLISECONDS
    return milliseconds / 1000 if is_duration else None


_PARSERS: Mapping[str, Callable[[dict[str, object]], RelayMessage]] = {
    "setup": _parse_setup,
    "prompt": _parse_prompt,
    "interrupt": _parse_interrupt,
    "dtmf": _parse_key,
    "info": _parse_information,
    "error": _parse_error,
    "configUpdated": _parse_other,
}
