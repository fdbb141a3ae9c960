"""A callee on media streams: hears the agent frame by frame, and speaks, interrupts, coughs or presses a key.

The turns are those of `Callee`, as in turn-based calls. A callee has no connection to the agent's software: it judges
by its ear alone. It speaks when it has heard the agent and then silence for the `delay` of its utterance, or when it
has heard as much of the reply as it wants to. A reply that was already audible when the callee stopped speaking is no
answer to it, unless it goes on for a while. An agent that stops because of a cough or an "mm-hm" gets time to go on.
When the agent says nothing at all, the callee loses patience.

One object serves all streams of a call: between two streams the callee goes on in its own time (`skip`).
"""

import random
from collections import deque
from dataclasses import dataclass

from simulators import mu_law, tone_speech
from simulators.mu_law import FRAME_SECONDS, SILENCE
from simulators.spoken_words import SpokenUtterance, SpokenWords, mark
from simulators.tone_speech import Speak
from simulators.twilio.call_clock import CallEnded
from simulators.twilio.callee_phrases import Language
from simulators.twilio.callee_sounds import Interjection
from simulators.twilio.callee_speech import Speech, cough, synthesize
from simulators.twilio.callees import Behaviour, Callee, KeyPress, Utterance
from simulators.twilio.stream_ledger import SoundEntry

PATIENCE_SECONDS = 10.0
_SILENT_TURN_SECONDS = 5.0
_OLD_REPLY_SECONDS = 1.5
_RESUME_SECONDS = 2.5
_PAUSE_IN_SPEECH_SECONDS = 1.0
_MIN_HEARD_SECONDS = 0.1
_ECHO_DELAY_FRAMES = 5
_MAX_SKIPPED_SECONDS = 60.0
_EPSILON_SECONDS = 1e-6


@dataclass(frozen=True)
class CalleeFrame:
    """What the callee sends in 20 ms: audio, perhaps a key, and the sound that begins in this frame."""

    audio: bytes = SILENCE
    key: str | None = None
    sound: SoundEntry | None = None


@dataclass
class _Turn:
    """What the callee will do in this turn, and what it has heard of the agent since its own last utterance."""

    utterance: Utterance | None
    interjection: Interjection | None
    key: KeyPress | None
    is_first_to_speak: bool
    old_reply_seconds: float
    patience_seconds: float
    heard_seconds: float = 0.0
    silent_seconds: float = 0.0
    waited_seconds: float = 0.0
    resume_seconds: float = 0.0

    def listen(self, is_audible: bool) -> None:
        if is_audible and self.old_reply_seconds > _EPSILON_SECONDS:
            self.old_reply_seconds -= FRAME_SECONDS
            return
        self.old_reply_seconds = 0.0
        if is_audible:
            self.heard_seconds += FRAME_SECONDS
            self.silent_seconds = self.resume_seconds = 0.0
        elif self.resume_seconds > _EPSILON_SECONDS:
            self.resume_seconds -= FRAME_SECONDS
        elif self.heard_seconds < _MIN_HEARD_SECONDS:
            self.waited_seconds += FRAME_SECONDS
        else:
            self.silent_seconds += FRAME_SECONDS

    def has_heard(self, seconds: float) -> bool:
        """Returns whether so much of the reply has been heard, or the reply has ended before."""
        return self.heard_seconds >= seconds - _EPSILON_SECONDS or self.has_ended(0.0)

    def has_ended(self, silence_seconds: float) -> bool:
        """Returns whether the reply has ended and silence has lasted so long, or no reply came."""
        has_ended = self.silent_seconds > 0 and self.silent_seconds >= silence_seconds - _EPSILON_SECONDS
        return has_ended or self.waited_seconds >= self.patience_seconds - _EPSILON_SECONDS


class LiveCallee:
    """The ear and the voice of one callee. `exchange` is called once for each frame of the call's audio."""

    def __init__(
        self,
        callee: Callee,
        language: Language,
        voice: str,
        spoken_words: SpokenWords,
        speak: Speak = tone_speech.speak,
    ) -> None:
        self._callee, self._language, self._voice, self._speech_of = callee, language, voice, speak
        self._spoken_words = spoken_words
        self._draw = random.Random(f"{voice}:{language}")
        self._turn: _Turn | None = None
        self._frames: deque[bytes] = deque()
        self._utterance: SpokenUtterance | None = None
        self._frame_number = 0
        self._sound: SoundEntry | None = None
        self._hangs_up_after_speech = False
        self._pressed_key = False
        self._is_audible = self._was_audible = False
        self._quiet_seconds = 0.0
        echo_decibels = callee.settings.echo_decibels
        self._echo_gain = None if echo_decibels is None else mu_law.gain(echo_decibels)
        self._echo: deque[bytes] = deque([SILENCE] * _ECHO_DELAY_FRAMES)

    def await_agent(self) -> None:
        """Forgets what was heard of the agent's last reply: the callee waited for a person meanwhile."""
        if self._turn is not None:
            self._turn.heard_seconds = self._turn.silent_seconds = self._turn.waited_seconds = 0.0

    def exchange(self, heard: bytes | None) -> CalleeFrame:
        """Hears a frame (None without audio) and returns what the callee sends. Raises CallEnded when it hangs up."""
        self._listen(heard)
        key: str | None = None
        if not self._frames:
            if self._hangs_up_after_speech:
                raise CallEnded("callee")
            key = self._act(self._turn or self._begin_turn())
        sound, self._sound = self._sound, None
        return CalleeFrame(self._next_audio(heard), key, sound)

    def receive_key(self, key: str) -> None:
        """Takes a key that the agent presses: a switchboard that was about to read its menu again connects."""
        if self._callee.receive_key(key):
            self._turn = None

    @property
    def hears_keys(self) -> bool:
        """Whether the callee does anything with keys that the agent presses."""
        return self._callee.behaviour is Behaviour.SWITCHBOARD

    def skip(self, seconds: float) -> SoundEntry | None:
        """Lets time pass without a stream: what the callee says is lost. Raises CallEnded.

        Returns the sound that has begun meanwhile and goes on: its rest is heard in the next stream.
        """
        began: SoundEntry | None = None
        for _ in range(round(min(seconds, _MAX_SKIPPED_SECONDS) / FRAME_SECONDS)):
            began = self.exchange(None).sound or began
        return began if self._frames else None

    def leave(self) -> None:
        """Ends the live conversation: an utterance that has not begun is the next one of a turn-based call."""
        if self._turn is not None and self._turn.utterance is not None:
            self._callee.keep_unspoken(self._turn.utterance)
        self._turn = None
        self._frames.clear()

    def _listen(self, heard: bytes | None) -> None:
        self._was_audible = self._is_audible
        is_quiet = heard is None or heard == SILENCE
        self._quiet_seconds = self._quiet_seconds + FRAME_SECONDS if is_quiet else 0.0
        self._is_audible = heard is not None and self._quiet_seconds < _PAUSE_IN_SPEECH_SECONDS
        if self._is_audible:
            self._callee.listening_seconds -= FRAME_SECONDS
            if self._callee.listening_seconds <= _EPSILON_SECONDS:
                raise CallEnded("callee")
        if self._turn is not None:
            self._turn.listen(self._is_audible)
            if self._frames:  # of an interjection
                self._turn.resume_seconds = _RESUME_SECONDS

    def _begin_turn(self) -> _Turn:
        key = None if self._pressed_key else self._callee.press_key()
        utterance = None if key is not None else self._callee.next_utterance(self._language)
        interjection = self._callee.interject(self._language)
        old_reply_seconds = _OLD_REPLY_SECONDS if self._was_audible and self._callee.has_spoken else 0.0
        patience_seconds = self._callee.settings.patience_seconds or PATIENCE_SECONDS
        self._turn = _Turn(utterance, interjection, key, self._callee.speaks_first, old_reply_seconds, patience_seconds)
        self._turn.listen(self._is_audible)
        return self._turn

    def _act(self, turn: _Turn) -> str | None:
        """Begins the sound that is due, if any. Returns the key that is pressed now. Raises CallEnded."""
        utterance = turn.utterance
        if turn.interjection is not None and turn.heard_seconds >= turn.interjection.at_seconds - _EPSILON_SECONDS:
            self._interject(turn.interjection)
            turn.interjection = None
        elif turn.key is not None:
            if turn.has_heard(turn.key.barge_in_seconds):
                self._turn, self._pressed_key = None, True
                return turn.key.key
        elif utterance is None:
            if turn.has_ended(self._callee.settings.patience_seconds or _SILENT_TURN_SECONDS):
                self._turn = None
                if self._callee.hangs_up_in_silence():
                    raise CallEnded("callee")
        elif (
            turn.is_first_to_speak
            or turn.heard_seconds >= utterance.barge_in_seconds - _EPSILON_SECONDS
            or turn.has_ended(utterance.delay)
        ):
            self._turn = None
            self._speak(utterance)
        return None

    def _interject(self, interjection: Interjection) -> None:
        if interjection.kind == "noise":
            self._begin(cough(self._draw), SoundEntry("noise", "", 0.0))
        else:
            speech = synthesize(interjection.text, (), self._voice, self._speech_of)
            self._begin(speech, SoundEntry("backchannel", interjection.text, 0.0))

    def _speak(self, utterance: Utterance) -> None:
        speech = synthesize(utterance.text, utterance.pauses, self._voice, self._speech_of)
        text = utterance.text
        if utterance.is_cut_off:
            half = len(speech.frames) // 2
            words = tuple(word for word in speech.words if word.last_frame < half)
            speech, text = Speech(speech.frames[:half], words), " ".join(word.text for word in words)
            self._hangs_up_after_speech = True
        self._begin(speech, SoundEntry("utterance", text, 0.0))

    def _begin(self, speech: Speech, sound: SoundEntry) -> None:
        sound.seconds, sound.is_over_agent = speech.seconds, self._is_audible
        self._sound = sound
        self._frames.extend(speech.frames)
        self._utterance = self._spoken_words.register(sound.text, speech.words) if speech.words else None
        self._frame_number = 0

    def _next_audio(self, heard: bytes | None) -> bytes:
        frame = self._frames.popleft() if self._frames else SILENCE
        number, self._frame_number = self._frame_number, self._frame_number + 1
        is_voiced = frame != SILENCE
        if self._echo_gain is not None:
            self._echo.append(SILENCE if heard is None else heard.translate(self._echo_gain))
            frame = mu_law.mix(frame, self._echo.popleft())
        if is_voiced and self._utterance is not None:
            return mark(frame, self._utterance, number)
        return frame
