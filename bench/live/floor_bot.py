"""``python -m bench.live.floor_bot``: the floor, a bot of sockets alone, without framework, log and fallbacks.

One process with aiohttp and uvloop. Of each call it does the audio work that every such bot does: it reads the frames
of the media stream, forwards them to the transcriber in messages of 100 ms, commits and ends turns after a fixed
silence, reads the model's streamed answer, sends each sentence to the synthesizer, and plays the audio in frames of
20 ms on an absolute clock, 200 ms ahead. A voice during a reply clears it. It prints its URL as one line of JSON.

``POST /voice`` answers with TwiML, ``GET /calls`` with the number of open streams and the latencies of all turns,
``DELETE /calls`` forgets them.
"""

import argparse
import asyncio
import json
import signal
from functools import partial

import aiohttp
import uvloop
from aiohttp import web

from bench.live import floor_model
from bench.live.floor_call import FloorCall, Turn

_SPEECH_QUERY = "output_format=ulaw_8000&model_id=eleven_flash_v2_5&inactivity_timeout=180"
"""The longest time without a text that the vendor allows: 20 s pass between two replies when the simulator is late."""
SPEECH_PATH = f"/v1/text-to-speech/floor/multi-stream-input?{_SPEECH_QUERY}"
TRANSCRIPTION_PATH = "/v1/speech-to-text/realtime?model_id=scribe_v2_realtime&audio_format=ulaw_8000"
_HEADERS = {"xi-api-key": "simulated-key"}


class FloorBot:
    """The HTTP routes, and all calls since the start."""

    def __init__(self, http: aiohttp.ClientSession, elevenlabs_url: str, model_url: str) -> None:
        self._http = http
        self._model_url = model_url
        self._vendor_url = "ws" + elevenlabs_url.removeprefix("http")
        self._turns: list[Turn] = []
        """Those of the streams that began since `forget`. A stream that goes on keeps its own list."""
        self._open = self._ended = 0
        self.url = ""

    def application(self) -> web.Application:
        """Returns the routes."""
        application = web.Application()
        application.router.add_post("/voice", self.answer)
        application.router.add_get("/stream", self.serve_stream)
        application.router.add_get("/calls", self.calls)
        application.router.add_delete("/calls", self.forget)
        return application

    async def answer(self, request: web.Request) -> web.Response:
        """Connects an answered call to the stream."""
        stream = f'<Stream url="ws{self.url.removeprefix("http")}/stream"/>'
        return web.Response(text=f"<Response><Connect>{stream}</Connect></Response>", content_type="text/xml")

    async def serve_stream(self, request: web.Request) -> web.WebSocketResponse:
        """Conducts one call."""
        telephone = web.WebSocketResponse(compress=False, max_msg_size=64 * 1024)
        await telephone.prepare(request)
        self._open += 1
        turns = self._turns
        try:
            async with (
                self._http.ws_connect(self._vendor_url + TRANSCRIPTION_PATH, headers=_HEADERS) as transcriber,
                self._http.ws_connect(self._vendor_url + SPEECH_PATH, headers=_HEADERS) as synthesizer,
            ):
                sentences = partial(floor_model.sentences, self._http, self._model_url)
                await FloorCall(telephone, transcriber, synthesizer, sentences, turns).run()
        finally:
            self._open -= 1
            self._ended += turns is self._turns
        return telephone

    async def calls(self, request: web.Request) -> web.Response:
        """Returns how many streams are open and have ended, and each turn."""
        turns = [turn.as_json() for turn in self._turns] if request.query.get("turns") else []
        return web.json_response({"open": self._open, "ended": self._ended, "turns": turns})

    async def forget(self, request: web.Request) -> web.Response:
        """Forgets all turns and streams. A stream that is still open is not counted when it ends."""
        self._turns, self._ended = [], 0
        return web.Response(status=204)


async def serve(elevenlabs_url: str, model_url: str) -> None:
    """Serves until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        bot = FloorBot(http, elevenlabs_url, model_url)
        runner = web.AppRunner(bot.application(), access_log=None, handle_signals=False, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            bot.url = f"http://{host}:{port}"
            print(json.dumps({"floor": bot.url}), flush=True)
            await stopped.wait()
        finally:
            await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench.live.floor_bot")
    parser.add_argument("elevenlabs_url", help="base URL of the simulated ElevenLabs")
    parser.add_argument("model_url", help="base URL of the simulated model, with its version")
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.elevenlabs_url, arguments.model_url))
