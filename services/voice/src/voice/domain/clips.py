"""What makes two pieces of synthesized speech the same, and which lines are worth keeping."""

import hashlib
import json
from collections import OrderedDict
from dataclasses import astuple, dataclass, field

MAX_LINES = 4096


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that determines how a sentence sounds. `settings` are the vendor's, in a fixed order."""

    voice: str
    model: str
    settings: tuple[str, ...]
    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of voice, model, settings and text, in hexadecimal: the clip's name in the Object Store."""
        return _digest(*astuple(self))


def line_digest(language: str, text: str) -> str:
    """The name under which it is written which clip says this line, in whatever voice."""
    return f"line-{_digest(language.split('-')[0], text)}"


@dataclass
class Lines:
    """The lines spoken lately, the most recent `most` of them: one that is spoken twice is worth keeping."""

    most: int = MAX_LINES
    _known: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def is_repeated(self, line: str) -> bool:
        """Whether the line was spoken before; from now on it was."""
        repeated = line in self._known
        self._known[line] = None
        self._known.move_to_end(line)
        if len(self._known) > self.most:
            self._known.popitem(last=False)
        return repeated


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()
