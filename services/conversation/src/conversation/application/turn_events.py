"""Appends the events of one turn, each of them once, whichever replica appends it."""

from time import monotonic
from uuid import NAMESPACE_URL, uuid5

from chassis.event_log import Conflict, EventLog, Guard, StoredEvent
from chassis.retry_later import RetryLater
from contracts import (
    AudioRequested,
    ConversationEnded,
    Disposition,
    Envelope,
    Event,
    Language,
    ReplyGenerated,
    SpeechHeard,
    ToolCalled,
    ToolRequested,
)

_MAX_CONFLICTS = 10


class TurnClaimed(RetryLater):
    """Another replica answers this turn, or has crashed after it began: look at the turn again later."""

    def __init__(self) -> None:
        super().__init__(delay=1.0)


class TurnEvents:
    """The sentences, the reply and the ending of one turn.

    The first sentence claims the turn (see `conversation.application.turns`). The sentences after it need no guard:
    only the replica with the claim appends them.
    """

    def __init__(
        self, log: EventLog, stored: list[StoredEvent], utterance: SpeechHeard, cause: Envelope, language: Language
    ) -> None:
        """`stored` are the facts of the attempt at the start of the turn.

        A guard that names none of an earlier attempt fails once; then all facts of its kind are read.
        """
        self._log = log
        self._stored = stored
        self._utterance = utterance
        self._cause = cause
        self._language = language
        self._started_at = monotonic()
        self.sentences: list[str] = []
        self.last_sentence: str | None = None
        self.first_sentence_seconds: float | None = None
        self._sentences_before_answer = 0

    @property
    def cause(self) -> Envelope:
        """The envelope of the utterance."""
        return self._cause

    @property
    def has_begun_answer(self) -> bool:
        """Whether a sentence was published since the last results of tools, or at all if there were none."""
        return len(self.sentences) > self._sentences_before_answer

    def await_answer(self) -> None:
        """Counts the sentences so far as words before a tool call: the answer follows its result."""
        self._sentences_before_answer = len(self.sentences)

    @property
    def elapsed_seconds(self) -> float:
        """The time since the start of the turn."""
        return monotonic() - self._started_at

    async def publish_sentence(self, text: str, *, is_reusable: bool = False) -> None:
        """Requests the speech of one sentence. `is_reusable` marks a phrase whose clip is worth keeping.

        Raises TurnClaimed if this is the first sentence and another replica has published one.
        """
        event = AudioRequested(
            call_id=self._utterance.call_id,
            attempt=self._utterance.attempt,
            turn=self._utterance.turn,
            sentence=len(self.sentences),
            text=text,
            language=self._language,
            is_reusable=is_reusable,
        )
        if self.sentences:
            await self._log.append(event, cause=self._cause, event_id=self._event_id(f"sentence/{event.sentence}"))
        else:
            await self._claim(event)
        self.sentences.append(text)

    async def publish_last_sentence(self, text: str) -> None:
        """Keeps the last sentence for `reply.generated`, which follows at once; publishes it if it is the only one.

        The first sentence is the claim of the turn, so the reply cannot replace it.
        """
        if self.sentences:
            self.sentences.append(text)
            self.last_sentence = text
        else:
            await self.publish_sentence(text)

    async def _claim(self, event: AudioRequested) -> None:
        # Without an `event_id` of ours: the server may acknowledge a known id as a duplicate before it looks at the
        # guard, and then both replicas would believe that they have the claim.
        if not await self._append_once(event):
            raise TurnClaimed
        self.first_sentence_seconds = self.elapsed_seconds

    async def close(self, reply: ReplyGenerated) -> None:
        """Appends the reply. Raises TurnClaimed if another replica has closed the turn."""
        if not await self._append_once(reply, event_id=self._event_id("reply")):
            raise TurnClaimed

    async def request_tool(self, requested: ToolRequested) -> None:
        """Claims a tool call. Raises TurnClaimed if another replica executes it."""
        if not await self._append_once(requested):  # without an id of ours, as in `_claim`
            raise TurnClaimed

    async def end_tool(self, called: ToolCalled) -> None:
        """Appends the result of a tool call, if the log has none yet."""
        await self._append_once(called, event_id=self._event_id(f"tool/{called.number}/called"))

    async def end_conversation(self, ended: ConversationEnded) -> bool:
        """Appends the ending of the conversation. Returns false if the log already has one.

        An opt-out is appended even then: the person has interrupted the reply that ended the conversation.
        """
        return await self._append_once(ended, event_id=self._event_id("ended"))

    async def _append_once(self, event: Event, *, event_id: str | None = None) -> bool:
        """Appends an event unless the log has one with the same identity; the server's guard decides between replicas.

        Returns whether this replica appended it. Raises Conflict if other events keep arriving in between.
        """
        stored = [one for one in self._stored if one.event.subject == event.subject]
        for _ in range(_MAX_CONFLICTS):
            guard = Guard(event.subject, stored[-1].sequence if stored else 0)
            try:
                appended = await self._log.append(event, cause=self._cause, guard=guard, event_id=event_id)
            except Conflict:
                stored = await self._log.read([event.subject])
                if any(_includes(one.event, event) for one in stored):
                    return False
            else:
                self._stored = [*self._stored, appended]  # the next event of its kind is guarded by it
                return True
        raise Conflict(event.subject)

    def _event_id(self, name: str) -> str:
        """Returns an id that is the same for every append of this event, so that a repeated append is stored once."""
        utterance = self._utterance
        turn = f"{utterance.call_id}/{utterance.attempt}/{utterance.turn}"
        return str(uuid5(NAMESPACE_URL, f"centralita:{turn}/{name}"))


def _includes(stored: Event, event: Event) -> bool:
    """Whether the log needs no second event. No other ending replaces an opt-out."""
    return _identity(stored) == _identity(event) and (_is_opt_out(stored) or not _is_opt_out(event))


def _is_opt_out(event: Event) -> bool:
    return isinstance(event, ConversationEnded) and event.disposition is Disposition.OPT_OUT


def _identity(event: Event) -> tuple[object, ...] | None:
    """Returns a key that is unique in a call: one claim and one reply per turn, one ending per attempt."""
    match event:
        case AudioRequested() | ReplyGenerated():
            return type(event), event.attempt, event.turn
        case ToolRequested() | ToolCalled():
            return type(event), event.attempt, event.turn, event.number
        case ConversationEnded():
            return type(event), event.attempt
    return None
