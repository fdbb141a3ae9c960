"""What the ElevenLabs adapter sends by way of the SDK, and which answers it does not follow."""

import asyncio
import gzip
from contextlib import aclosing

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from tests.fakes.providers import provider

from providers import Failure, RequestFailed
from simulators.serving import serving
from voice.adapters import elevenlabs
from voice.adapters.elevenlabs import ElevenLabs
from voice.domain.clips import SynthesisRequest

MODEL = "eleven_flash_v2_5"


class Vendor:
    """Keeps what it receives. It redirects the voice "moved", sets cookies, and compresses the voice "packed"."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str, str | None]] = []
        self.cookies: list[str | None] = []

    async def answer(self, request: Request) -> Response:
        target = f"{request.url.path}?{request.url.query}"
        self.received.append((request.method, target, request.headers.get("xi-api-key")))
        self.cookies.append(request.headers.get("cookie"))
        if "moved" in target:
            return RedirectResponse("/elsewhere", 307)
        body, headers = b"sound", {"set-cookie": "a=b"}
        if "packed" in target:
            body, headers = gzip.compress(body), {"content-encoding": "gzip"}
        return Response(body, media_type="audio/mpeg", headers=headers)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{rest:path}", self.answer, methods=["GET", "POST"])])


async def synthesize(url: str, *voices: str) -> list[bytes]:
    """Returns the audio of the same sentence in each voice."""
    audio = []
    async with elevenlabs.connect(api_key="fictional-key", base_url=f"{url}/") as account:
        speech = ElevenLabs(account, provider("elevenlabs"), voice="unused", model=MODEL)
        for voice in voices:
            first_by = asyncio.get_running_loop().time() + 10
            request = SynthesisRequest(voice, MODEL, (elevenlabs.OUTPUT_FORMAT, "en"), "Hello.")
            async with aclosing(speech.synthesize(request, first_by=first_by)) as pieces:
                audio.append(b"".join([piece async for piece in pieces]))
    return audio


async def test_requests_carry_the_key_and_the_format_and_no_cookie() -> None:
    vendor = Vendor()
    async with serving(vendor.app(), "127.0.0.1") as url:
        named = url.replace("127.0.0.1", "localhost")  # no client keeps the cookies of an address
        assert await synthesize(named, "one", "two") == [b"sound", b"sound"]
    target = "/v1/text-to-speech/{}/stream?output_format=" + elevenlabs.OUTPUT_FORMAT
    assert vendor.received == [("POST", target.format(voice), "fictional-key") for voice in ("one", "two")]
    assert vendor.cookies == [None, None]


async def test_a_compressed_answer_is_decompressed() -> None:
    async with serving(Vendor().app(), "127.0.0.1") as url:
        assert await synthesize(url, "packed") == [b"sound"]


async def test_a_redirect_is_a_refusal_and_sends_the_text_nowhere_else() -> None:
    vendor = Vendor()
    async with serving(vendor.app(), "127.0.0.1") as url:
        with pytest.raises(RequestFailed, match="HTTP 307") as raised:
            await synthesize(url, "moved")
    assert raised.value.failure is Failure.REFUSED
    assert len(vendor.received) == 1


async def test_a_vendor_that_cannot_be_reached_is_reported_as_such() -> None:
    with pytest.raises(RequestFailed) as raised:
        await synthesize("http://127.0.0.1:9", "any")
    assert raised.value.failure is Failure.UNREACHABLE
