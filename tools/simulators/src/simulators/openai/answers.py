"""A turn of the agent as OpenAI puts it on the wire: chunks of an event stream, or one completion."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from simulators.openai.agent import Turn
from simulators.openai.agent_tools import ToolUse
from simulators.openai.requests import ChatRequest

_TOKEN = re.compile(r"\s*\S{1,6}")  # about what a token of running text is
_CHARACTERS_PER_TOKEN = 4
_TOKENS_PER_MESSAGE = 4
_ARGUMENT_PIECE = 7  # characters; cuts arguments in the middle of words and of escapes, as the vendor does


@dataclass(frozen=True)
class Answer:
    """One answer to one request: what is said, under which id, created when (Unix seconds)."""

    request: ChatRequest
    turn: Turn
    id: str
    created: int

    @property
    def tokens(self) -> list[str]:
        """The text in the pieces in which it is streamed, cut at the request's limit."""
        return _TOKEN.findall(self.turn.text)[: self.request.token_limit]

    @property
    def finish_reason(self) -> str:
        """Why the model stopped, in the vendor's words."""
        if len(_TOKEN.findall(self.turn.text)) > len(self.tokens):
            return "length"
        return "tool_calls" if self.tool_uses else "stop"

    @property
    def tool_uses(self) -> Sequence[ToolUse]:
        """The tools called; none when the text already used up the limit."""
        limit = self.request.token_limit
        return () if limit is not None and len(self.tokens) >= limit else self.turn.tool_uses

    @property
    def usage(self) -> dict[str, int]:
        """Tokens counted roughly: four characters each."""
        spoken = sum(len(message.text) for message in self.request.messages)
        prompt = spoken // _CHARACTERS_PER_TOKEN + _TOKENS_PER_MESSAGE * len(self.request.messages)
        prompt += sum(len(tool.model_dump_json()) for tool in self.request.tools) // _CHARACTERS_PER_TOKEN
        arguments = sum(len(_arguments(use)) for use in self.tool_uses)
        completion = max(1, len(self.tokens) + arguments // _CHARACTERS_PER_TOKEN)
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    def completion(self) -> dict[str, Any]:
        """The whole answer, as a request without `stream` gets it."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self.tokens) or None, "refusal": None}
        if self.tool_uses:
            message["tool_calls"] = [
                {"id": self._call_id(number), "type": "function", "function": _function(use)}
                for number, use in enumerate(self.tool_uses)
            ]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}
        return self._document("chat.completion", [choice]) | {"usage": self.usage}

    def chunks(self) -> Iterator[dict[str, Any]]:
        """The answer as stream chunks, one token each; the usage last, with no choices, if it was asked for."""
        yield self._chunk({"role": "assistant", "content": "" if self.tokens else None, "refusal": None})
        for token in self.tokens:
            yield self._chunk({"content": token})
        for number, use in enumerate(self.tool_uses):
            yield from self._tool_chunks(number, use)
        yield self._chunk({}, self.finish_reason)
        if self._includes_usage:
            yield self._document("chat.completion.chunk", []) | {"usage": self.usage}

    def _tool_chunks(self, number: int, use: ToolUse) -> Iterator[dict[str, Any]]:
        opening = {"id": self._call_id(number), "type": "function", "function": {"name": use.name, "arguments": ""}}
        yield self._chunk({"tool_calls": [{"index": number, **opening}]})
        arguments = _arguments(use)
        for start in range(0, len(arguments), _ARGUMENT_PIECE):
            piece = {"arguments": arguments[start : start + _ARGUMENT_PIECE]}
            yield self._chunk({"tool_calls": [{"index": number, "function": piece}]})

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


def _arguments(use: ToolUse) -> str:
    return json.dumps(use.arguments, ensure_ascii=False)


def _function(use: ToolUse) -> dict[str, str]:
    return {"name": use.name, "arguments": _arguments(use)}
