"""Which syntheses sound the same, and which sentences are worth storing as clips."""

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass, field

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


@dataclass
class RecentTexts:
    """The `max_count` texts that were spoken most recently. A text that repeats is worth storing as a clip."""

    max_count: int = MAX_RECENT_TEXTS
    _texts: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def add(self, text: str) -> bool:
        """Adds a text, and returns whether it was spoken recently."""
        is_repeated = text in self._texts
        self._texts[text] = None
        self._texts.move_to_end(text)
        if len(self._texts) > self.max_count:
            self._texts.popitem(last=False)
        return is_repeated


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()
