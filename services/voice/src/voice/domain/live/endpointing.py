"""When the callee's turn is over: commit early, decide late.

After a short silence the transcript is requested (a commit), which ends nothing: it arrives while the silence is still
being counted. If the callee goes on, the text is a segment of the same turn. The turn is over when the silence is as
long as its text asks for, and the text is there. So the turn ends max(500, 220 + transcription) ms after the last
sound, not 500 + transcription. The lengths are those of `TurnPolicy`; docs/live.md has them in a table.
"""

from collections import deque
from dataclasses import dataclass

from voice.domain.live.late_transcripts import LateTranscripts
from voice.domain.live.spoken_turn import SpokenTurn, TurnOver
from voice.domain.live.turn_policy import TurnPolicy, asks_for_details, turn_over_seconds, words_of
from voice.domain.live.voicing import VoicedWindow

START_FRAMES = (3, 5)
"""Speech begins when 3 of 5 frames are voiced."""
_ONSET_SECONDS = 0.06
_ROUNDING_SECONDS = 1e-6
"""Instants are sums and differences of binary fractions."""
_RETRY_SECONDS = 0.3
"""A commit needs that much new audio."""
_THROTTLED_SECONDS = 0.06
_MAX_COMMIT_AFTER_SECONDS = 0.4
_DOUBLED_SECONDS = 0.25
_UNVOICED_PARTIALS = 2


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing has to be done."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Request the transcript of the audio sent so far."""


@dataclass(frozen=True, slots=True)
class TranscriberSilent:
    """Commits in a row were not answered: the transcriber is down."""


Decision = Nothing | Commit | TurnOver | TranscriberSilent


class Endpointing:
    """Listens to one callee. Instants are seconds of one monotonic clock; the calls are in the order of time.

    A voice that no transcript came of is a turn with an empty text; a commit that is answered with an empty text was a
    noise, and ends nothing. Words without a voice count from the second partial transcript on, while we are silent.
    """

    def __init__(self, language: str, policy: TurnPolicy | None = None) -> None:
        self._language = language
        self._policy = policy or TurnPolicy()
        self._commit_after_seconds = self._policy.commit_after_seconds
        self._start = VoicedWindow(*START_FRAMES)
        self._turn = SpokenTurn()
        self._last_sound_at = 0.0
        self._is_speaking = False
        self._needs_commit = False
        self._may_commit_at = 0.0
        self._commits: deque[float] = deque()  # instants of those without an answer
        self._late = LateTranscripts(language, self._policy.backchannels)
        self._must_discard = False  # the audio that is not committed yet
        self._last_commit_at: float | None = None
        self._last_transcript = ("", 0.0)
        self._partial = ""
        self._unvoiced_partials = 0
        self._unanswered = 0
        self._is_asked_for_details = False
        self._may_end = True

    @property
    def is_speaking(self) -> bool:
        """Whether the callee speaks, or did so less than `commit_after_seconds` ago."""
        return self._is_speaking

    @property
    def has_spoken(self) -> bool:
        """Whether the callee has said something that no decision has returned yet."""
        return self._turn.began_at is not None

    @property
    def is_pausing(self) -> bool:
        """Whether the callee is silent within its turn, and no transcript is awaited."""
        return self.has_spoken and not (self._is_speaking or self._needs_commit or self._commits)

    @property
    def unclaimed_text(self) -> str:
        """What the callee has said that no decision has returned yet, as far as it is known."""
        return self._turn.text_with(self._partial) if self.has_spoken else ""

    def resume(self, text: str, now: float) -> None:
        """Begins in the middle of a turn, in which the callee said this text on an earlier stream."""
        self._add(text, now)

    def said(self, sentence: str) -> None:
        """Takes a sentence of ours: a question for a number makes us wait longer, until the callee's turn is over."""
        if asks_for_details(sentence, self._language):
            self._is_asked_for_details = True
            self._turn.needed_seconds = None

    def voiced(self, now: float, is_voiced: bool) -> None:
        """Takes a frame of 20 ms."""
        is_start = self._start.add(is_voiced)
        if self._is_speaking:
            if is_voiced:
                self._last_sound_at = now
            elif self._has_passed(self._commit_after_seconds, now):
                self._stop_speaking()
        elif is_start:
            self._sound(now, began_at=now - _ONSET_SECONDS)
            self._is_speaking = True

    def partial(self, text: str, now: float) -> None:
        """Takes a partial transcript: what was understood since the last commit. An empty one changes nothing."""
        is_new = bool(text) and text != self._partial
        self._partial = text or self._partial
        if not is_new or self._commits or self._is_speaking:
            return
        self._unvoiced_partials += 1
        is_quiet_voice = self._unvoiced_partials >= _UNVOICED_PARTIALS and len(words_of(text)) > 1 and self._may_end
        if self.has_spoken or is_quiet_voice:
            self._sound(now, began_at=now)

    def committed(self, text: str, now: float) -> None:
        """Takes the transcript of a commit. One that repeats the last one without a commit is ignored."""
        last_text, last_at = self._last_transcript
        is_awaited = self._commits or self._late
        if text and text == last_text and (not is_awaited or now - last_at < _DOUBLED_SECONDS):
            return
        self._last_transcript = (text, now)
        self._unanswered = 0
        if self._late:
            if (words := self._late.take(text, self._turn.segments)) is not None:
                self._turn.needed_seconds = None
                self._add(words, now)
                return
        elif not self._commits and not text:
            return
        if self._commits:
            self._turn.transcription_seconds = now - self._commits.popleft()
        self._partial = ""
        self._add(text, now)

    def throttled(self, now: float) -> None:
        """Takes the refusal of a commit: it is repeated, and later ones wait for a longer silence."""
        if not self._commits:
            self._late.refused()
            return
        self._commits.pop()
        self._needs_commit = True
        self._may_commit_at = now + _RETRY_SECONDS
        self._commit_after_seconds = min(self._commit_after_seconds + _THROTTLED_SECONDS, _MAX_COMMIT_AFTER_SECONDS)

    def reopened(self, now: float) -> None:
        """Takes that the transcriber's session was replaced: what was not committed counts as the partials had it."""
        self._commits.clear()
        self._late.clear()
        self._last_commit_at = now
        if self._is_speaking:
            self._take_partial()
        elif self.has_spoken:
            self._needs_commit = False
            self._turn.is_without_transcript = not self._take_partial() and not self._turn.segments

    def discard(self) -> None:
        """Forgets what the callee has said in this turn, and what comes late of it, unless that has other words."""
        is_uncommitted = self._needs_commit and not self._is_speaking
        self._abandon(is_discarded=True)
        self._end_turn()
        self._needs_commit = self._must_discard = is_uncommitted
        self._stop_speaking()

    @property
    def decides_at(self) -> float:
        """When `decide` is due if nothing arrives meanwhile, after the callee `has_spoken`."""
        if self._needs_commit:
            return max(self._last_sound_at + self._commit_after_seconds, self._may_commit_at)
        if self._commits:
            return self._commits[-1] + self._policy.transcript_seconds
        return self._last_sound_at + self._needed_seconds()

    def decide(self, now: float, *, may_end: bool = True) -> Decision:
        """Returns what has to be done now. Call it after each frame, at `decides_at`, and at least every 100 ms.

        `may_end` is false while our speech is audible or paused: the turn goes on, and its transcript is requested.
        """
        self._may_end = may_end
        if self._last_commit_at is None:
            self._last_commit_at = now
        if self.has_spoken and not self._has_passed(self._commit_after_seconds, now):
            return _NOTHING
        if self._needs_commit:
            return self._commit(now) if now >= self._may_commit_at else _NOTHING
        if self._commits:
            return self._await_transcript(now)
        if self.has_spoken and not self._turn.segments and not self._turn.is_without_transcript:
            self._end_turn()  # a noise
        if may_end and self.has_spoken and self._has_passed(self._needed_seconds(), now):
            return self._turn_over(now)
        if now - self._last_commit_at >= self._policy.recommit_seconds:
            self._last_commit_at = now
            return Commit()
        return _NOTHING

    def _sound(self, now: float, *, began_at: float) -> None:
        if self._turn.began_at is None:
            self._turn.began_at = began_at
        self._last_sound_at = now
        self._needs_commit, self._must_discard = True, False
        self._unvoiced_partials = 0

    def _has_passed(self, seconds: float, now: float) -> bool:
        """Whether the callee has been silent for so long."""
        return now - self._last_sound_at > seconds - _ROUNDING_SECONDS

    def _stop_speaking(self) -> None:
        self._is_speaking = False
        self._start.reset()

    def _commit(self, now: float) -> Commit:
        self._stop_speaking()  # a decision may come before the frame of its instant: a voice in it begins anew
        self._needs_commit = False
        self._commits.append(now)
        self._last_commit_at = now
        if self._must_discard:
            self._abandon(is_discarded=True)
        return Commit()

    def _await_transcript(self, now: float) -> Decision:
        if now - self._commits[-1] < self._policy.transcript_seconds:
            return _NOTHING
        self._abandon(is_discarded=False)
        if self._take_partial() or self._turn.segments:
            return _NOTHING  # the next decision counts the silence
        self._turn.is_without_transcript = True
        self._unanswered += 1
        if self._unanswered < self._policy.max_unanswered:
            return _NOTHING
        self._unanswered = 0
        return TranscriberSilent()

    def _abandon(self, *, is_discarded: bool) -> None:
        self._late.abandon(len(self._commits), self._partial, self._turn.segments, is_discarded=is_discarded)
        self._commits.clear()
        self._must_discard = False

    def _add(self, text: str, now: float) -> None:
        """Adds a transcript to the turn; one that is late, or of a commit in silence, may begin it."""
        if not text:
            return
        if self._turn.began_at is None:
            self._turn.began_at = self._last_sound_at = now
        self._turn.add(text)

    def _take_partial(self) -> bool:
        """Has the partial transcript count as a segment, and returns whether there is one."""
        partial, self._partial = self._partial, ""
        if partial:
            self._turn.add(partial)
        return bool(partial)

    def _needed_seconds(self) -> float:
        """Returns the silence after which the turn is over, by its text and by what we asked for."""
        turn = self._turn
        if turn.needed_seconds is None:
            turn.needed_seconds = turn_over_seconds(
                turn.text, self._language, self._policy, is_asked_for_details=self._is_asked_for_details
            )
        return turn.needed_seconds

    def _turn_over(self, now: float) -> TurnOver:
        turn = self._turn
        over = TurnOver(
            turn.text,
            len(turn.segments),
            max(0.0, self._last_sound_at - (turn.began_at or 0.0)),
            now - self._last_sound_at,
            turn.transcription_seconds,
        )
        self._end_turn()
        self._is_asked_for_details = False
        return over

    def _end_turn(self) -> None:
        self._turn = SpokenTurn()
        self._needs_commit = False
        self._partial = ""
        self._unvoiced_partials = 0


_NOTHING = Nothing()
