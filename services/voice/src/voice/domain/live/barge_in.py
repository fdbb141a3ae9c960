"""When the callee interrupts our speech: a sound pauses it, words end it, otherwise it resumes.

The two steps make the line silent early, and lose no reply to a cough. Words that only signal attention (“ajá”) are no
interruption, unless they answer a question. The numbers are those of `TurnPolicy`; docs/live.md has them in a table.

    listening --5 of 7 frames loud--> paused --2 words, a word, a key, 700 ms of voice--> interrupted
        ^                                |
        +---- 900 ms of silence ---------+
"""

from dataclasses import dataclass

from contracts.vocabulary import InterruptionReason
from voice.domain.live.media_stream import FRAME_SECONDS
from voice.domain.live.playout import Playing
from voice.domain.live.turn_policy import TurnPolicy, is_backchannel, words_of
from voice.domain.live.voicing import Voice, VoicedWindow

PAUSE_FRAMES = (5, 7)
"""Our speech pauses when 5 of 7 frames are voiced and loud: after 100–140 ms of a voice."""
START_FRAMES = (3, 5)
MAX_VOICED_SECONDS = 2.0
"""A voice as long as that interrupts even if only “ajá” was understood of it."""
LATE_WORDS_SECONDS = 2.5
"""Words that come so long after their sound still interrupt."""
_GAP_SECONDS = 0.2
"""After our speech, a voice that follows such a silence is a sound of its own."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing has to be done."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Pause our speech: `Playout.pause`, and a `clear`."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """End our speech: `Playout.interrupt`, and a `clear` unless it is paused. `words` are those that interrupted it."""

    reason: InterruptionReason
    words: str


@dataclass(frozen=True, slots=True)
class Resume:
    """Continue our speech: `Playout.resume`, and `Endpointing.discard`. `words` signalled attention; empty: a noise."""

    words: str


@dataclass(frozen=True, slots=True)
class Dismiss:
    """Our speech went on: `Endpointing.discard`. `words` signalled attention; empty: a noise."""

    words: str


Decision = Nothing | Pause | Interrupt | Resume | Dismiss
_NOTHING = Nothing()


@dataclass(slots=True)
class _Sound:
    """A sound of the callee during our speech."""

    is_answerable: bool
    last_at: float
    voiced_frames: int
    is_paused: bool = False
    words: str = ""


class BargeIn:
    """Listens during our speech. Instants are seconds of one monotonic clock.

    Words count only together with a voice during our speech: those that come later than their turn, and an echo that is
    too quiet for a voice, interrupt nothing. A sound during a sentence that is not interruptible has no effect at all;
    its words stay in `Endpointing`, and are answered afterwards.
    """

    def __init__(self, language: str, policy: TurnPolicy | None = None) -> None:
        self.pauses = 0
        """How often our speech was paused in this call; `resumes` and `backchannels` likewise."""
        self.resumes = 0
        self.backchannels = 0
        self._false_pauses = 0
        self._language = language
        self._policy = policy or TurnPolicy()
        self._start = VoicedWindow(*START_FRAMES)
        self._loud = VoicedWindow(*PAUSE_FRAMES)
        self._sound: _Sound | None = None
        self._past: _Sound | None = None
        self._unvoiced_frames = PAUSE_FRAMES[1]

    @property
    def needs_silence(self) -> bool:
        """Whether a frame without a voice counts: during a sound, and while a voice is in one of the windows.

        Otherwise `voiced` may be left out for it, and with it `Playout.playing`.
        """
        return self._sound is not None or self._unvoiced_frames < PAUSE_FRAMES[1]

    @property
    def is_paused(self) -> bool:
        """Whether a pause waits for its end."""
        return self._sound is not None and self._sound.is_paused

    def reset(self) -> None:
        """Takes that our speech was ended otherwise, for example by a text in place of an utterance."""
        self._forget()

    def voiced(self, now: float, voice: Voice, playing: Playing | None) -> Decision:
        """Takes a frame of 20 ms that counts, in order, and what the callee hears (`Playout.playing`)."""
        self._unvoiced_frames = 0 if voice.is_voiced else self._unvoiced_frames + 1
        if not self.is_paused:
            if playing is None:
                return self._after_speech(now, voice)
            if not playing.is_interruptible:
                self._forget()
                return _NOTHING
            is_loud = voice.is_voiced and voice.decibels_above_noise > self._margin(playing)
            must_pause, is_start = self._loud.add(is_loud), self._start.add(voice.is_voiced)
            if self._sound is None:
                if not is_start:
                    return _NOTHING
                self._sound = _Sound(playing.is_answerable, now, START_FRAMES[0] - 1)
            self._sound.is_answerable |= playing.is_answerable and voice.is_voiced
            if must_pause:
                self._sound.is_paused = True
                self.pauses += 1
                self._count(now, voice)
                return Pause()
        return self._listen(now, voice)

    def words(self, now: float, text: str, playing: Playing | None) -> Decision:
        """Takes a partial or committed transcript of what the callee says, after `Endpointing` has taken it."""
        if not words_of(text):
            return _NOTHING
        is_signal = is_backchannel(text, self._language, self._policy.backchannels)
        if sound := self._sound:
            sound.words = text
            is_answer = sound.is_answerable or not is_signal
            if playing is None and not sound.is_paused:
                return self._words_after_speech(now, sound, is_answer=is_answer)
            return self._interrupt(InterruptionReason.WORDS, text) if is_answer else _NOTHING
        is_late = self._past is not None and now - self._past.last_at <= LATE_WORDS_SECONDS
        if not is_late or playing is None or not playing.is_interruptible:
            return _NOTHING
        return Dismiss(text) if is_signal else self._interrupt(InterruptionReason.WORDS, text)

    def key(self, _now: float, playing: Playing | None) -> Decision:
        """Takes a pressed key."""
        if self.is_paused or (playing is not None and playing.is_interruptible):
            return self._interrupt(InterruptionReason.KEYS, "")
        return _NOTHING

    def _after_speech(self, now: float, voice: Voice) -> Decision:
        """Takes a frame in silence. A short sound that began during our speech is no answer, unless words follow."""
        sound = self._sound
        if sound is None:
            self._forget()
            return _NOTHING
        is_apart = now - sound.last_at >= _GAP_SECONDS
        is_new = self._start.add(voice.is_voiced) and is_apart
        is_over = is_new or now - sound.last_at >= self._policy.resume_seconds - 1e-6
        if not is_apart:
            self._count(now, voice)
        seconds = sound.voiced_frames * FRAME_SECONDS
        if sound.is_answerable or seconds >= self._policy.interrupt_voiced_seconds - 1e-6:
            self._forget()
            return _NOTHING
        if not is_over:
            return _NOTHING
        return self._dismiss(sound)

    def _words_after_speech(self, now: float, sound: _Sound, *, is_answer: bool) -> Decision:
        """Takes words in silence, of a sound that began during our speech."""
        if is_answer:
            self._forget()
        elif now - sound.last_at >= _GAP_SECONDS:
            return self._dismiss(sound)
        return _NOTHING

    def _dismiss(self, sound: _Sound) -> Dismiss:
        self.backchannels += bool(sound.words)
        self._forget()
        return Dismiss(sound.words)

    def _listen(self, now: float, voice: Voice) -> Decision:
        """Takes a frame during a sound."""
        sound, policy = self._sound, self._policy
        if sound is None:
            return _NOTHING
        self._count(now, voice)
        seconds = sound.voiced_frames * FRAME_SECONDS
        if sound.is_paused and (
            seconds >= MAX_VOICED_SECONDS or (not sound.words and seconds >= policy.interrupt_voiced_seconds - 1e-6)
        ):
            return self._interrupt(InterruptionReason.WORDS, sound.words)
        if now - sound.last_at < policy.resume_seconds - 1e-6:
            return _NOTHING
        self.backchannels += bool(sound.words)
        if sound.is_paused:
            self.resumes += 1
            self._false_pauses += not sound.words
        decision = Resume(sound.words) if sound.is_paused else Dismiss(sound.words)
        self._past = sound
        self._forget()
        return decision

    def _count(self, now: float, voice: Voice) -> None:
        if voice.is_voiced and self._sound is not None:
            self._sound.voiced_frames += 1
            self._sound.last_at = now

    def _interrupt(self, reason: InterruptionReason, words: str) -> Interrupt:
        self._past = None
        self._forget()
        return Interrupt(reason, words)

    def _forget(self) -> None:
        self._sound = None
        self._start.reset()
        self._loud.reset()

    def _margin(self, playing: Playing) -> float:
        policy = self._policy
        decibels = policy.echo_decibels if playing.seconds < policy.echo_seconds else policy.pause_decibels
        return decibels + (policy.raise_decibels if self._false_pauses >= policy.max_false_pauses else 0.0)
