"""One call whose stream carries text: the provider transcribes the callee and speaks for us (ConversationRelay).

The provider decides when a turn is over and what interrupts. What the callee says while a sentence is spoken that
nothing may interrupt waits until the line is silent; only the wish for no more calls does not wait.
"""

from collections.abc import Sequence

from contracts import InterruptionReason, MediaClosedReason
from contracts.call import Call
from contracts.opt_out_phrases import is_opt_out
from voice.application.live.call_record import CallRecord
from voice.application.live.live_calls import StreamId
from voice.application.live.relay_speaking import RelaySpeaking
from voice.application.live.speaker import Listener
from voice.application.live.speech_record import SpeechRecord
from voice.application.live.streamed_call import StreamedCall, Work
from voice.domain.live.turn_policy import TurnPolicy
from voice.ports import CallEvents, TextLine

MAX_SPEAKING_SECONDS = 30.0
"""How long a report that the callee speaks counts: the report of the end may be lost."""
_KEY_SECONDS = 1.0
"""An interruption so soon after a key is one by the key."""
MAX_WAITING_UTTERANCES = 20
PROMPT_SECONDS = 2.0
"""How long the words of a voice that has ended are awaited. A noise has none."""


class RelayCall(StreamedCall):
    """Conducts one stream of text."""

    def __init__(
        self,
        stream: StreamId,
        stream_id: str,
        call: Call,
        line: TextLine,
        record: CallRecord,
        speech: SpeechRecord,
        events: CallEvents,
        policy: TurnPolicy,
    ) -> None:
        def build_speaker(listener: Listener) -> RelaySpeaking:
            self._speaking = RelaySpeaking(line, listener, language=call.language)
            return self._speaking

        super().__init__(stream, stream_id, call, record, build_speaker, speech, events, policy)
        self._waiting: list[str] = []
        """What the callee said during a sentence that cannot be interrupted."""
        self._speaks_since: float | None = None
        self._awaits_words_until = 0.0
        self._key_at: float | None = None

    def receive_prompt(self, text: str, *, is_last: bool) -> None:
        """Takes what the callee said. One that is not `is_last` is part of an utterance."""
        self._speaks_since = None if is_last else self._clock()
        self._awaits_words_until = 0.0
        if not is_last or not text:
            return
        if is_opt_out(text) or not self._turns.is_uninterruptible():
            self._claim(text)
        elif len(self._waiting) < MAX_WAITING_UTTERANCES:
            self._waiting.append(text)

    def receive_interruption(self, utterance: str, seconds: float | None) -> None:
        """Takes that the callee has interrupted our speech, of which `utterance` was heard."""
        is_by_key = self._key_at is not None and self._clock() - self._key_at <= _KEY_SECONDS
        self._speaking.interrupted(utterance, seconds)
        self._turns.interrupt(InterruptionReason.KEYS if is_by_key else InterruptionReason.WORDS)

    def receive_words_played(self, text: str) -> None:
        """Takes the next words that the callee heard."""
        self._speaking.words_played(text)

    def receive_speaking(self, *, is_agent: bool, is_speaking: bool) -> None:
        """Takes that the agent or the callee begins to speak, or ends."""
        if is_agent:
            self._speaking.agent_speaking(is_speaking)
        elif is_speaking:
            self._speaks_since = self._clock()
        elif self._speaks_since is not None:  # otherwise its words have come already
            self._speaks_since, self._awaits_words_until = None, self._clock() + PROMPT_SECONDS

    def _works(self, heard_text: str) -> Sequence[Work]:
        return ()

    def _resume(self, text: str) -> None:
        self._waiting.append(text)

    def _decide(self) -> None:
        if self._waiting and self._turns.may_claim():
            self._claim()

    def _claim(self, *texts: str) -> None:
        text = " ".join([*self._waiting, *texts])
        self._waiting.clear()
        self._turns.claim(text)

    def _on_said(self, text: str) -> None:
        pass

    def _on_key(self) -> None:
        self._key_at = self._clock()

    @property
    def _has_spoken(self) -> bool:
        return bool(self._waiting) or self._is_heard_now()

    @property
    def _is_pausing(self) -> bool:
        return bool(self._waiting) and not self._is_heard_now()

    @property
    def _unclaimed_text(self) -> str:
        return " ".join(self._waiting)

    def _is_heard_now(self) -> bool:
        """Returns whether the callee speaks, or its last words have not come yet."""
        if self._speaks_since is not None:
            return self._clock() - self._speaks_since <= MAX_SPEAKING_SECONDS
        return self._clock() < self._awaits_words_until


HANDOFF_REASON = "reason"
"""The field of the data that an end carries. Nothing reads it but people: the log says what is next."""


def handoff_of(reason: MediaClosedReason) -> dict[str, str]:
    """Returns the data that an end carries."""
    return {HANDOFF_REASON: reason.value}
