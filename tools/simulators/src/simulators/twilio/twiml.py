"""Parses TwiML: the verbs that the simulator executes, with their attributes and defaults.

https://www.twilio.com/docs/voice/twiml
"""

from dataclasses import dataclass
from xml.etree import ElementTree

MAX_BYTES = 64 * 1024
VERBS = frozenset({"Say", "Play", "Gather", "Redirect", "Pause", "Hangup", "Reject", "Connect", "Dial"})
RELAY = "ConversationRelay"
_NESTED = {
    "Gather": frozenset({"Say", "Play", "Pause"}),
    "Dial": frozenset({"Number"}),
    "Connect": frozenset({"Stream", RELAY}),
    "Stream": frozenset({"Parameter"}),
    RELAY: frozenset({"Parameter", "Language"}),
}


class TwimlError(Exception):
    """A document that Twilio does not execute; `code` is Twilio's error code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True)
class Verb:
    """One verb or noun: its trimmed text, its attributes as written, and those nested in it."""

    name: str
    text: str
    attributes: dict[str, str]
    nested: tuple["Verb", ...] = ()

    def seconds(self, attribute: str, default: float) -> float:
        """Returns an attribute in seconds, or the default if it is absent or not a number (`auto`)."""
        try:
            return max(0.0, float(self.attributes.get(attribute, default)))
        except ValueError:
            return default

    def flag(self, attribute: str, default: bool) -> bool:
        """Returns a boolean attribute."""
        return self.attributes.get(attribute, str(default)).lower() == "true"

    @property
    def repeats(self) -> int:
        """How often a <Say> or <Play> is played; `loop="0"` means 1000 times, as at Twilio."""
        loop = self.attributes.get("loop", "1")
        return (int(loop) or 1000) if loop.isdigit() else 1


@dataclass(frozen=True)
class Document:
    """The verbs of a <Response> in order, and the names of the verbs that are not supported here."""

    verbs: tuple[Verb, ...]
    unknown: tuple[str, ...] = ()


def parse(body: bytes) -> Document:
    """Parses a TwiML document. Raises TwimlError: 11750 too large, 12100 no XML or no <Response>."""
    if len(body) > MAX_BYTES:
        raise TwimlError(11750, f"TwiML of more than {MAX_BYTES} bytes")
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - XML of the application under test, on loopback
    except ElementTree.ParseError as error:
        raise TwimlError(12100, f"not XML: {error}") from error
    if root.tag != "Response":
        raise TwimlError(12100, "the root is not <Response>")
    unknown = tuple(child.tag for child in root if child.tag not in VERBS)
    return Document(tuple(_verb(child) for child in root if child.tag in VERBS), unknown)


def _verb(element: ElementTree.Element) -> Verb:
    nested = (_verb(child) for child in element if child.tag in _NESTED.get(element.tag, ()))
    return Verb(element.tag, " ".join("".join(element.itertext()).split()), dict(element.attrib), tuple(nested))
