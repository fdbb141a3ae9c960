"""What the media streams of one account share."""

from dataclasses import dataclass, field
from pathlib import Path

from simulators import tone_speech
from simulators.spoken_words import SpokenWords
from simulators.tone_speech import Speak
from simulators.twilio.callee_phrases import Language
from simulators.twilio.stream_faults import StreamFaults


@dataclass
class StreamSettings:
    """`language` is that of callees without one of their own; `recordings` is the folder of the recordings, if any.

    `speak` makes the speech of callees. `faults` is replaced by the control route; a stream keeps the faults with which
    it has opened.
    """

    spoken_words: SpokenWords = field(default_factory=SpokenWords)
    language: Language = "en"
    recordings: Path | None = None
    speak: Speak = tone_speech.speak
    faults: StreamFaults = field(default_factory=StreamFaults)
