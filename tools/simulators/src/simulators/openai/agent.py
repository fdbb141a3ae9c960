"""The agent that answers the chat completions: one turn, by rule, from the seed and the messages alone.

It acknowledges what it heard, asks one question, notes the facts it is told, and after a few turns (or at a goodbye,
a refusal, a wrong number, a second silence) says goodbye and ends the call.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from simulators.openai.agent_phrases import LINES, Lines
from simulators.openai.agent_tools import ToolUse, end_call, note
from simulators.openai.requests import ChatMessage, Function
from simulators.openai.utterance_meaning import Meaning, instructions_of, language_of, meaning_of

_ENDING = (Meaning.GOODBYE, Meaning.REFUSAL, Meaning.WRONG_NUMBER)
_FACTS = (Meaning.YES, Meaning.NO, Meaning.TIME)
_FEWEST_TURNS, _TURN_SPREAD = 2, 3  # a call is over after 2 to 4 answers of the caller


@dataclass(frozen=True)
class Turn:
    """What the agent says (may be nothing) and which tools it calls in one answer."""

    text: str
    tool_uses: Sequence[ToolUse] = field(default_factory=tuple)


@dataclass(frozen=True)
class _Conversation:
    seed: int
    messages: Sequence[ChatMessage]
    tools: Mapping[str, Function]

    @property
    def heard(self) -> list[str]:
        return [message.text for message in self.messages if message.role == "user"]

    @property
    def lines(self) -> Lines:
        return LINES[language_of(self._instructions)]

    @property
    def _instructions(self) -> str:
        return instructions_of(self.messages)

    @property
    def questions(self) -> Sequence[str]:
        instructions = self._instructions.lower()
        survey = any(word in instructions for word in self.lines.survey_words)
        return self.lines.survey_questions if survey else self.lines.appointment_questions

    def meanings(self) -> list[Meaning]:
        return [meaning_of(heard) for heard in self.heard]

    def is_over(self) -> bool:
        """Whether the agent ends the call now."""
        meanings = self.meanings()
        if meanings[-1] is Meaning.SILENCE:
            return meanings[-2:] == [Meaning.SILENCE, Meaning.SILENCE]
        spoken = sum(meaning is not Meaning.SILENCE for meaning in meanings)
        limit = _FEWEST_TURNS + self.draw(self._instructions + self.heard[0], _TURN_SPREAD)
        return meanings[-1] in _ENDING or spoken >= limit

    def draw(self, of: str, sides: int) -> int:
        """A number below `sides` that depends on nothing but the seed and the text."""
        digest = hashlib.sha256(f"{self.seed}\n{of}".encode()).digest()
        return int.from_bytes(digest[:4]) % sides


def take_turn(
    seed: int, messages: Sequence[ChatMessage], tools: Mapping[str, Function], *, parallel: bool = True
) -> Turn:
    """The agent's answer to these messages. `parallel` False: at most one tool call, the ending one first."""
    conversation = _Conversation(seed, messages, tools)
    if not conversation.heard:
        return Turn(f"{conversation.lines.opening} {conversation.questions[0]}")
    if messages[-1].role == "tool":
        return _after_tools(conversation)
    turn = _end(conversation) if conversation.is_over() else _go_on(conversation)
    return turn if parallel else Turn(turn.text, turn.tool_uses[-1:])


def _end(conversation: _Conversation) -> Turn:
    meaning = conversation.meanings()[-1]
    goodbyes = conversation.lines.goodbyes
    uses = _notes(conversation)
    if "end_call" in conversation.tools:
        uses.append(end_call(conversation.tools["end_call"], conversation.meanings(), conversation.heard))
    return Turn(goodbyes.get(meaning, goodbyes[Meaning.OTHER]), uses)


def _go_on(conversation: _Conversation) -> Turn:
    if conversation.meanings()[-1] is Meaning.SILENCE:
        again = conversation.lines.asks_again
        return Turn(again[len(conversation.heard) % len(again)])
    uses = _notes(conversation)
    # Real models do both: speak while noting, or note first and speak when they are told that it worked.
    notes_first = uses and conversation.draw(conversation.heard[-1] + str(len(conversation.heard)), 2) == 0
    return Turn("" if notes_first else _reply(conversation), uses)


def _after_tools(conversation: _Conversation) -> Turn:
    """The answer once the client has said what its tools returned, for the caller's same words."""
    asked = next(message for message in reversed(conversation.messages) if message.tool_calls)
    if any(call.function.name == "end_call" for call in asked.tool_calls):
        return Turn(conversation.lines.ended)
    return Turn(conversation.lines.listening if asked.text else _reply(conversation))


def _reply(conversation: _Conversation) -> str:
    meaning = conversation.meanings()[-1]
    choices = conversation.lines.acknowledgements.get(meaning, conversation.lines.acknowledgements[Meaning.OTHER])
    acknowledged = choices[conversation.draw(conversation.heard[-1], len(choices))]
    question = conversation.questions[len(conversation.heard) % len(conversation.questions)]
    return f"{acknowledged} {question}"


def _notes(conversation: _Conversation) -> list[ToolUse]:
    meaning = conversation.meanings()[-1]
    if "note" not in conversation.tools or meaning not in _FACTS:
        return []
    return [note(conversation.tools["note"], meaning, conversation.heard[-1])]
