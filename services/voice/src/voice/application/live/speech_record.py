"""What is recorded of the speech of one live call."""

from typing import Protocol

from contracts import SentenceAudio
from voice.application.speech.synthesis import Sentence


class SpeechRecord(Protocol):
    """Appends what became of the speech of sentences."""

    async def record(self, sentence: Sentence, audio: SentenceAudio) -> None:
        """Appends `audio.ready` for a sentence that was heard."""
        ...

    async def record_failure(self, sentence: Sentence, reason: str) -> None:
        """Appends `audio.failed`: the provider's voice speaks the turn from this sentence on."""
        ...
