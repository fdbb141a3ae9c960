"""``python -m bench.first_sentence``: what conversation adds to the model's time before the first sentence of a reply.

One process of conversation on a nats-server of its own, and a model that begins a fixed time after its request and
sends a word each 12 ms. Measured is the time from the acknowledgement of `speech.heard` until `audio.requested` is
published again by the server, less the model's time until the first word after the sentence. The call is live: the
caller appends `speech.played` after the greeting and each reply, before the pause. ``--notes``: the answer is
one sentence, followed by a tool call of 25 pieces. With ``--before CHECKOUT``, another checkout with its own ``.venv``
is measured turn by turn beside this one, so that both have the same load.
"""

import argparse
import asyncio
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import nats
import uvloop
from nats.aio.msg import Msg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from centralita.embedded.servers import nats_server
from chassis.event_log import EventLog, StoredEvent
from chassis.keyring import Keyring
from chassis.provision import provision
from contracts import CallStatus, CallStatusChanged, SpeechHeard, SpeechPlayed
from contracts.examples import CALL
from contracts.personal import json_and_sealed
from contracts.streams import CALLS
from sealing import MasterKey
from simulators.serving import serving

SENTENCE, REST = "Thank you, I have noted that for you.", " Please tell me what else you have in mind today."
NOTE = json.dumps({"field": "preferred_time", "value": "on Monday at ten in the morning"})
MODEL_SECONDS, TOKEN_SECONDS, NOTE_PIECES = 0.1, 0.012, 25
TURNS_OF_CALL = 3
_TICKS = os.sysconf("SC_CLK_TCK")
_PERSON = "ab" * 16


class Model:
    """The model's server. What follows the sentence begins `MODEL_SECONDS` after the request."""

    def __init__(self, *, has_notes: bool) -> None:
        self._has_notes = has_notes
        self.app = Starlette(routes=[Route("/v1/chat/completions", self.complete, methods=["POST"])])

    async def complete(self, request: Request) -> Response:
        """Answers one request."""
        await request.body()
        return StreamingResponse(self._events(time.monotonic()), media_type="text/event-stream")

    async def _events(self, began_at: float) -> AsyncIterator[str]:
        words = [{"content": f"{' ' if position else ''}{word}"} for position, word in enumerate(SENTENCE.split())]
        for position, delta in enumerate([*words, *self._rest()]):
            due_at = began_at + MODEL_SECONDS + (position - len(words)) * TOKEN_SECONDS
            await asyncio.sleep(max(0.0, due_at - time.monotonic()))
            yield _event({"index": 0, "delta": delta, "finish_reason": None})
        yield _event({"index": 0, "delta": {}, "finish_reason": "stop"}) + "data: [DONE]\n\n"

    def _rest(self) -> list[dict[str, Any]]:
        if not self._has_notes:
            return [{"content": f" {word}"} for word in REST.split()]
        size = len(NOTE) // NOTE_PIECES + 1
        pieces = [NOTE[start : start + size] for start in range(0, len(NOTE), size)]
        begun: dict[str, Any] = {"index": 0, "id": "a", "function": {"name": "note", "arguments": ""}}
        return [{"tool_calls": [one]} for one in (begun, *({"index": 0, "function": {"arguments": p}} for p in pieces))]


def _event(choice: Mapping[str, object]) -> str:
    chunk = {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n"


class Caller:
    """Appends utterances of one call after the other, and waits for the sentences that answer them."""

    def __init__(self, log: EventLog, process: int) -> None:
        self._log = log
        self._process = process
        self._decision: StoredEvent | None = None
        self._turn = 0
        self._played_sequence = 0
        self._arrived: asyncio.Queue[tuple[str, float]] = asyncio.Queue()

    async def receive(self, message: Msg) -> None:
        """Notes an event of conversation that was published again."""
        body = json.loads(json_and_sealed(message.data)[0])
        if body.get("turn") == self._turn:
            self._arrived.put_nowait((message.subject.split(".")[-2], time.monotonic()))

    async def turn(self) -> dict[str, float]:
        """Holds one turn; returns the seconds until its first sentence, and all CPU seconds of the process so far."""
        decision = self._decision or await self._begin_call()
        assert isinstance(decision.event, CallStatusChanged)
        call = decision.event.call
        self._turn += 1
        place = {"call_id": call.call_id, "attempt": call.attempt, "turn": self._turn}
        text = "That would suit me well, thank you for the call."
        known = {"granted_sequence": call.granted_sequence, "previous_sequence": self._played_sequence}
        heard = SpeechHeard(**place, text=text, language=call.language, **known)  # older builds ignore what is new
        await self._log.append(heard, cause=decision.envelope)
        heard_at, first_at = time.monotonic(), None
        while True:
            fact, at = await asyncio.wait_for(self._arrived.get(), 60)
            first_at = first_at or at
            if fact == "generated":
                await (self._play(decision) if self._turn < TURNS_OF_CALL else self._begin_call())
                fields = Path(f"/proc/{self._process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
                return {"seconds": first_at - heard_at, "cpu": (int(fields[11]) + int(fields[12])) / _TICKS}

    async def _begin_call(self) -> StoredEvent:
        fields = {"call_id": uuid4(), "status": CallStatus.IN_PROGRESS, "attempt": 1, "number_digest": _PERSON}
        call = CALL.model_copy(update=fields)
        granted = await self._log.append(_decision(call.model_copy(update={"status": CallStatus.RINGING})))
        begun = call.model_copy(update={"granted_sequence": granted.sequence})
        self._decision, self._turn = await self._log.append(_decision(begun)), 0
        await self._play(self._decision)
        return self._decision

    async def _play(self, decision: StoredEvent) -> None:
        assert isinstance(decision.event, CallStatusChanged)
        place = {"call_id": decision.event.call.call_id, "attempt": decision.event.call.attempt, "turn": self._turn}
        played = SpeechPlayed(**place, is_complete=True, seconds=1.0)
        self._played_sequence = (await self._log.append(played, cause=decision.envelope)).sequence


def _decision(call: Any) -> CallStatusChanged:
    return CallStatusChanged(
        call=call, occurred_at=call.created_at, previous=CallStatus.DIALING, status=call.status, attempt=1
    )


async def _drive(nats_url: str, model_url: str) -> None:
    """Runs conversation, and holds one turn for each line of the input."""
    client, key = await nats.connect(nats_url), b64encode(secrets.token_bytes(32)).decode()
    await provision(client)
    settings = {"NATS_URL": nats_url, "OPENAI_API_KEY": "fictional", "OPENAI_BASE_URL": model_url, "MASTER_KEY": key}
    environment = {**os.environ, **settings, "HTTP_PORT": "0", "LOG_LEVEL": "ERROR"}
    command = (sys.executable, "-m", "conversation")
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=subprocess.DEVNULL)
    try:
        keyring = Keyring(client, MasterKey(b64decode(key)))
        async with keyring.is_current():
            await keyring.prepare([_PERSON])
            caller = Caller(EventLog(client, CALLS.name, source="voice", keyring=keyring), process.pid)
            for subject in ("audio.requested.*", "reply.generated.*"):
                await client.subscribe(CALLS.live(subject), cb=caller.receive)
            await client.flush()
            for _ in range(TURNS_OF_CALL):  # the first ones import modules and open connections
                await caller.turn()
            print(flush=True)
            while await asyncio.to_thread(sys.stdin.readline):
                print(json.dumps(await caller.turn()), flush=True)
    finally:
        process.terminate()
        await process.wait()
        await client.close()


async def _measure(checkouts: Mapping[str, Path], turns: int, idle_seconds: float, *, has_notes: bool) -> None:
    async with serving(Model(has_notes=has_notes).app, "127.0.0.1") as url:
        drivers = {name: await _driver(checkout, f"{url}/v1") for name, checkout in checkouts.items()}
        found: dict[str, list[dict[str, float]]] = {name: [] for name in drivers}
        for number in range(turns):
            names = list(drivers) if number % 2 else list(reversed(drivers))
            for name in names:
                await asyncio.sleep(idle_seconds)
                found[name].append(json.loads(await _answer(drivers[name])))
        for name, driver in drivers.items():
            assert driver.stdin
            driver.stdin.close()
            await driver.wait()
            _print(name, found[name])


async def _driver(checkout: Path, model_url: str) -> asyncio.subprocess.Process:
    command = (str(checkout / ".venv/bin/python"), __file__, "--drive", model_url)
    pipe = asyncio.subprocess.PIPE
    driver = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, cwd=checkout)
    assert driver.stdout
    await driver.stdout.readline()
    return driver


async def _answer(driver: asyncio.subprocess.Process) -> bytes:
    assert driver.stdin
    assert driver.stdout
    driver.stdin.write(b"\n")
    return await driver.stdout.readline()


def _print(name: str, turns: Sequence[Mapping[str, float]]) -> None:
    hops = [(turn["seconds"] - MODEL_SECONDS) * 1000 for turn in turns]
    first, median, last = statistics.quantiles(hops, n=4)
    cpu = (turns[-1]["cpu"] - turns[0]["cpu"]) / (len(turns) - 1) * 1000
    print(f"{name}: hops, median {median:.1f} ms (quartiles {first:.1f} and {last:.1f}); CPU {cpu:.1f} ms a turn")


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(prog="bench.first_sentence", description="Measure the way to the first sentence.")
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--idle-seconds", type=float, default=0.3, help="the pause before each turn")
    parser.add_argument("--notes", action="store_true", help="a tool call follows the sentence")
    parser.add_argument("--before", type=Path, help="another checkout with its own .venv")
    parser.add_argument("--drive", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drive:
        with tempfile.TemporaryDirectory() as folder, nats_server(Path(folder)) as url:
            uvloop.run(_drive(url, options.drive))
        return
    checkouts = {"before": options.before} if options.before else {}
    here = {"this checkout": Path(sys.prefix).parent}
    asyncio.run(_measure({**checkouts, **here}, options.turns, options.idle_seconds, has_notes=options.notes))


if __name__ == "__main__":
    main()
