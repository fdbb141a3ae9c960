"""``python -m bench.live.vendors``: the simulated vendors with fixed latencies, in a process of their own.

Twilio accepts any rate of dials. The model answers every request with the same two sentences, word by word. Prints
the base URLs as one line of JSON, and serves until SIGTERM.
"""

import asyncio
import json
import re
import signal
import time
from collections.abc import AsyncIterator

import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from bench.live import conditions
from simulators import elevenlabs, openai, twilio
from simulators.elevenlabs.timing import SpeechTiming, Timing, TranscriptionTiming
from simulators.faults import FaultPlan
from simulators.server import DEFAULT_ACCOUNT_SID, DEFAULT_AUTH_TOKEN
from simulators.serving import serving
from simulators.spoken_words import SpokenWords
from simulators.twilio.stream_settings import StreamSettings

_NO_LIMIT = 10_000
TIMING = Timing(
    speech=SpeechTiming(first_audio_seconds=conditions.SPEECH_SECONDS),
    transcription=TranscriptionTiming(
        commit_seconds=(conditions.TRANSCRIPT_SECONDS, conditions.TRANSCRIPT_SECONDS), cold_start_seconds=0
    ),
)


async def _complete(request: Request) -> Response:
    body = await request.json()
    text = " ".join(conditions.REPLY)
    document = {"id": "chatcmpl-bench", "created": 1, "model": body["model"], "service_tier": "default"}
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    if body.get("stream"):
        return StreamingResponse(_events(document, text, usage), media_type="text/event-stream")
    await asyncio.sleep(conditions.MODEL_SECONDS)
    message = {"role": "assistant", "content": text, "refusal": None}
    choices = [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}]
    return JSONResponse({**document, "object": "chat.completion", "choices": choices, "usage": usage})


async def _events(document: dict[str, object], text: str, usage: dict[str, int]) -> AsyncIterator[str]:
    began_at, words = time.monotonic(), re.findall(r"\s*\S+", text)
    first_word_seconds = conditions.MODEL_SECONDS - len(conditions.REPLY[0].split()) * conditions.TOKEN_SECONDS
    deltas: list[tuple[dict[str, str], str | None]] = [({"content": word}, None) for word in words]
    for position, (delta, reason) in enumerate([*deltas, ({}, "stop")]):
        due_at = began_at + first_word_seconds + position * conditions.TOKEN_SECONDS
        await asyncio.sleep(due_at - time.monotonic())
        choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]
        yield _event({**document, "object": "chat.completion.chunk", "choices": choices, "usage": None})
    yield _event({**document, "object": "chat.completion.chunk", "choices": [], "usage": usage}) + "data: [DONE]\n\n"


def _event(chunk: dict[str, object]) -> str:
    return f"data: {json.dumps(chunk)}\n\n"


async def serve() -> None:
    """Serves until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    words, faults = SpokenWords(), FaultPlan(1)
    telephony = twilio.create_app(
        account_sid=DEFAULT_ACCOUNT_SID,
        auth_token=DEFAULT_AUTH_TOKEN,
        behaviours={"human": 1.0},
        faults=faults,
        calls_per_second=_NO_LIMIT,
        streams=StreamSettings(words),
    )
    speech = elevenlabs.create_app(concurrency=_NO_LIMIT, timing=TIMING, words=words)
    answers = Route("/v1/chat/completions", _complete, methods=["POST"])
    model = Starlette(routes=[answers, *openai.create_app().routes])
    async with (
        serving(telephony, "127.0.0.1", 0) as twilio_url,
        serving(speech, "127.0.0.1", 0) as elevenlabs_url,
        serving(model, "127.0.0.1", 0) as openai_url,
    ):
        urls = {"twilio": twilio_url, "elevenlabs": elevenlabs_url, "openai": f"{openai_url}/v1"}
        print(json.dumps(urls), flush=True)
        await stopped.wait()


if __name__ == "__main__":
    uvloop.run(serve())
