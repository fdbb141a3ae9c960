"""What makes two pieces of synthesized speech the same."""

import hashlib
import json
from dataclasses import astuple, dataclass


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
        return hashlib.sha256(json.dumps(astuple(self), ensure_ascii=False).encode()).hexdigest()
