"""The agent that answers chat completions: fixed rules, applied to the seed and the messages.

It acknowledges the last utterance, notes facts, and asks one question. A question of the callee is answered with the
result of a function of the application, if there is one. It presses the first key of a menu, and schedules another call
for a callee who asks for it, if there are functions for that. It says goodbye and ends the call after two to
four answers of the callee. A goodbye, a refusal, a wrong number or a second silence in a row ends it earlier.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from simulators.openai.agent_actions import CALLBACK_GOODBYES, SCHEDULE_CALLBACK, act, end_for_callback
from simulators.openai.agent_phrases import PHRASES, Phrases
from simulators.openai.agent_tools import AgentToolCall, end_call, is_lookup, lookup, note, spoken_result, transfer
from simulators.openai.requests import ChatMessage, Function
from simulators.openai.utterance_meaning import Meaning, instructions_of, language_of, meaning_of

_ENDING = (Meaning.GOODBYE, Meaning.REFUSAL, Meaning.WRONG_NUMBER)
_FACTS = (Meaning.YES, Meaning.NO, Meaning.TIME)
_MIN_TURNS, _TURN_RANGE = 2, 3  # the agent ends the call after 2 to 4 answers of the callee


@dataclass(frozen=True)
class Turn:
    """The text (possibly empty) and the tool calls of one answer."""

    text: str
    tool_calls: Sequence[AgentToolCall] = field(default_factory=tuple)


@dataclass(frozen=True)
class _Conversation:
    seed: int
    messages: Sequence[ChatMessage]
    tools: Mapping[str, Function]

    @property
    def utterances(self) -> list[str]:
        """The words of the callee; a user message with a name is data of the application."""
        return [message.text for message in self.messages if message.role == "user" and message.name is None]

    @property
    def _data(self) -> str:
        return "".join(message.text for message in self.messages if message.role == "user" and message.name)

    @property
    def phrases(self) -> Phrases:
        return PHRASES[language_of(self.instructions)]

    @property
    def instructions(self) -> str:
        return instructions_of(self.messages)

    @property
    def questions(self) -> Sequence[str]:
        instructions = self.instructions.lower()
        is_survey = any(word in instructions for word in self.phrases.survey_words)
        return self.phrases.survey_questions if is_survey else self.phrases.appointment_questions

    def meanings(self) -> list[Meaning]:
        return [meaning_of(utterance) for utterance in self.utterances]

    def is_over(self) -> bool:
        """Returns whether the agent ends the call now."""
        meanings = self.meanings()
        if meanings[-1] is Meaning.SILENCE:
            return meanings[-2:] == [Meaning.SILENCE, Meaning.SILENCE]
        if meanings[-1] is Meaning.TRANSFER_FAILED or (meanings[-1] is Meaning.PERSON and "transfer" in self.tools):
            return False
        answers = sum(meaning is not Meaning.SILENCE for meaning in meanings)
        limit = _MIN_TURNS + self.draw(self.instructions + self._data + self.utterances[0], _TURN_RANGE)
        return meanings[-1] in _ENDING or answers >= limit

    def draw(self, text: str, limit: int) -> int:
        """Returns a number below `limit` that depends only on the seed and the text."""
        digest = hashlib.sha256(f"{self.seed}\n{text}".encode()).digest()
        return int.from_bytes(digest[:4]) % limit


def take_turn(
    seed: int, messages: Sequence[ChatMessage], tools: Mapping[str, Function], *, parallel: bool = True
) -> Turn:
    """Returns the agent's answer to these messages. `parallel` False allows one tool call, the last one."""
    conversation = _Conversation(seed, messages, tools)
    if not conversation.utterances:
        return Turn(f"{conversation.phrases.opening} {conversation.questions[0]}")
    if messages[-1].role == "tool":
        return _after_tools(conversation)
    if action := act(tools, conversation.utterances[-1], conversation.instructions):
        return Turn("", [action])
    turn = _end(conversation) if conversation.is_over() else _continue(conversation)
    return turn if parallel else Turn(turn.text, turn.tool_calls[-1:])


def _end(conversation: _Conversation) -> Turn:
    meaning = conversation.meanings()[-1]
    goodbyes = conversation.phrases.goodbyes
    calls = _notes(conversation)
    if "end_call" in conversation.tools:
        calls.append(end_call(conversation.tools["end_call"], conversation.meanings(), conversation.utterances))
    return Turn(goodbyes.get(meaning, goodbyes[Meaning.OTHER]), calls)


def _continue(conversation: _Conversation) -> Turn:
    meaning, phrases = conversation.meanings()[-1], conversation.phrases
    if meaning is Meaning.TRANSFER_FAILED:
        return Turn(phrases.transfer_failed)
    if meaning is Meaning.PERSON and "transfer" in conversation.tools:
        return Turn("", [transfer(conversation.tools["transfer"], conversation.utterances[-1])])
    if conversation.meanings()[-1] is Meaning.SILENCE:
        questions = conversation.phrases.repeat_questions
        return Turn(questions[len(conversation.utterances) % len(questions)])
    is_question = conversation.meanings()[-1] is Meaning.QUESTION
    if is_question and (found := lookup(conversation.tools, conversation.utterances[-1])):
        return Turn(conversation.phrases.one_moment, [found])
    calls = _notes(conversation)
    # Real models do both: speak beside the tool call, or call the tool first and speak after its result.
    calls_first = calls and conversation.draw(conversation.utterances[-1] + str(len(conversation.utterances)), 2) == 0
    return Turn("" if calls_first else _reply(conversation), calls)


def _after_tools(conversation: _Conversation) -> Turn:
    """Returns the answer to the results of the agent's tool calls."""
    last_calls = next(message for message in reversed(conversation.messages) if message.tool_calls)
    if any(call.function.name == "end_call" for call in last_calls.tool_calls):
        return Turn(conversation.phrases.ended)
    if any(call.function.name == SCHEDULE_CALLBACK for call in last_calls.tool_calls):
        return Turn(CALLBACK_GOODBYES[language_of(conversation.instructions)], [end_for_callback()])
    if any(call.function.name == "transfer" for call in last_calls.tool_calls):
        is_refused = conversation.messages[-1].text.startswith("not executed")
        return Turn(conversation.phrases.transfer_failed if is_refused else conversation.phrases.transfer)
    if any(is_lookup(call.function.name) for call in last_calls.tool_calls):
        return Turn(f"{conversation.phrases.found} {spoken_result(conversation.messages[-1].text)}.")
    return Turn(conversation.phrases.listening if last_calls.text else _reply(conversation))


def _reply(conversation: _Conversation) -> str:
    meaning = conversation.meanings()[-1]
    choices = conversation.phrases.acknowledgements.get(meaning, conversation.phrases.acknowledgements[Meaning.OTHER])
    acknowledgement = choices[conversation.draw(conversation.utterances[-1], len(choices))]
    question = conversation.questions[len(conversation.utterances) % len(conversation.questions)]
    return f"{acknowledgement} {question}"


def _notes(conversation: _Conversation) -> list[AgentToolCall]:
    meaning = conversation.meanings()[-1]
    if "note" not in conversation.tools or meaning not in _FACTS:
        return []
    return [note(conversation.tools["note"], meaning, conversation.utterances[-1])]
