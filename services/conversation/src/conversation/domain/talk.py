"""One attempt's conversation, rebuilt from the log: whichever replica takes the next turn knows all that was said."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from contracts import (
    AudioRequested,
    Call,
    CallDecision,
    ConversationEnded,
    Event,
    ReplyGenerated,
    SpeechHeard,
    ToolCall,
)
from contracts.script import fallback_line, greeting, render, without_fallback

GREETING_TURN = 0


@dataclass(frozen=True, slots=True)
class Exchange:
    """A turn: what was heard (empty: a silence; none: not in the log) and what was answered, as far as it got."""

    turn: int
    heard: str | None = None
    sentences: tuple[str, ...] = ()
    reply: ReplyGenerated | None = None

    @property
    def said(self) -> str:
        """What the callee was answered."""
        return self.reply.text if self.reply else " ".join(self.sentences)

    @property
    def is_silence(self) -> bool:
        """Whether the callee was waited for and said nothing."""
        return self.heard is not None and not self.heard.strip()


@dataclass(frozen=True, slots=True)
class Talk:
    """The call as it stands, and the exchanges of one attempt in the order of their turns.

    `script` is what the model is told; `fallback_line` is what is said when no model answers, if the script has a line.
    """

    call: Call
    attempt: int
    script: str
    greeting: str
    fallback_line: str | None = None
    exchanges: tuple[Exchange, ...] = field(default=())
    ended: bool = False

    @classmethod
    def of(cls, events: Sequence[Event], attempt: int) -> Self | None:
        """The talk that a call's events, in the order of the log, tell of; none if there is no such call."""
        call = next((event.call for event in reversed(events) if isinstance(event, CallDecision)), None)
        if call is None:
            return None
        script = render(call.script_template, call.variables)
        talk = cls(call, attempt, without_fallback(script), greeting(script), fallback_line(script))
        for event in events:
            talk = talk._after(event)
        return talk

    def _after(self, event: Event) -> Self:
        match event:
            case AudioRequested(turn=turn, text=text) if turn == GREETING_TURN:
                return replace(self, greeting=text)
            case SpeechHeard(attempt=self.attempt, turn=turn, text=text):
                exchange = self.exchange(turn)
                return self._with(exchange if exchange.heard is not None else replace(exchange, heard=text))
            case AudioRequested(attempt=self.attempt, turn=turn, text=text):
                exchange = self.exchange(turn)
                return self._with(replace(exchange, sentences=(*exchange.sentences, text)))
            case ReplyGenerated(attempt=self.attempt, turn=turn):
                return self._with(replace(self.exchange(turn), reply=event))
            case ConversationEnded(attempt=self.attempt):
                return replace(self, ended=True)
        return self

    def _with(self, exchange: Exchange) -> Self:
        others = [other for other in self.exchanges if other.turn != exchange.turn]
        return replace(self, exchanges=tuple(sorted([*others, exchange], key=lambda one: one.turn)))

    def exchange(self, turn: int) -> Exchange:
        """The exchange of a turn; an empty one if nothing of it is known."""
        return next((one for one in self.exchanges if one.turn == turn), Exchange(turn))

    def until(self, turn: int) -> Self:
        """The talk up to and including a turn: the callee may have spoken over the answer to it already."""
        return replace(self, exchanges=tuple(one for one in self.exchanges if one.turn <= turn))

    def answered(self, reply: ReplyGenerated) -> Self:
        """The talk once this reply stands."""
        return self._with(replace(self.exchange(reply.turn), reply=reply))

    @property
    def is_on(self) -> bool:
        """Whether this attempt's callee may still be on the line.

        Who is heard has answered, so a call that is still dialing or ringing in the log (the network's report of the
        answer is late) is talked with too.
        """
        return self.call.may_use_line(self.attempt)

    @property
    def silences(self) -> int:
        """How many silences there are in a row at the end."""
        count = 0
        for exchange in reversed(self.exchanges):
            if not exchange.is_silence:
                break
            count += 1
        return count

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """All tools that the model has called in this attempt, in their order."""
        return tuple(call for one in self.exchanges if one.reply for call in one.reply.tool_calls)
