"""The floor's way to the model: one streamed request over HTTP, cut where a full stop and white space follow."""

import json
import re
from collections.abc import AsyncIterator

import aiohttp

_SENTENCE = re.compile(r"(.+?[.!?])\s+(?=\S)", re.DOTALL)


async def sentences(http: aiohttp.ClientSession, model_url: str, text: str) -> AsyncIterator[str]:
    """Yields the sentences of the model's answer, each as soon as the next one begins."""
    body = {"model": "bench", "stream": True, "messages": [{"role": "user", "content": text}]}
    rest = ""
    async with http.post(f"{model_url}/chat/completions", json=body) as response:
        async for line in response.content:
            if not line.startswith(b"data: {"):
                continue
            for choice in json.loads(line.removeprefix(b"data: "))["choices"]:
                rest += choice["delta"].get("content") or ""
            if match := _SENTENCE.match(rest):
                yield match[1]
                rest = rest[match.end() :]
    if rest:
        yield rest
