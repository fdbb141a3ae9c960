"""The control routes on the ElevenLabs port, for tests and benchmarks: usage and timing.

They need no credential: serve them on loopback only.
"""

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulators.elevenlabs.speech_contexts import Synthesizer
from simulators.elevenlabs.timing import Timing
from simulators.elevenlabs.transcription_socket import Transcriber
from simulators.elevenlabs.usage import Usage
from simulators.faults import CONTROL_PREFIX


class Control:
    """The control routes. An invalid body is answered with 422 and the reasons."""

    def __init__(self, synthesizer: Synthesizer, transcriber: Transcriber, usage: Usage) -> None:
        self._synthesizer, self._transcriber, self._usage = synthesizer, transcriber, usage

    def routes(self) -> list[Route]:
        """Returns the routes below the control prefix."""
        return [
            Route(f"{CONTROL_PREFIX}/usage", self.usage, methods=["GET"]),
            Route(f"{CONTROL_PREFIX}/timing", self.set_timing, methods=["PUT"]),
        ]

    async def usage(self, request: Request) -> Response:
        """Returns what clients have used, and what is open."""
        return JSONResponse(self._usage.as_json())

    async def set_timing(self, request: Request) -> Response:
        """Replaces the timing: of speech at once, of transcription for sessions that begin later."""
        try:
            timing = Timing.model_validate_json(await request.body())
        except ValidationError as error:
            detail = error.errors(include_url=False, include_context=False, include_input=False)
            return JSONResponse({"detail": detail}, status_code=422)
        self._synthesizer.timing, self._transcriber.timing = timing.speech, timing.transcription
        return Response(status_code=204)
