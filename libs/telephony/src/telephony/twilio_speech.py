"""What Twilio's own voice can speak, and the tags of languages that it knows."""

import re

REGIONS = {"es": "es-ES", "en": "en-US"}
"""Twilio's speech recognizer requires a region; a tag that has one is used as it is."""
MAX_SPOKEN_BYTES = 4_000
"""The limit of the text in one ``<Say>`` (Twilio, "TwiML Voice: Say"), some minutes of speech.

It also keeps a document below the 64 kB that Twilio accepts.
"""
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")
"""Characters that no XML document may contain (XML 1.0, production 2): control characters, surrogates, U+FFFE."""


def speakable(text: str) -> str:
    """Returns what ``<Say>`` can speak of any text: without characters that XML forbids, and not too long."""
    allowed = _NOT_IN_XML.sub(" ", text)
    if len(allowed) * 4 <= MAX_SPOKEN_BYTES or len(encoded := allowed.encode()) <= MAX_SPOKEN_BYTES:
        return allowed
    start = encoded[:MAX_SPOKEN_BYTES].decode(errors="ignore")
    return start.rpartition(" ")[0] or start


def with_region(language: str) -> str:
    """Returns the tag with a region."""
    return REGIONS.get(language, language)
