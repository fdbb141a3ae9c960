"""A turn of the agent in OpenAI's wire format: chunks of an event stream, or one completion."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from simulators.openai.agent import Turn
from simulators.openai.agent_tools import AgentToolCall
from simulators.openai.requests import ChatRequest

_TOKEN = re.compile(r"\s*\S{1,6}")  # approximates one token of running text
_CHARACTERS_PER_TOKEN = 4
_TOKENS_PER_MESSAGE = 4
_ARGUMENT_CHUNK = 7  # characters; splits words and escapes, as the vendor does


@dataclass(frozen=True)
class Answer:
    """The answer to one request: the agent's turn, its id, and its creation time in Unix seconds."""

    request: ChatRequest
    turn: Turn
    id: str
    created: int

    @property
    def tokens(self) -> list[str]:
        """The text as tokens, cut at the request's limit."""
        return _TOKEN.findall(self.turn.text)[: self.request.token_limit]

    @property
    def finish_reason(self) -> str:
        """Why the model stopped, as the vendor names it."""
        if len(_TOKEN.findall(self.turn.text)) > len(self.tokens):
            return "length"
        return "tool_calls" if self.tool_calls else "stop"

    @property
    def tool_calls(self) -> Sequence[AgentToolCall]:
        """The tool calls; none if the text has reached the token limit."""
        limit = self.request.token_limit
        return () if limit is not None and len(self.tokens) >= limit else self.turn.tool_calls

    @property
    def usage(self) -> dict[str, int]:
        """The approximate token counts: four characters per token."""
        characters = sum(len(message.text) for message in self.request.messages)
        prompt = characters // _CHARACTERS_PER_TOKEN + _TOKENS_PER_MESSAGE * len(self.request.messages)
        prompt += sum(len(tool.model_dump_json()) for tool in self.request.tools) // _CHARACTERS_PER_TOKEN
        arguments = sum(len(_arguments(call)) for call in self.tool_calls)
        completion = max(1, len(self.tokens) + arguments // _CHARACTERS_PER_TOKEN)
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    def completion(self) -> dict[str, Any]:
        """Returns the whole answer, for a request without `stream`."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self.tokens) or None, "refusal": None}
        if self.tool_calls:
            message["tool_calls"] = [
                {"id": self._call_id(number), "type": "function", "function": _function(call)}
                for number, call in enumerate(self.tool_calls)
            ]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}
        return self._document("chat.completion", [choice]) | {"usage": self.usage}

    def chunks(self) -> Iterator[dict[str, Any]]:
        """Yields the answer as chunks of one token; if requested, the usage follows in a last chunk without choices."""
        yield self._chunk({"role": "assistant", "content": "" if self.tokens else None, "refusal": None})
        for token in self.tokens:
            yield self._chunk({"content": token})
        for number, call in enumerate(self.tool_calls):
            yield from self._tool_chunks(number, call)
        yield self._chunk({}, self.finish_reason)
        if self._includes_usage:
            yield self._document("chat.completion.chunk", []) | {"usage": self.usage}

    def _tool_chunks(self, number: int, call: AgentToolCall) -> Iterator[dict[str, Any]]:
        opening = {"id": self._call_id(number), "type": "function", "function": {"name": call.name, "arguments": ""}}
        yield self._chunk({"tool_calls": [{"index": number, **opening}]})
        arguments = _arguments(call)
        for start in range(0, len(arguments), _ARGUMENT_CHUNK):
            fragment = {"arguments": arguments[start : start + _ARGUMENT_CHUNK]}
            yield self._chunk({"tool_calls": [{"index": number, "function": fragment}]})

    @property
    def _includes_usage(self) -> bool:
        options = self.request.stream_options
        return options is not None and options.include_usage

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = self._document("chat.completion.chunk", [choice])
        return chunk | {"usage": None} if self._includes_usage else chunk

    def _document(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self.id}",
            "object": kind,
            "created": self.created,
            "model": self.request.model,
            "service_tier": "default",
            "system_fingerprint": "fp_simulated",
            "choices": choices,
        }

    def _call_id(self, number: int) -> str:
        return f"call_{self.id[:20]}{number}"


def _arguments(call: AgentToolCall) -> str:
    return json.dumps(call.arguments, ensure_ascii=False)


def _function(call: AgentToolCall) -> dict[str, str]:
    return {"name": call.name, "arguments": _arguments(call)}
