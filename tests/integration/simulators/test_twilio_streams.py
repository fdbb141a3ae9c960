"""Media streams: TwiML, handshake, messages, playout, marks, the end of a stream and what follows it."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import Response
from tests.integration.simulators.media_server import MediaServer, Stream, serving_media, voice

from simulators.mu_law import FRAME_BYTES

if TYPE_CHECKING:
    from tests.integration.simulators.conftest import SimulatedTwilio

pytestmark = pytest.mark.integration
AUTH_TOKEN = "a-fictional-token"
STREAM_ERRORS = range(31900, 32000)


@pytest.fixture
async def media() -> AsyncIterator[MediaServer]:
    async with serving_media(AUTH_TOKEN) as server:
        yield server


@pytest.fixture
async def simulator(make_simulator: Any) -> AsyncIterator["SimulatedTwilio"]:
    """A simulator thirty times faster than real time: a frame each 0.7 milliseconds. Callees are silent."""
    async with make_simulator(speed=30.0, behaviours={"silent": 1.0}) as running:
        yield running


def codes(entry: Any) -> list[int]:
    return [error.code for error in entry.errors if error.code in STREAM_ERRORS]


async def run_call(simulator: "SimulatedTwilio", *verbs: str) -> Any:
    simulator.application.set_twiml("/voice", "".join(verbs))
    return await simulator.wait_for_end((await simulator.create_call()).sid)


async def test_a_stream_sends_twilios_messages(simulator: "SimulatedTwilio", media: MediaServer) -> None:
    async def script(stream: Stream) -> None:
        await stream.wait_for("media", 3)
        await stream.mark("greeting")
        await stream.wait_for("mark")

    media.scripts = [script]
    entry = await run_call(simulator, media.twiml("token", "language"))
    (stream,) = media.streams
    assert stream.messages[0] == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    sid = entry.streams[0].sid
    assert stream.messages[1] == {
        "event": "start",
        "sequenceNumber": "1",
        "streamSid": sid,
        "start": {
            "accountSid": "AC00000000000000000000000000000001",
            "streamSid": sid,
            "callSid": entry.sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"token": "token-value", "language": "language-value"},
        },
    }
    first = stream.events("media")[0]
    payload = first["media"].pop("payload")
    assert len(payload) == 216  # 160 bytes
    assert first == {
        "event": "media",
        "sequenceNumber": "2",
        "streamSid": sid,
        "media": {"track": "inbound", "chunk": "1", "timestamp": "20"},
    }
    sequence = str(len(stream.messages) - 1)
    assert stream.messages[-1] == {
        "event": "mark",
        "sequenceNumber": sequence,
        "streamSid": sid,
        "mark": {"name": "greeting"},
    }
    assert sid.startswith("MZ")
    assert len(sid) == 34
    assert (entry.streams[0].closed_by, entry.streams[0].close_code) == ("server", 1000)
    assert codes(entry) == []


async def test_frames_have_consecutive_chunks_and_timestamps(simulator: "SimulatedTwilio", media: MediaServer) -> None:
    async def script(stream: Stream) -> None:
        await stream.wait_for("media", 200)

    media.scripts = [script]
    await run_call(simulator, media.twiml())
    frames = [message["media"] for message in media.streams[0].events("media")]
    assert [frame["chunk"] for frame in frames] == [str(number + 1) for number in range(len(frames))]
    assert [frame["timestamp"] for frame in frames] == [str(20 * number + 20) for number in range(len(frames))]


async def test_the_handshake_is_signed_over_its_url(simulator: "SimulatedTwilio", media: MediaServer) -> None:
    async def script(stream: Stream) -> None:
        return

    media.scripts = [script]
    await run_call(simulator, media.twiml(path="/media/stream/0191/1/2"))
    assert [(stream.url, stream.has_valid_signature) for stream in media.streams] == [
        (f"{media.url}/media/stream/0191/1/2", True)
    ]


async def test_the_action_is_requested_after_the_stream(simulator: "SimulatedTwilio", media: MediaServer) -> None:
    async def script(stream: Stream) -> None:
        await stream.wait_for("media")

    media.scripts = [script]
    simulator.application.set_twiml("/live", "<Say>Good bye.</Say>")
    entry = await run_call(simulator, media.twiml(attributes='action="/live"'), "<Redirect>/other</Redirect>")
    (form,) = simulator.application.forms("/live")
    assert (form["CallSid"], form["CallStatus"]) == (entry.sid, "in-progress")
    assert simulator.application.forms("/other") == []
    assert [utterance.text for utterance in entry.utterances] == ["Good bye."]


async def test_without_an_action_the_next_verb_follows(simulator: "SimulatedTwilio", media: MediaServer) -> None:
    async def script(stream: Stream) -> None:
        await stream.wait_for("media")

    media.scripts = [script]
    simulator.application.set_twiml("/other", "<Hangup/>")
    await run_call(simulator, media.twiml(), "<Redirect>/other</Redirect>")
    assert len(simulator.application.forms("/other")) == 1


@pytest.mark.parametrize("after", ["action", "next_verb", "end"])
@pytest.mark.parametrize("failure", ["refused", "dropped"])
async def test_a_setting_decides_what_follows_a_failure(
    simulator: "SimulatedTwilio", media: MediaServer, after: str, failure: str
) -> None:
    media.scripts = [Stream.receive_all]
    media.refusals = int(failure == "refused")
    await simulator.put_control("streams", {"after_failure": after, "drop_after_seconds": 0.2})
    for path in ("/live", "/other"):
        simulator.application.set_twiml(path, "<Hangup/>")
    entry = await run_call(simulator, media.twiml(attributes='action="/live"'), "<Redirect>/other</Redirect>")
    requested = [path for path in ("/live", "/other") if simulator.application.forms(path)]
    assert requested == {"action": ["/live"], "next_verb": ["/other"], "end": []}[after]
    assert codes(entry) == [31920 if failure == "refused" else 31903]
    assert entry.streams[0].closed_by == ("refused" if failure == "refused" else "network")
    assert entry.ended_by == ("stream" if after == "end" else "twiml")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ws://127.0.0.1:9/media?token=1", 31920),
        ("https://voice.example/media", 31922),
        ("ws://voice.example/media", 31922),
        ("wss://:1/media", 31923),
        ("wss://voice.example:port/media", 31923),
    ],
)
async def test_a_url_that_twilio_refuses_is_an_error(simulator: "SimulatedTwilio", url: str, code: int) -> None:
    entry = await run_call(simulator, f'<Connect><Stream url="{url}"/></Connect>')
    assert codes(entry) == [code]
    assert not entry.streams[0].opened


async def test_a_connection_without_an_answer_is_an_error(simulator: "SimulatedTwilio", media: MediaServer) -> None:
    media.scripts = [Stream.receive_all]
    twiml = media.twiml()
    await simulator.put_control("streams", {"never_connects": True})
    assert codes(await run_call(simulator, twiml)) == [31901]


async def test_a_close_with_another_code_is_recorded(simulator: "SimulatedTwilio", media: MediaServer) -> None:
    async def script(stream: Stream) -> None:
        await stream.socket.close(code=1011)

    media.scripts = [script]
    entry = await run_call(simulator, media.twiml())
    assert (codes(entry), entry.streams[0].close_code) == ([31921], 1011)


async def test_a_mark_returns_when_the_audio_before_it_has_been_played(
    simulator: "SimulatedTwilio", media: MediaServer
) -> None:
    async def script(stream: Stream) -> None:
        await stream.play(voice(1.0))
        await stream.mark("first")
        await stream.play(voice(0.5) + b"\x10" * 80)
        await stream.mark("second")
        await stream.wait_for("mark", 2)

    media.scripts = [script]
    entry = (await run_call(simulator, media.twiml())).streams[0]
    played = [
        len(media.streams[0].messages[: media.streams[0].messages.index(mark)])
        for mark in media.streams[0].events("mark")
    ]
    assert played[0] - 2 >= 50  # frames that passed before the mark
    assert played[1] - played[0] - 1 == 26  # the last one is padded
    assert [(mark.name, mark.reason) for mark in entry.marks] == [("first", "played"), ("second", "played")]
    assert entry.received_seconds == pytest.approx(1.51)
    assert entry.played_seconds == pytest.approx(1.52)
    assert entry.underruns == 0


async def test_clear_discards_the_audio_and_returns_all_pending_marks(
    simulator: "SimulatedTwilio", media: MediaServer
) -> None:
    async def script(stream: Stream) -> None:
        for name in ("one", "two", "three"):
            await stream.play(voice(20.0))
            await stream.mark(name)
        await stream.wait_for("media", 20)
        await stream.send("clear")
        await stream.wait_for("mark", 3)
        await stream.mark("four")
        await stream.wait_for("mark", 4)

    media.scripts = [script]
    entry = (await run_call(simulator, media.twiml())).streams[0]
    assert [mark["mark"]["name"] for mark in media.streams[0].events("mark")] == ["one", "two", "three", "four"]
    assert [mark.reason for mark in entry.marks] == ["cleared", "cleared", "cleared", "played"]
    (clear,) = entry.clears
    assert clear.marks == ["one", "two", "three"]
    assert clear.discarded_seconds + entry.played_seconds == pytest.approx(60.0)
    assert len(entry.heard) == 1


async def test_more_than_ten_minutes_of_audio_are_discarded(simulator: "SimulatedTwilio", media: MediaServer) -> None:
    async def script(stream: Stream) -> None:
        for _ in range(2):
            await stream.play(bytes(310 * 8000))
        await stream.send("clear")
        await stream.mark("end")
        await stream.wait_for("mark")

    media.scripts = [script]
    entry = await run_call(simulator, media.twiml())
    assert codes(entry) == [31931]
    assert entry.streams[0].clears[0].discarded_seconds <= 600


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("no JSON", 31951),
        ('["media"]', 31951),
        ('{"event":"media","streamSid":"SID","media":{"payload":"AAAA","track":"outbound"}}', 31951),
        ('{"event":"clear","streamSid":"SID","sequenceNumber":"1"}', 31951),
        ('{"event":"media","streamSid":"MZ0","media":{"payload":"AAAA"}}', 31951),
        ('{"event":"media","streamSid":"SID","media":{"payload":"#"}}', 31951),
        ('{"event":"mark","streamSid":"SID"}', 31951),
        ('{"event":"stop","streamSid":"SID"}', 31924),
        (b"\x00\x01", 31950),
    ],
)
async def test_a_wrong_message_is_a_warning_once(
    simulator: "SimulatedTwilio", media: MediaServer, message: str | bytes, code: int
) -> None:
    async def script(stream: Stream) -> None:
        for _ in range(2):
            if isinstance(message, bytes):
                await stream.socket.send_bytes(message)
            else:
                await stream.socket.send_str(message.replace("SID", stream.sid))
        await stream.mark("end")
        await stream.wait_for("mark")

    media.scripts = [script]
    entry = await run_call(simulator, media.twiml())
    assert codes(entry) == [code]
    assert entry.streams[0].played_seconds == 0
    assert entry.streams[0].closed_by == "server"


async def test_the_end_of_the_call_sends_stop_and_closes(simulator: "SimulatedTwilio", media: MediaServer) -> None:
    media.scripts = [Stream.receive_all]
    simulator.application.set_twiml("/voice", media.twiml(attributes='action="/live"'))
    call = await simulator.create_call()
    await simulator.wait_until(lambda: bool(media.streams and media.streams[0].events("media")))
    await call.update_async(status="completed")
    entry = await simulator.wait_for_end(call.sid)
    last = media.streams[0].messages[-1]
    stop = {"accountSid": "AC00000000000000000000000000000001", "callSid": call.sid}
    assert (last["event"], last["stop"], last["streamSid"]) == ("stop", stop, entry.streams[0].sid)
    assert media.streams[0].socket.close_code == 1000
    assert entry.streams[0].closed_by == "api"
    assert simulator.application.forms("/live") == []
    assert codes(entry) == []


async def test_new_twiml_ends_the_stream(simulator: "SimulatedTwilio", media: MediaServer) -> None:
    media.scripts = [Stream.receive_all]
    simulator.application.set_twiml("/voice", media.twiml(attributes='action="/live"'))
    call = await simulator.create_call()
    await simulator.wait_until(lambda: bool(media.streams and media.streams[0].events("media")))
    await call.update_async(twiml="<Response><Say>One moment.</Say></Response>")
    entry = await simulator.wait_for_end(call.sid)
    assert media.streams[0].messages[-1]["event"] == "stop"
    assert [utterance.text for utterance in entry.utterances] == ["One moment."]
    assert simulator.application.forms("/live") == []


async def test_a_stream_reports_to_its_status_callback(simulator: "SimulatedTwilio", media: MediaServer) -> None:
    async def script(stream: Stream) -> None:
        await stream.wait_for("media")

    media.scripts = [script]
    twiml = media.twiml().replace(
        "<Stream ", f'<Stream name="main" statusCallback="{simulator.application.url}/stream" '
    )
    entry = await run_call(simulator, twiml)
    await simulator.wait_until(lambda: len(simulator.application.forms("/stream")) == 2)
    forms = sorted(simulator.application.forms("/stream"), key=lambda form: form["StreamEvent"])
    assert [form["StreamEvent"] for form in forms] == ["stream-started", "stream-stopped"]
    assert {form["StreamName"] for form in forms} == {"main"}
    assert {form["StreamSid"] for form in forms} == {entry.streams[0].sid}


async def test_the_next_stream_of_a_call_is_a_takeover(simulator: "SimulatedTwilio", media: MediaServer) -> None:
    async def first(stream: Stream) -> None:
        await stream.play(voice(0.4))
        await stream.mark("end")
        await stream.wait_for("mark")

    async def second(stream: Stream) -> None:
        await stream.play(voice(0.2))
        await stream.mark("end")
        await stream.wait_for("mark")

    media.scripts = [first, second]
    simulator.application.set_twiml("/live", media.twiml(path="/media/stream/2"))
    entry = await run_call(simulator, media.twiml(attributes='action="/live"'))
    before, after = entry.streams
    assert before.gap_seconds is None
    assert after.gap_seconds > 0
    assert after.silence_gap_seconds >= after.gap_seconds
    assert before.sid != after.sid
    assert [stream.url[-2:] for stream in media.streams] == ["/1", "/2"]


async def test_refused_streams_are_part_of_the_gap(simulator: "SimulatedTwilio", media: MediaServer) -> None:
    async def first(stream: Stream) -> None:
        await stream.wait_for("media")
        media.refusals = 1

    async def second(stream: Stream) -> None:
        await stream.wait_for("media")

    media.scripts = [first, second]
    twiml = media.twiml(attributes='action="/again"')
    response = Response(f"<Response>{twiml}</Response>", media_type="text/xml")
    simulator.application.set_answers("/live", response, delay=0.5)
    simulator.application.set_twiml("/again", media.twiml())
    entry = await run_call(simulator, media.twiml(attributes='action="/live"'))
    assert [stream.closed_by for stream in entry.streams] == ["server", "refused", "server"]
    assert entry.streams[1].gap_seconds is None
    assert entry.streams[2].gap_seconds > 0.5


async def test_a_connect_without_a_stream_is_skipped(simulator: "SimulatedTwilio") -> None:
    entry = await run_call(simulator, "<Connect/>", "<Say>Hello.</Say>")
    assert [error.code for error in entry.errors] == [12200]
    assert [utterance.text for utterance in entry.utterances] == ["Hello."]


async def test_a_frame_is_160_bytes(simulator: "SimulatedTwilio", media: MediaServer) -> None:
    async def script(stream: Stream) -> None:
        await stream.wait_for("media", 30)

    media.scripts = [script]
    entry = (await run_call(simulator, media.twiml())).streams[0]
    assert len(media.streams[0].audio) % FRAME_BYTES == 0
    assert entry.frames_sent >= 30
    assert entry.frames_lost == 0
