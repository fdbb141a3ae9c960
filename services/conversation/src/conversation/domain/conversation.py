"""The conversation of one attempt, folded from the events of its call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from contracts import (
    AgentTools,
    AudioRequested,
    Call,
    CallDecision,
    ConversationEnded,
    DigitsSent,
    Event,
    ReplyGenerated,
    SpeechHeard,
    SpeechInterrupted,
    ToolCall,
    ToolCalled,
    ToolRequested,
)
from contracts.opt_out_phrases import is_opt_out
from contracts.phrases import greeting_of
from contracts.script import render_fallback_line, used_variables, without_fallback
from conversation.domain.screening import MAX_SCREENED_TURNS, is_screening_prompt
from conversation.domain.tool_execution import ToolExecution

GREETING_TURN = 0
INTERRUPTED = "…"
"""Follows the last word that the callee heard of a reply."""


@dataclass(frozen=True, slots=True)
class Turn:
    """An utterance of the callee and as much of the reply as the log contains.

    `utterance` is the transcript: empty if the callee was silent, none if the log has no utterance for this turn.
    `heard` are the words of the reply that were heard before it was interrupted; none if it was not interrupted.
    `executions` are the tool calls that were executed for the reply. `has_sent_digits`: its keys were pressed.
    """

    number: int
    utterance: str | None = None
    sentences: tuple[str, ...] = ()
    reply: ReplyGenerated | None = None
    heard: str | None = None
    executions: tuple[ToolExecution, ...] = ()
    has_sent_digits: bool = False

    @property
    def reply_text(self) -> str:
        """The words of the agent, as far as the callee heard them. `INTERRUPTED` follows what was heard last."""
        if self.heard is not None:
            return _interrupted(self.heard)
        return self.reply.text if self.reply else " ".join(self.sentences)

    @property
    def is_silence(self) -> bool:
        """Whether the callee's utterance is a silence; false if the log has no utterance for this turn."""
        return self.utterance is not None and not self.utterance.strip()

    @property
    def is_screening_prompt(self) -> bool:
        """Whether the utterance is that of a screening assistant, which only speaks first."""
        return self.number <= MAX_SCREENED_TURNS and bool(self.utterance) and is_screening_prompt(self.utterance or "")


@dataclass(frozen=True, slots=True)
class Conversation:
    """The call as it is now, and the turns of one attempt in their order.

    `script` is the template without the fallback line, and `values` are those of its placeholders. `fallback_line` is
    spoken when no model answers; none if the script has no such line.
    """

    call: Call
    attempt: int
    script: str
    values: Mapping[str, str]
    greeting: str
    fallback_line: str | None = None
    turns: tuple[Turn, ...] = ()
    has_ended: bool = False
    heard_greeting: str | None = None
    """The words of the greeting that were heard before it was interrupted; none if it was not interrupted."""
    tools: AgentTools | None = None
    """What the campaign lets the model do beside ending the call and noting facts; none: nothing."""
    now: datetime | None = None
    """The present, when the answer to the last turn is requested."""

    @classmethod
    def of(cls, events: Sequence[Event], attempt: int) -> Self | None:
        """Folds the events of a call, which are in the order of the log; none if they contain no call."""
        call = next((event.call for event in reversed(events) if isinstance(event, CallDecision)), None)
        if call is None:
            return None
        template, variables = call.script_template, call.variables
        script = without_fallback(template)
        conversation = cls(
            call,
            attempt,
            script,
            used_variables(script, variables),
            greeting_of(call),
            render_fallback_line(template, variables),
        )
        for event in events:
            conversation = conversation._after(event)
        return conversation

    def _after(self, event: Event) -> Self:
        match event:
            case AudioRequested(turn=number, text=text) if number == GREETING_TURN:
                return replace(self, greeting=text)
            case SpeechHeard(attempt=self.attempt, turn=number, text=text):
                turn = self.turn(number)
                return self._with(turn if turn.utterance is not None else replace(turn, utterance=text))
            case AudioRequested(attempt=self.attempt, turn=number, text=text):
                turn = self.turn(number)
                return self._with(replace(turn, sentences=(*turn.sentences, text)))
            case ReplyGenerated(attempt=self.attempt):
                return self.with_reply(event)
            case SpeechInterrupted(attempt=self.attempt, turn=number, heard=heard):
                if number == GREETING_TURN:
                    return replace(self, heard_greeting=heard)
                return self._with(replace(self.turn(number), heard=heard))
            case ConversationEnded(attempt=self.attempt):
                return replace(self, has_ended=True)
            case DigitsSent(attempt=self.attempt, turn=number):
                return self._with(replace(self.turn(number), has_sent_digits=True))
            case ToolRequested(attempt=self.attempt) | ToolCalled(attempt=self.attempt):
                return self.with_tool_event(event)
        return self

    def _with(self, turn: Turn) -> Self:
        others = [other for other in self.turns if other.number != turn.number]
        return replace(self, turns=tuple(sorted([*others, turn], key=lambda one: one.number)))

    def turn(self, number: int) -> Turn:
        """Returns a turn; an empty one if the log contains nothing of it."""
        return next((turn for turn in self.turns if turn.number == number), Turn(number))

    def up_to(self, number: int) -> Self:
        """Returns the conversation without later turns: the callee may have interrupted the reply to this one."""
        return replace(self, turns=tuple(turn for turn in self.turns if turn.number <= number))

    def with_reply(self, reply: ReplyGenerated) -> Self:
        """Returns the conversation after this reply."""
        return self._with(replace(self.turn(reply.turn), reply=reply))

    def with_tools(self, tools: AgentTools | None, now: datetime | None = None) -> Self:
        """Returns the conversation with the tools of its campaign. `now`: the present, for those that depend on it."""
        return replace(self, tools=tools, now=now)

    def with_tool_event(self, event: ToolRequested | ToolCalled) -> Self:
        """Returns the conversation after a tool call has begun or ended."""
        turn = self.turn(event.turn)
        if isinstance(event, ToolRequested):
            return self._with(replace(turn, executions=(*turn.executions, ToolExecution.of(event))))
        ended = tuple(one.ended(event) if one.number == event.number else one for one in turn.executions)
        return self._with(replace(turn, executions=ended))

    @property
    def greeting_text(self) -> str:
        """The words of the greeting, as far as the callee heard them."""
        return self.greeting if self.heard_greeting is None else _interrupted(self.heard_greeting)

    @property
    def was_interrupted(self) -> bool:
        """Whether the callee did not hear some reply, or the greeting, to its end."""
        return self.heard_greeting is not None or any(turn.heard is not None for turn in self.turns)

    @property
    def is_in_progress(self) -> bool:
        """Whether the callee may still be on the line in this attempt.

        A call that is still dialing or ringing in the log counts too: an utterance may overtake the report that the
        callee has answered.
        """
        return not self.has_ended and self.call.may_use_line(self.attempt)

    @property
    def has_opted_out(self) -> bool:
        """Whether the person wants no more calls, by the words of the last utterance."""
        return bool(self.turns and self.turns[-1].utterance and is_opt_out(self.turns[-1].utterance))

    @property
    def last_silences(self) -> int:
        """The number of silences in a row at the end."""
        count = 0
        for turn in reversed(self.turns):
            if not turn.is_silence:
                break
            count += 1
        return count

    @property
    def screening_prompts(self) -> int:
        """How often a screening assistant has asked who calls; 0 if the last utterance does not ask that."""
        prompts = [turn.number for turn in self.turns if turn.is_screening_prompt]
        return len(prompts) if prompts and prompts[-1] == self.turns[-1].number else 0

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """All tool calls of the model in this attempt, in their order."""
        return tuple(call for turn in self.turns if turn.reply for call in turn.reply.tool_calls)


def _interrupted(heard: str) -> str:
    """Returns the words that were heard, with the mark that the rest was not; empty if none was heard."""
    return heard + INTERRUPTED if heard else ""
