"""Callees on media streams through the network: words, reaction times, keys, faults of the line, and recordings."""

import array
import asyncio
import base64
import hashlib
import json
import socket
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.http_websocket import WS_KEY
from tests.integration.simulators.media_server import MediaServer, Stream, serving_media, voice

from simulators import mu_law
from simulators.spoken_words import SpokenWords, WordListener
from simulators.twilio.stream_settings import StreamSettings

if TYPE_CHECKING:
    from tests.integration.simulators.conftest import SimulatedTwilio

pytestmark = pytest.mark.integration
AUTH_TOKEN = "a-fictional-token"
CALLEE = "+12125550123"
WORDS = SpokenWords()


@pytest.fixture
async def media() -> AsyncIterator[MediaServer]:
    async with serving_media(AUTH_TOKEN) as server:
        yield server


@pytest.fixture
async def simulator(make_simulator: Any, tmp_path: Path) -> AsyncIterator["SimulatedTwilio"]:
    """A simulator ten times faster than real time, which records its calls."""
    settings = StreamSettings(WORDS, "es", tmp_path / "recordings")
    async with make_simulator(speed=10.0, behaviours={"human": 1.0}, streams=settings) as running:
        yield running


async def run_call(simulator: "SimulatedTwilio", media: MediaServer, behaviour: str = "human", **settings: Any) -> Any:
    await simulator.put_control(f"callees/{CALLEE}", {"behaviour": behaviour, "settings": settings})
    simulator.application.set_twiml("/voice", media.twiml())
    return await simulator.wait_for_end((await simulator.create_call()).sid)


async def greet(stream: Stream) -> None:
    await stream.play(voice(0.6))
    await stream.mark("greeting")
    await stream.wait_for("mark")


def transcript(stream: Stream) -> str:
    return " ".join(word.text for word in WordListener(WORDS).listen(stream.audio))


async def test_the_callee_is_understood_by_the_words_in_its_audio(
    simulator: "SimulatedTwilio", media: MediaServer
) -> None:
    async def script(stream: Stream) -> None:
        await greet(stream)
        await stream.wait_for_silence()

    media.scripts = [script]
    entry = await run_call(simulator, media, phrases=["Sí, mañana a las diez."])
    assert transcript(media.streams[0]) == "Sí, mañana a las diez."
    assert [utterance.text for utterance in entry.utterances] == ["Sí, mañana a las diez."]
    (sound,) = entry.streams[0].sounds
    assert not sound.is_over_agent
    assert entry.errors == []


async def test_an_interruption_is_measured_to_clear_and_to_silence(
    simulator: "SimulatedTwilio", media: MediaServer
) -> None:
    async def script(stream: Stream) -> None:
        await greet(stream)
        await stream.wait_for_silence()
        await stream.play(voice(20.0))
        await stream.mark("reply")
        heard = len(stream.audio)
        while not stream.audio[heard:].strip(b"\xff"):
            await stream.receive()
        await stream.send("clear")
        await stream.wait_for("mark", 2)
        await stream.wait_for_silence()

    media.scripts = [script]
    entry = await run_call(simulator, media, "interrupts", phrases=["Sí.", "Espere, por favor."], at_seconds=1.0)
    stream = entry.streams[0]
    sound = stream.sounds[1]
    assert sound.is_over_agent
    assert sound.seconds_to_clear >= 0
    assert sound.seconds_to_silence is not None
    assert stream.marks[1].reason == "cleared"
    assert stream.overlap_seconds > 0
    assert stream.heard[1][1] - stream.heard[1][0] == pytest.approx(stream.played_seconds - 0.6)


async def test_a_key_of_the_callee_is_a_dtmf_message(simulator: "SimulatedTwilio", media: MediaServer) -> None:
    async def script(stream: Stream) -> None:
        await stream.play(voice(5.0))
        await stream.wait_for("dtmf")

    media.scripts = [script]
    entry = await run_call(simulator, media, "presses_key", at_seconds=0.5)
    message = media.streams[0].events("dtmf")[0]
    assert message.pop("sequenceNumber").isdigit()
    sid = entry.streams[0].sid
    assert message == {"event": "dtmf", "streamSid": sid, "dtmf": {"track": "inbound_track", "digit": "9"}}
    assert [utterance.text for utterance in entry.utterances] == ["9"]


async def test_a_callee_that_hangs_up_while_it_speaks_ends_the_stream(
    simulator: "SimulatedTwilio", media: MediaServer
) -> None:
    async def script(stream: Stream) -> None:
        await greet(stream)
        await stream.wait_for_silence()
        await stream.play(voice(0.6))
        await stream.receive_all()

    media.scripts = [script]
    entry = await run_call(simulator, media, "hangs_up_speaking", phrases=["Sí.", "Mañana a las diez no puedo."])
    assert media.streams[0].messages[-1]["event"] == "stop"
    assert (entry.ended_by, entry.streams[0].closed_by) == ("callee", "callee")
    assert transcript(media.streams[0]) == " ".join(utterance.text for utterance in entry.utterances)


async def test_the_recording_has_the_agent_as_played(
    simulator: "SimulatedTwilio", media: MediaServer, tmp_path: Path
) -> None:
    async def script(stream: Stream) -> None:
        await stream.play(voice(20.0))
        await stream.mark("all")
        await stream.wait_for("media", 30)
        await stream.send("clear")
        await stream.wait_for("mark")
        await stream.wait_for("media", len(stream.events("media")) + 10)

    media.scripts = [script]
    entry = await run_call(simulator, media, "silent")
    folder = tmp_path / "recordings"
    await simulator.wait_until((folder / f"{entry.sid}.json").exists)
    with wave.open(str(folder / f"{entry.sid}.wav")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (2, 8000, 2)
        samples = array.array("h", file.readframes(file.getnframes()))
    callee, agent = samples[0::2], samples[1::2]
    received = mu_law.decode(media.streams[0].audio)
    common = min(len(callee), len(received))  # the last frames may not have been read before the end
    assert common > 8000 * 0.5
    assert callee[:common] == received[:common]
    played = round(entry.streams[0].played_seconds * 8000)
    begin = round(entry.streams[0].heard[0][0] * 8000)
    assert agent[begin : begin + played] == mu_law.decode(voice(20.0))[:played]
    assert not any(agent[begin + played :])
    document = json.loads((folder / f"{entry.sid}.json").read_text(encoding="utf-8"))
    assert document["streams"][0]["marks"][0]["reason"] == "cleared"


async def test_a_call_goes_on_in_turns_with_the_next_utterance(
    simulator: "SimulatedTwilio", media: MediaServer
) -> None:
    async def script(stream: Stream) -> None:
        await stream.play(voice(0.6))
        await stream.wait_for("media", 10)
        await stream.socket.close(code=1011)

    media.scripts = [script]
    await simulator.put_control(f"callees/{CALLEE}", {"settings": {"phrases": ["Primero.", "Segundo."]}})
    gather = '<Gather input="speech" action="/gather" language="es-ES"/>'
    simulator.application.set_twiml("/voice", media.twiml() + gather)
    simulator.application.set_twiml("/gather", "<Hangup/>")
    await simulator.wait_for_end((await simulator.create_call()).sid)
    assert [form["SpeechResult"] for form in simulator.application.forms("/gather")] == ["Primero."]


async def accept_and_leave_unread(listener: socket.socket) -> socket.socket:
    """Answers the handshake of one WebSocket, and returns its socket, which stays unread."""
    loop = asyncio.get_running_loop()
    connection, _ = await loop.sock_accept(listener)
    head = b""
    while b"\r\n\r\n" not in head:
        head += await loop.sock_recv(connection, 4096)
    key = next(line.split(b": ")[1] for line in head.splitlines() if line.lower().startswith(b"sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key + WS_KEY).digest())  # noqa: S324
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    await loop.sock_sendall(connection, answer + accept + b"\r\n\r\n")
    return connection


async def test_a_server_that_does_not_read_loses_audio(make_simulator: Any) -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.setblocking(False)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        async with make_simulator(speed=400.0, behaviours={"silent": 1.0}) as simulator:
            url = f"ws://127.0.0.1:{listener.getsockname()[1]}/media"
            simulator.application.set_twiml("/voice", f'<Connect><Stream url="{url}"/></Connect>')
            call = await simulator.create_call()
            entry = simulator.entry(call.sid)
            with await accept_and_leave_unread(listener):
                await simulator.wait_until(lambda: any(error.code == 31930 for error in entry.errors))
                assert entry.streams[0].frames_lost > 0
                await call.update_async(status="completed")
                await simulator.wait_for_end(call.sid)


@pytest.mark.parametrize(
    ("faults", "check"),
    [
        ({"frame_loss": 0.5}, lambda entry, stream: entry.frames_lost > 0 and len(stream.events("media")) >= 40),
        (
            {"reorders_marks": True},
            lambda entry, stream: [m["mark"]["name"] for m in stream.events("mark")] == ["2", "1"],
        ),
        ({"stall_at_seconds": 0.2, "stall_seconds": 0.4}, lambda entry, stream: entry.frames_lost == 0),
    ],
)
async def test_faults_of_the_line(
    simulator: "SimulatedTwilio", media: MediaServer, faults: dict[str, object], check: Any
) -> None:
    async def script(stream: Stream) -> None:
        for name in ("1", "2"):
            await stream.play(voice(0.1))
            await stream.mark(name)
        await stream.wait_for("mark", 2)
        await stream.wait_for("media", 40)

    media.scripts = [script]
    await simulator.put_control("streams", faults)
    entry = await run_call(simulator, media, "silent")
    assert check(entry.streams[0], media.streams[0])


async def test_a_stream_that_never_starts_ends_with_the_call(simulator: "SimulatedTwilio", media: MediaServer) -> None:
    media.scripts = [Stream.receive_all]
    await simulator.put_control("streams", {"never_starts": True})
    await simulator.put_control(f"callees/{CALLEE}", {"behaviour": "silent"})
    simulator.application.set_twiml("/voice", media.twiml())
    call = await simulator.create_call()
    await simulator.wait_until(lambda: bool(media.streams and media.streams[0].messages))
    await call.update_async(status="completed")
    await simulator.wait_for_end(call.sid)
    assert [message["event"] for message in media.streams[0].messages] == ["connected", "stop"]


async def test_unread_messages_of_the_server_are_never_played(simulator: "SimulatedTwilio", media: MediaServer) -> None:
    async def script(stream: Stream) -> None:
        await stream.wait_for("media", 30)
        await stream.play(voice(1.0))
        await stream.wait_for("media", 60)

    media.scripts = [script]
    await simulator.put_control("streams", {"stops_reading_after_seconds": 0.2})
    await simulator.put_control(f"callees/{CALLEE}", {"behaviour": "silent"})
    simulator.application.set_twiml("/voice", media.twiml())
    call = await simulator.create_call()
    entry = simulator.entry(call.sid)
    await simulator.wait_until(lambda: bool(media.streams) and len(media.streams[0].events("media")) >= 60)
    assert entry.streams[0].played_seconds == 0
    await call.update_async(status="completed")
    await simulator.wait_for_end(call.sid)
