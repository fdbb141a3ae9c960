"""Which syntheses sound the same, and which sentences are worth storing as clips."""

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass, field
from uuid import UUID

from contracts import Call
from contracts.personal_words import has_personal_words
from contracts.script import greeting, render_line, uses_variables

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
    """The name of a clip. With `call_id`, it is stored for this call only, and until the call ends."""

    digest: str
    call_id: UUID | None = None


@dataclass
class RecentTexts:
    """The `max_count` texts that were spoken most recently. One that repeats in other calls is worth storing as a clip.

    A text that one call repeats may be about its callee, so that does not count.
    """

    max_count: int = MAX_RECENT_TEXTS
    _calls: OrderedDict[str, UUID] = field(default_factory=OrderedDict)

    def add(self, text: str, call_id: UUID) -> bool:
        """Adds a text, and returns whether another call spoke it recently."""
        is_repeated = self._calls.get(text, call_id) != call_id
        self._calls.setdefault(text, call_id)
        self._calls.move_to_end(text)
        if len(self._calls) > self.max_count:
            self._calls.popitem(last=False)
        return is_repeated


def is_personal(text: str, call: Call) -> bool:
    """Returns whether a sentence of a call may contain values of its variables, so that its clip is for this call only.

    A text that follows from a template is personal if that has placeholders; any other one, if it has their words.
    """
    templates = [greeting(call.script_template), *([call.voicemail.message] if call.voicemail else ())]
    for template in templates:
        if text == render_line(template, call.variables):
            return uses_variables(template)
    return has_personal_words(text, call.variables)


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()
