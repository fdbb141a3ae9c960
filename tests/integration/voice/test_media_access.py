"""Who may fetch the audio of a turn, and when: what a request costs that may not."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from uuid import uuid4

import httpx
import pytest
from nats.aio.client import Client
from starlette.applications import Starlette
from tests.fakes.voice import FakeClips, FakeSpokenFallback, FakeSynthesizer
from tests.integration.voice.conftest import RequestAudio, StartCall, outcomes

from chassis.event_log import EventLog
from contracts import CallStatus, HangupReason
from simulators.serving import serving
from telephony.media import derive_media_key, sign
from voice.adapters.turn_events import TurnEventReader
from voice.application.speech.synthesis import SpeechSynthesis
from voice.application.speech.turns import TurnPlayer
from voice.application.telephony.handover import Handover
from voice.entrypoints.media import build_routes

SECRET = "simulated-auth-token"
KEY = derive_media_key(SECRET)


@pytest.fixture
def synthesizer() -> FakeSynthesizer:
    return FakeSynthesizer("a-voice", [b"\xff\xfb\x90\x00" + bytes(413)])


@pytest.fixture
async def media(calls: EventLog, bus_client: Client, synthesizer: FakeSynthesizer) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the media route."""
    synthesis = SpeechSynthesis([synthesizer], FakeClips(), calls)
    player = TurnPlayer(calls, TurnEventReader(bus_client, calls), synthesis, max_silence_seconds=3600)
    async with aclosing(Handover(calls, FakeSpokenFallback())) as handover:
        app = Starlette(routes=build_routes(player, handover, KEY))
        async with serving(app, "127.0.0.1") as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
            yield client


async def fetch(media: httpx.AsyncClient, path: str, *, key: bytes = KEY, is_aside: bool = False) -> httpx.Response:
    return await media.get(path, params={"token": sign(key, path)} | ({"aside": "true"} if is_aside else {}))


@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize("is_aside", [False, True])
@pytest.mark.parametrize(
    ("status", "attempt", "hangup_reason"),
    [
        (CallStatus.COMPLETED, 1, None),
        (CallStatus.PENDING, 1, None),
        (CallStatus.DIALING, 2, None),
        (CallStatus.IN_PROGRESS, 1, HangupReason.CANCELED),
    ],
)
async def test_a_turn_of_an_attempt_that_is_over_is_gone_and_nothing_is_synthesized(
    status: CallStatus,
    attempt: int,
    hangup_reason: HangupReason | None,
    is_aside: bool,
    turn: int,
    media: httpx.AsyncClient,
    calls: EventLog,
    start_call: StartCall,
    request_audio: RequestAudio,
    synthesizer: FakeSynthesizer,
) -> None:
    in_progress = await start_call(CallStatus.IN_PROGRESS)
    path = f"/media/{in_progress.call_id}/1/{turn}"
    await request_audio(in_progress, 1, 0, "Your appointment is on Monday.")
    await start_call(status, call_id=in_progress.call_id, attempt=attempt, hangup_reason=hangup_reason)

    answer = await fetch(media, path, is_aside=is_aside)
    assert (answer.status_code, answer.text) == (410, "the call's attempt is not in progress")
    assert (await media.head(path, params={"token": sign(KEY, path)})).status_code == 410
    assert synthesizer.first_by == []
    assert await outcomes(calls, in_progress) == []


async def test_a_turn_of_an_unknown_call_is_gone(media: httpx.AsyncClient) -> None:
    assert (await fetch(media, f"/media/{uuid4()}/1/1")).status_code == 410


async def test_a_turn_is_played_while_its_attempt_is_in_progress(
    media: httpx.AsyncClient, start_call: StartCall, synthesizer: FakeSynthesizer
) -> None:
    event = await start_call(CallStatus.RINGING)
    answer = await fetch(media, f"/media/{event.call_id}/1/0")
    assert (answer.status_code, answer.content) == (200, b"".join(synthesizer.pieces))


@pytest.mark.parametrize("key", [SECRET.encode(), derive_media_key("another token"), b""])
async def test_a_token_of_another_key_is_forbidden_without_a_message_to_nats_and_a_synthesis(
    key: bytes,
    media: httpx.AsyncClient,
    bus_client: Client,
    start_call: StartCall,
    request_audio: RequestAudio,
    synthesizer: FakeSynthesizer,
) -> None:
    event = await start_call(CallStatus.IN_PROGRESS)
    await request_audio(event, 0, 0, "Hello, this is the clinic.", is_reusable=True)
    path = f"/media/{event.call_id}/1/0"
    sent = bus_client.stats["out_msgs"]
    for answer in (await fetch(media, path, key=key), await media.get(path), await media.get(path + "?token=ñ")):
        assert answer.status_code == 403
    assert bus_client.stats["out_msgs"] == sent
    assert synthesizer.first_by == []


async def test_a_token_of_another_sequence_is_forbidden(
    media: httpx.AsyncClient, start_call: StartCall, request_audio: RequestAudio, synthesizer: FakeSynthesizer
) -> None:
    event = await start_call(CallStatus.IN_PROGRESS)
    await request_audio(event, 0, 0, "Hello, this is the clinic.", is_reusable=True)
    path = f"/media/{event.call_id}/1/0"
    for query in ({"after": "8"}, {}, {"after": "07"}, {"after": "x"}):
        answer = await media.get(path, params={"token": sign(KEY, path, 7), **query})
        assert answer.status_code == (200 if query == {"after": "07"} else 403)
    assert len(synthesizer.first_by) == 1


@pytest.mark.parametrize("number", ["9" * 5_000, "9" * 10, "-1", "1.0"])
async def test_a_path_with_another_number_than_of_an_attempt_is_not_found(
    number: str, media: httpx.AsyncClient, bus_client: Client
) -> None:
    sent = bus_client.stats["out_msgs"]
    for path in (f"/media/{uuid4()}/{number}/1", f"/media/{uuid4()}/1/{number}"):
        assert (await fetch(media, path)).status_code == 404
    assert bus_client.stats["out_msgs"] == sent
