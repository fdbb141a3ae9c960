"""Twilio's voice in a session of ConversationRelay: which of the server's texts is heard when."""

from collections import deque
from dataclasses import dataclass

from simulators.mu_law import FRAME_SECONDS
from simulators.tone_speech import Speak
from simulators.twilio.callee_speech import Speech, synthesize
from simulators.twilio.relay_messages import Text

FIRST_SOUND_SECONDS = 0.15
_GAP_FRAMES = 5
"""Silence between two texts."""


@dataclass
class _Spoken:
    text: Text
    cycle: int
    speech: Speech
    frame: int = 0


class RelaySpeech:
    """Speaks texts in their order, one frame each 20 ms."""

    def __init__(self, voice: str, speak: Speak, *, is_interruptible: bool) -> None:
        self._voice, self._speak = voice, speak
        self._is_interruptible = is_interruptible
        self._texts: deque[_Spoken] = deque()
        self._cycle = 0
        self._is_cycle_discarded = False
        self._wait_frames = 0
        self.is_speaking = False
        self.words: list[str] = []
        """The words of the present speech that were heard to their end."""
        self.seconds = 0.0
        """How long it has been heard."""

    @property
    def is_interruptible(self) -> bool:
        """Whether the callee may interrupt what is spoken now."""
        if not self._texts or (own := self._texts[0].text.is_interruptible) is None:
            return self._is_interruptible
        return own

    def add(self, text: Text) -> None:
        """Adds a text. The first one of a cycle replaces those of earlier cycles that are preemptible."""
        is_first = not any(one.cycle == self._cycle for one in self._texts)
        if text.token.strip() and not self._is_cycle_discarded:
            if is_first:
                self._texts = deque(one for one in self._texts if not one.text.is_preemptible)
            if not self.is_speaking and not self._texts:
                self._wait_frames = round(FIRST_SOUND_SECONDS / FRAME_SECONDS)
            speech = synthesize(text.token.strip(), (), self._voice, self._speak)
            self._texts.append(_Spoken(text, self._cycle, speech))
        if text.is_last:
            self._cycle += 1
            self._is_cycle_discarded = False

    def next_frame(self) -> tuple[bytes | None, list[str]]:
        """Returns the next frame, None for silence, and the words that were heard to their end before it."""
        while self._texts and self._texts[0].frame >= len(self._texts[0].speech.frames):
            self._texts.popleft()
            self._wait_frames = _GAP_FRAMES
        if not self._texts:
            self.is_speaking = False
            return None, []
        if self._wait_frames:
            self._wait_frames -= 1
            return None, []
        if not self.is_speaking:
            self.is_speaking, self.words, self.seconds = True, [], 0.0
        one = self._texts[0]
        frame, one.frame = one.speech.frames[one.frame], one.frame + 1
        self.seconds += FRAME_SECONDS
        heard = [word.text for word in one.speech.words if word.last_frame == one.frame - 1]
        self.words += heard
        return frame, heard

    def interrupt(self) -> None:
        """Discards what is left, and what follows in the same cycle."""
        self._is_cycle_discarded = any(one.cycle == self._cycle for one in self._texts)
        self._texts.clear()
        self.is_speaking = False
