"""One session of realtime transcription, without input and output: audio in, messages out.

Its clock is the audio that it has received, as a client sends it in real time. The words are those that the simulated
callees have spoken (`simulators.spoken_words`): the vendor's behaviour is simulated here, not its ears.
"""

import random
from dataclasses import dataclass
from typing import Any

from simulators.elevenlabs.timing import TranscriptionTiming
from simulators.elevenlabs.transcription_messages import SessionError, TranscriptionQuery, error_message
from simulators.elevenlabs.usage import Usage
from simulators.spoken_words import HeardWord, SpokenWords, WordListener


@dataclass(frozen=True)
class Answer:
    """A message and the time after which it is sent."""

    message: dict[str, Any]
    delay_seconds: float = 0.0


class Transcription:
    """What one session has heard and not yet committed."""

    def __init__(
        self,
        query: TranscriptionQuery,
        timing: TranscriptionTiming,
        words: SpokenWords,
        draws: random.Random,
        usage: Usage,
    ) -> None:
        self._query, self._timing, self._draws, self._usage = query, timing, draws, usage
        self._listener = WordListener(words)
        self._bytes = 0
        self._warm_at = round(timing.cold_start_seconds * query.bytes_per_second)
        self._committed_bytes = 0
        self._words: list[HeardWord] = []
        self._partial: tuple[int, float] = (0, float("-inf"))  # words in the last one, and when it was sent
        self._decision_seconds = self._draw(timing.decision_seconds)
        self._waiting: list[Answer] = []

    @property
    def _seconds(self) -> float:
        return self._bytes / self._query.bytes_per_second

    def receive(self, audio: bytes) -> list[Answer]:
        """Receives a chunk of audio; returns what is sent because of it. Raises SessionError if it is too long."""
        if len(audio) > self._timing.max_chunk_seconds * self._query.bytes_per_second:
            limit = f"{self._timing.max_chunk_seconds:g} seconds of audio"
            raise SessionError("chunk_size_exceeded", f"The chunk is longer than {limit}.")
        self._bytes += len(audio)
        if self._query.audio_format == "ulaw_8000":
            self._words += self._listener.listen(audio)
        answers: list[Answer] = []
        if self._is_over():
            answers = self._commit(delay_seconds=0.0)
        elif self._uncommitted_seconds() >= self._timing.max_uncommitted_seconds:
            answers = self._commit(self._draw(self._timing.commit_seconds))
        return self._when_warm([*answers, *self._partials()])

    def commit(self) -> list[Answer]:
        """Commits what was received; returns what is sent because of it."""
        if (seconds := self._uncommitted_seconds()) < self._timing.min_commit_seconds:
            minimum = f"You need at least {self._timing.min_commit_seconds:g}s of uncommitted audio before committing."
            text = f"Commit request ignored: only {seconds:.2f}s of uncommitted audio. {minimum}"
            return [Answer(error_message("commit_throttled", text))]
        return self._when_warm(self._commit(self._draw(self._timing.commit_seconds)))

    def pause(self, seconds: float) -> None:
        """Records a time without audio. A session can be cold after it: it answers when enough audio has followed."""
        if self._timing.cold_after_seconds is None or seconds < self._timing.cold_after_seconds:
            return
        self._warm_at = self._bytes + round(self._timing.cold_start_seconds * self._query.bytes_per_second)

    def _draw(self, bounds: tuple[float, float]) -> float:
        return self._draws.uniform(*bounds)

    def _uncommitted_seconds(self) -> float:
        return (self._bytes - self._committed_bytes) / self._query.bytes_per_second

    def _is_over(self) -> bool:
        """Returns whether the vendor's own voice detection commits now."""
        return (
            self._query.commit_strategy == "vad"
            and bool(self._words)
            and not self._listener.partial
            and self._seconds - self._words[-1].end_seconds >= self._decision_seconds
        )

    def _when_warm(self, answers: list[Answer]) -> list[Answer]:
        """Returns the answers that may be sent now. A cold session answers with its commits when it is warm."""
        self._waiting += answers
        if self._bytes < self._warm_at:
            return []
        answers, self._waiting = self._waiting, []
        return answers

    def _partials(self) -> list[Answer]:
        number, sent_at = self._partial
        if len(self._words) <= number or self._seconds - sent_at < self._timing.partial_interval_seconds:
            return []
        if self._bytes < self._warm_at:
            return []
        self._partial = (len(self._words), self._seconds)
        message = {"message_type": "partial_transcript", "text": self._text()}
        return [Answer(message, self._timing.partial_seconds)]

    def _text(self) -> str:
        return " ".join(word.text for word in self._words)

    def _commit(self, delay_seconds: float) -> list[Answer]:
        self._usage.commits += 1
        messages: list[dict[str, Any]] = [{"message_type": "committed_transcript", "text": self._text()}]
        if self._query.include_timestamps:
            messages.append(self._with_timestamps())
        self._committed_bytes = self._bytes
        self._words = []
        self._partial = (0, self._partial[1])
        self._decision_seconds = self._draw(self._timing.decision_seconds)
        times = 2 if self._draws.random() < self._timing.doubled_commits else 1
        return [Answer(message, delay_seconds) for message in messages for _ in range(times)]

    def _with_timestamps(self) -> dict[str, Any]:
        words: list[dict[str, Any]] = []
        for word in self._words:
            if words:
                words.append(self._timed(" ", words[-1]["end"], word.start_seconds, "spacing"))
            words.append(self._timed(word.text, word.start_seconds, word.end_seconds, "word"))
        return {
            "message_type": "committed_transcript_with_timestamps",
            "text": self._text(),
            "language_code": self._query.language_code,
            "words": words,
        }

    def _timed(self, text: str, start: float, end: float, kind: str) -> dict[str, Any]:
        logprob = 0.0 if kind == "spacing" else -self._draws.uniform(0.005, 0.15)
        return {
            "text": text,
            "start": round(start, 3),
            "end": round(max(start, end), 3),
            "type": kind,
            "logprob": round(logprob, 4),
        }
