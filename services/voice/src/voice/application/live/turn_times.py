"""The parts of the time until a reply is heard, and what happened while it was played."""

from dataclasses import dataclass

from contracts import SpeechPlayed, TurnLatencies
from contracts.call import Call
from voice.application.live.speaker import Reply
from voice.domain.live.spoken_turn import TurnOver
from voice.metrics import LIVE_STAGE_SECONDS


@dataclass
class TurnTimes:
    """Measures the turn whose reply is played. Instants are those of the running loop's clock."""

    claimed_at: float | None = None
    """When the turn was stored; None: its reply answers no utterance of this stream."""
    pauses: int = 0
    resumes: int = 0
    backchannels: int = 0
    _endpoint_seconds: float | None = None
    _log_seconds: float | None = None

    def begin(self) -> None:
        """Begins a turn."""
        self.claimed_at = self._endpoint_seconds = self._log_seconds = None
        self.pauses = self.resumes = self.backchannels = 0

    def claimed(self, turn: TurnOver | None, log_seconds: float, now: float) -> None:
        """Takes that an utterance was stored, after `log_seconds`; None: a silence."""
        self.claimed_at, self._log_seconds = now, log_seconds
        self._endpoint_seconds = turn.endpoint_seconds if turn else None

    def played(self, call: Call, reply: Reply, seconds: float, *, is_complete: bool) -> SpeechPlayed:
        """Returns the event about a reply of which `seconds` were heard, and counts its latencies."""
        latencies = TurnLatencies(
            endpoint_seconds=_rounded(self._endpoint_seconds),
            log_seconds=_rounded(self._log_seconds),
            first_sentence_seconds=_between(self.claimed_at, reply.requested_at),
            synthesis_seconds=_between(reply.requested_at, reply.audible_at),
            playout_seconds=_between(reply.audible_at, reply.sent_at),
        )
        for name, value in latencies:
            if value is not None:
                LIVE_STAGE_SECONDS.labels(stage=name.removesuffix("_seconds")).observe(value)
        return SpeechPlayed(
            call_id=call.call_id,
            attempt=call.attempt,
            turn=reply.turn,
            is_complete=is_complete,
            seconds=round(seconds, 3),
            pauses=self.pauses,
            resumes=self.resumes,
            backchannels=self.backchannels,
            latencies=latencies,
        )


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else round(max(0.0, end - start), 4)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
