"""Which syntheses sound the same, and which sentences are worth storing as clips."""

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass, field
from uuid import UUID

from contracts import Call
from contracts.personal_words import has_personal_words
from contracts.phrases import greeting_of, message_of
from contracts.script import greeting, uses_variables

MAX_RECENT_TEXTS = 4096


@dataclass(frozen=True, slots=True)
class SynthesisRequest:
    """Everything that determines how a sentence sounds. `settings` are the vendor's, in a fixed order."""

    voice: str
    model: str
    settings: tuple[str, ...]
    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of voice, model, settings and text, in hexadecimal: the name of the clip in the Object Store."""
        return _digest(self.voice, self.model, self.settings, self.text)


@dataclass(frozen=True, slots=True)
class ClipName:
    """The name of a clip. A personal one is for its call only, and is removed when the call ends."""

    digest: str
    call_id: UUID
    is_personal: bool


@dataclass
class RecentTexts:
    """The `max_count` texts that were spoken most recently, and to whom. One that two persons heard is worth sharing.

    A text that one person alone heard may be about that person, also one without variables: an upstream system may
    have filled them in.
    """

    max_count: int = MAX_RECENT_TEXTS
    _persons: OrderedDict[str, str] = field(default_factory=OrderedDict)

    def add(self, text: str, person: str) -> bool:
        """Adds a text, and returns whether another person heard it recently."""
        is_repeated = self._persons.get(text, person) != person
        self._persons.setdefault(text, person)
        self._persons.move_to_end(text)
        if len(self._persons) > self.max_count:
            self._persons.popitem(last=False)
        return is_repeated


def is_personal(text: str, call: Call) -> bool:
    """Returns whether a sentence of a call may contain values of its variables, so that its clip is for this call only.

    A text that follows from a template is personal if that has placeholders; any other one, if it has their words.
    """
    if text == greeting_of(call):
        return uses_variables(greeting(call.script_template))
    if call.voicemail and text == message_of(call):
        return uses_variables(call.voicemail.message)
    return has_personal_words(text, call.variables)


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()
