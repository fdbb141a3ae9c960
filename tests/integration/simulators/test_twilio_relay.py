"""ConversationRelay: TwiML, handshake, messages, interruptions, the end of a session and what follows it."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import WSMsgType, web
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from tests.integration.simulators.conftest import SimulatedTwilio

pytestmark = pytest.mark.integration
AUTH_TOKEN = "a-fictional-token"
LONG = "This is a long answer that takes some seconds to say, and then some more."
INTERRUPTING = ["Hello?", "Wait."]
EVENTS = 'events="speaker-events tokens-played"'


@dataclass
class Session:
    """One connection. `messages` are all messages received so far."""

    socket: web.WebSocketResponse
    has_valid_signature: bool
    messages: list[dict[str, Any]] = field(default_factory=list)

    def of(self, kind: str, **fields: object) -> list[dict[str, Any]]:
        wanted = {"type": kind, **fields}
        return [message for message in self.messages if wanted.items() <= message.items()]

    async def wait_for(self, kind: str, **fields: object) -> dict[str, Any]:
        while not self.of(kind, **fields):
            assert await self.receive(), f"the session ended before {kind}"
        return self.of(kind, **fields)[0]

    async def receive(self) -> bool:
        message = await self.socket.receive()
        if message.type is WSMsgType.TEXT:
            self.messages.append(json.loads(message.data))
        return message.type is WSMsgType.TEXT

    async def say(self, text: str, **fields: object) -> None:
        await self.send("text", token=text, last=True, **fields)

    async def send(self, kind: str, **fields: object) -> None:
        await self.socket.send_json({"type": kind, **fields})

    async def end(self, reason: str = "done") -> None:
        await self.send("end", handoffData=json.dumps({"reason": reason}))
        while await self.receive():
            pass


Script = Callable[[Session], Awaitable[None]]


@dataclass
class RelayServer:
    url: str = ""
    scripts: list[Script] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        signature = RequestValidator(AUTH_TOKEN).compute_signature(f"{self.url}{request.path}", {})
        session = Session(socket, request.headers.get("X-Twilio-Signature", "") == signature)
        self.sessions.append(session)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        try:
            await session.wait_for("setup")
            await script(session)
        except AssertionError as error:
            self.failures.append(error)
        await socket.close()
        return socket

    def twiml(self, attributes: str = EVENTS) -> str:
        noun = f'<ConversationRelay url="{self.url}/relay" language="en-US" {attributes}>'
        parameter = '<Language code="es-ES"/><Parameter name="token" value="abc"/>'
        return f'<Connect action="/live">{noun}{parameter}</ConversationRelay></Connect>'


@asynccontextmanager
async def serving() -> AsyncIterator[RelayServer]:
    server, app = RelayServer(), web.Application()
    app.router.add_get("/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        server.url = f"ws://{host}:{port}"
        yield server
    finally:
        await runner.cleanup()
    assert server.failures == []


@pytest.fixture
async def relay() -> AsyncIterator[RelayServer]:
    async with serving() as server:
        yield server


@pytest.fixture
async def simulator(make_simulator: Any) -> AsyncIterator["SimulatedTwilio"]:
    async with make_simulator(speed=10.0, behaviours={"silent": 1.0}) as running:
        yield running


async def run_call(simulator: "SimulatedTwilio", *verbs: str, behaviour: str = "silent", **settings: object) -> Any:
    number = "+12125550142"
    await simulator.put_control(f"callees/{number}", {"behaviours": [behaviour], "settings": settings})
    simulator.application.set_twiml("/voice", "".join(verbs))
    return await simulator.wait_for_end((await simulator.create_call(to=number)).sid)


async def test_a_session_is_signed_speaks_and_ends_with_the_action(
    simulator: "SimulatedTwilio", relay: RelayServer
) -> None:
    async def script(session: Session) -> None:
        await session.send("text", token="Good morning. ", last=False)
        await session.say("This is Ana.")
        await session.wait_for("info", name="agentSpeaking", value="off")
        await session.end()

    relay.scripts = [script]
    simulator.application.set_twiml("/live", "<Hangup/>")
    entry = await run_call(simulator, relay.twiml())
    (session,) = relay.sessions
    (setup,) = session.of("setup")
    assert session.has_valid_signature
    assert (setup["callSid"], setup["customParameters"]) == (entry.sid, {"token": "abc"})
    assert setup["sessionId"].startswith("VX")
    played = [message["value"] for message in session.of("info", name="tokensPlayed")]
    assert played == ["Good", "morning.", "This", "is", "Ana."] == entry.streams[0].spoken
    (form,) = simulator.application.forms("/live")
    assert (form["CallStatus"], form["SessionId"], form["SessionStatus"]) == (
        "in-progress",
        setup["sessionId"],
        "ended",
    )
    assert json.loads(form["HandoffData"]) == {"reason": "done"}
    assert entry.errors == []


async def test_words_interrupt_and_become_a_prompt(simulator: "SimulatedTwilio", relay: RelayServer) -> None:
    async def script(session: Session) -> None:
        await session.say("Hi.")
        await session.wait_for("prompt", voicePrompt="Hello?")
        await session.send("text", token=LONG, last=False)
        await session.wait_for("interrupt")
        await session.say("The rest of the cycle is not spoken.")
        await session.wait_for("prompt", voicePrompt="Wait.")
        await session.end()

    relay.scripts = [script]
    entry = await run_call(simulator, relay.twiml(), behaviour="interrupts", phrases=INTERRUPTING, at_seconds=1.0)
    (session,) = relay.sessions
    (interrupt,) = session.of("interrupt")
    assert LONG.startswith(interrupt["utteranceUntilInterrupt"])
    assert 1000 <= int(interrupt["durationUntilInterruptMs"]) < 3000
    assert session.of("prompt") == [
        {"type": "prompt", "voicePrompt": text, "lang": "en-US", "last": True} for text in INTERRUPTING
    ]
    assert entry.streams[0].interruptions == [interrupt["utteranceUntilInterrupt"]]
    assert "cycle" not in entry.streams[0].spoken
    prompted_seconds, *_ = (sound.prompted_seconds for sound in entry.streams[0].sounds)
    assert prompted_seconds is not None
    greeting, answer, *_ = entry.streams[0].arrivals
    assert greeting < prompted_seconds < answer, "the ledger has when the words were sent and their answer arrived"


@pytest.mark.parametrize("reports", [True, False])
async def test_words_during_a_text_that_nothing_interrupts_are_reported_on_request(
    simulator: "SimulatedTwilio", relay: RelayServer, reports: bool
) -> None:
    async def script(session: Session) -> None:
        await session.say("Hi.")
        await session.wait_for("prompt", voicePrompt="Hello?")
        await session.say(LONG, interruptible=False)
        await session.wait_for("info", name="tokensPlayed", value="more.")
        await session.end()

    relay.scripts = [script]
    attributes = f'{EVENTS} reportInputDuringAgentSpeech="{"any" if reports else "none"}"'
    await run_call(simulator, relay.twiml(attributes), behaviour="interrupts", phrases=INTERRUPTING, at_seconds=0.5)
    (session,) = relay.sessions
    assert session.of("interrupt") == []
    assert bool(session.of("prompt", voicePrompt="Wait.")) is reports
    assert " ".join(message["value"] for message in session.of("info", name="tokensPlayed")) == f"Hi. {LONG}"


async def test_signals_of_attention_are_ignored_and_keys_reported(
    simulator: "SimulatedTwilio", relay: RelayServer
) -> None:
    async def script(session: Session) -> None:
        await session.say(LONG)
        await session.wait_for("dtmf")
        await session.wait_for("interrupt")
        await session.end()

    relay.scripts = [script]
    attributes = f'{EVENTS} dtmfDetection="true" ignoreBackchannel="true"'
    await run_call(simulator, relay.twiml(attributes), behaviour="presses_key", at_seconds=1.0)
    assert relay.sessions[0].of("dtmf") == [{"type": "dtmf", "digit": "9"}]


async def test_the_next_reply_replaces_a_preemptible_one(simulator: "SimulatedTwilio", relay: RelayServer) -> None:
    async def script(session: Session) -> None:
        await session.say(LONG, preemptible=True)
        await session.wait_for("info", name="tokensPlayed", value="is")
        await session.say("Good.")
        await session.wait_for("info", name="tokensPlayed", value="Good.")
        await session.end()

    relay.scripts = [script]
    entry = await run_call(simulator, relay.twiml())
    assert entry.streams[0].spoken[-1] == "Good."
    assert "more." not in entry.streams[0].spoken


async def test_a_message_that_is_not_valid_is_reported_and_ten_in_a_row_end_the_session(
    simulator: "SimulatedTwilio", relay: RelayServer
) -> None:
    async def script(session: Session) -> None:
        await session.send("sing")
        await session.wait_for("error")
        await session.say("I go on.")
        for _ in range(10):
            await session.send("text", token=1)
        while await session.receive():
            pass

    relay.scripts = [script]
    simulator.application.set_twiml("/live", "<Hangup/>")
    entry = await run_call(simulator, relay.twiml())
    assert {error.code for error in entry.errors} == {64107}
    (form,) = simulator.application.forms("/live")
    assert (form["SessionStatus"], form["ErrorCode"]) == ("failed", "64107")


async def test_a_lost_socket_is_64105_and_the_action_may_begin_another_session(
    simulator: "SimulatedTwilio", relay: RelayServer
) -> None:
    async def lose(session: Session) -> None:
        await session.say(LONG)
        await session.wait_for("info", name="agentSpeaking", value="on")

    async def end(session: Session) -> None:
        await session.end()

    relay.scripts = [lose, end]
    simulator.application.set_twiml("/live", relay.twiml().replace("/live", "/over"))
    simulator.application.set_twiml("/over", "<Hangup/>")
    entry = await run_call(simulator, relay.twiml())
    (form,) = simulator.application.forms("/live")
    assert (form["SessionStatus"], form["ErrorCode"]) == ("failed", "64105")
    assert [stream.kind for stream in entry.streams] == ["ConversationRelay"] * 2
    assert [error.code for error in entry.errors] == [64105]


async def test_faults_drop_the_connection_and_send_messages_that_nobody_documents(
    simulator: "SimulatedTwilio", relay: RelayServer
) -> None:
    async def script(session: Session) -> None:
        while await session.receive():
            pass

    relay.scripts = [script]
    await simulator.put_control("streams", {"drop_after_seconds": 0.5, "malformed_messages": 3})
    simulator.application.set_twiml("/live", "<Hangup/>")
    entry = await run_call(simulator, relay.twiml())
    assert len(relay.sessions[0].of("undocumented")) == 3
    assert [error.code for error in entry.errors] == [64105]
    (form,) = simulator.application.forms("/live")
    assert form["ErrorCode"] == "64105"
