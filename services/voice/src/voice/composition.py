"""The composition root: the only module of this service that names concrete adapters."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import structlog
from starlette.applications import Starlette
from starlette.types import ASGIApp

from chassis.background import run_in_background
from chassis.bus_clock import running_clock
from chassis.event_log import EventLog, StoredEvent
from chassis.serve import Bus, operations
from chassis.stream_api import jetstream_of
from contracts import CallDecision, ConversationMode
from contracts.buckets import CALL_CLIPS, CLIPS
from contracts.filters import LIVE_FILTERS, TURN_FILTERS
from contracts.streams import CALLS
from providers import Provider
from telephony.media import RELAY_PATH, STREAM_PATH, derive_media_key
from telephony.twilio import SIGNATURE_HEADER
from telephony.twilio_streams import StreamSignatures
from voice.adapters import elevenlabs, twilio
from voice.adapters.call_clips import CallClips
from voice.adapters.clips import ObjectStoreClips, StoredClips
from voice.adapters.elevenlabs import LIVE_OUTPUT_FORMAT, OUTPUT_FORMAT, ElevenLabs
from voice.adapters.elevenlabs_streams import ElevenLabsStreams
from voice.adapters.elevenlabs_transcription import ElevenLabsTranscriber
from voice.adapters.nats import DialEventReader
from voice.adapters.turn_events import TurnEventReader
from voice.adapters.vendor_sockets import socket_session
from voice.adapters.voice_activity import WebRtcVoiceActivity
from voice.application.live.call_record import CallRecord
from voice.application.live.live_call import LiveCall, Resources
from voice.application.live.live_calls import LiveCalls, StreamId
from voice.application.live.live_speech import LiveSpeech
from voice.application.live.relay_call import RelayCall
from voice.application.live.relay_speaking import RelayRecord
from voice.application.speech.prepared_clips import PreparedClips
from voice.application.speech.synthesis import SpeechSynthesis
from voice.application.speech.turns import TurnPlayer
from voice.application.telephony.attempts import MAX_PENDING_SECONDS
from voice.application.telephony.dial_gate import DialGate
from voice.application.telephony.dialing import Dialing
from voice.application.telephony.handover import Handover
from voice.application.telephony.hangup import HangUp
from voice.application.telephony.messages import Messages
from voice.application.telephony.rate_limiter import DialRateLimiter
from voice.application.telephony.settlement import Settlement
from voice.domain.audio_formats import MuLawCutter
from voice.domain.live.turn_policy import TurnPolicy
from voice.domain.rate_limit import RateLimit
from voice.entrypoints.media import build_routes
from voice.entrypoints.media_stream import MediaStreams, StreamKind
from voice.entrypoints.relay_socket import ConductRelay, RelayPeer
from voice.entrypoints.stream_socket import AudioPeer
from voice.entrypoints.subscribers import subscribe_handlers
from voice.ports import Line, Synthesizer, TextLine
from voice.settings import Settings

logger = structlog.get_logger()


@asynccontextmanager
async def build(settings: Settings, bus: Bus) -> AsyncIterator[ASGIApp]:
    """Adds the subscribers to the broker, and yields the HTTP application: media, metrics, health."""
    await bus.open_keys(settings)
    token = settings.twilio_auth_token.get_secret_value()
    stopping = asyncio.Event()
    provider = _provider("twilio", asyncio.Semaphore(settings.twilio_max_concurrency), settings)
    js = jetstream_of(bus.client, CLIPS.stream.name)
    call_clips = CallClips(bus.client, await js.key_value(CALL_CLIPS.name))
    clips = StoredClips(ObjectStoreClips(bus.client, await js.object_store(CLIPS.name)), call_clips)
    async with (
        running_clock(bus.client) as clock,
        twilio.connect(
            account_sid=settings.twilio_account_sid,
            auth_token=token,
            base_url=str(settings.twilio_base_url),
            number=settings.twilio_phone_number,
            caller_ids=settings.caller_ids,
            callbacks=str(settings.app_base_url),
            provider=provider,
        ) as telephony,
        elevenlabs.connect(
            api_key=settings.elevenlabs_api_key.get_secret_value(), base_url=str(settings.elevenlabs_base_url)
        ) as speech_account,
    ):
        calls, account = bus.log(CALLS, clock.now), _SpeechAccount(speech_account, settings)
        deadline_seconds = settings.speech_deadline_seconds
        synthesis = SpeechSynthesis(account.voices(OUTPUT_FORMAT), clips, calls, deadline_seconds=deadline_seconds)
        live_voices = account.voices(LIVE_OUTPUT_FORMAT)
        live_synthesis = SpeechSynthesis(
            live_voices, clips, calls, deadline_seconds=deadline_seconds, cutter=MuLawCutter
        )
        rate_limit = RateLimit(settings.twilio_calls_per_second, MAX_PENDING_SECONDS)
        rate_limiter = DialRateLimiter(rate_limit, calls, DialEventReader(bus.client, calls))
        turn_filters = LIVE_FILTERS if settings.has_streams else TURN_FILTERS
        turn_events = TurnEventReader(bus.client, calls, turn_filters)
        max_silence_seconds = settings.media_turn_timeout_seconds
        player = TurnPlayer(calls, turn_events, synthesis, max_silence_seconds=max_silence_seconds)
        async with (
            aclosing(PreparedClips(synthesis)) as prepared,
            aclosing(PreparedClips(live_synthesis)) as live_prepared,
            aclosing(Handover(calls, telephony)) as handover,
            run_in_background(rate_limiter.run()),
            run_in_background(turn_events.run()),
            call_clips.follow_calls(),
            _media_streams(settings, bus, calls, turn_events, live_synthesis, account),
        ):
            bus.before_drain.push_async_callback(player.aclose)
            bus.before_drain.callback(stopping.set)
            gate = DialGate(provider.breaker, stopping)
            live_clips = live_prepared if settings.has_streams else None
            dialing = Dialing(calls, telephony, prepared, live_clips=live_clips, gate=gate, rate_limiter=rate_limiter)
            settlement, hangup = Settlement(calls, telephony), HangUp(calls, telephony, telephony)
            messages = Messages(calls, prepared, telephony)
            subscribe_handlers(bus.broker, dialing, settlement, hangup, messages)
            routes = [*build_routes(player, handover, derive_media_key(token)), *operations(bus.client)]
            yield Starlette(routes=routes)


@asynccontextmanager
async def _media_streams(
    settings: Settings,
    bus: Bus,
    calls: EventLog,
    events: TurnEventReader,
    synthesis: SpeechSynthesis,
    account: "_SpeechAccount",
) -> AsyncIterator[None]:
    """Accepts media streams while the block runs, if the installation has a port for them."""
    if not settings.has_streams:
        yield
        return
    token, api_key = settings.twilio_auth_token.get_secret_value(), settings.elevenlabs_api_key.get_secret_value()
    url, capacity = account.socket_url, asyncio.Semaphore(settings.live_max_calls)
    live_calls = LiveCalls(calls, max_calls=settings.live_max_calls, max_lag_seconds=settings.live_max_lag_seconds)
    async with socket_session() as http:
        transcription = _provider("elevenlabs_transcription", capacity, settings)
        transcriber = ElevenLabsTranscriber(http, transcription, api_key=api_key, url=url)
        voice, model = settings.elevenlabs_default_voice, settings.elevenlabs_model_id
        speech = _provider("elevenlabs_speech_stream", capacity, settings)
        streams = ElevenLabsStreams(http, speech, api_key=api_key, url=url, voice=voice, model=model)
        resources = Resources(events, transcriber, TurnPolicy())

        def conduct(stream: StreamId, state: StoredEvent[CallDecision], line: Line, stream_id: str) -> LiveCall:
            call = state.event.call
            live_speech = LiveSpeech(synthesis, streams, language=call.language, voice=call.voice)
            record = CallRecord(calls, stream, state)
            return LiveCall(stream, stream_id, call, line, record, live_speech, WebRtcVoiceActivity(), resources)

        signatures, key = StreamSignatures(token, settings.live_url), derive_media_key(token)
        conduct_relay = _relay_conductor(calls, events, synthesis)
        kinds = [
            StreamKind(
                ConversationMode.LIVE,
                STREAM_PATH,
                lambda stream_socket: AudioPeer(stream_socket, conduct),
                has_pings=False,
            ),
            StreamKind(ConversationMode.RELAY, RELAY_PATH, lambda opened: RelayPeer(opened, conduct_relay)),
        ]
        server = MediaStreams(live_calls, kinds, signatures, key, signature_header=SIGNATURE_HEADER)
        bus.before_drain.push_async_callback(live_calls.drain)
        async with (
            run_in_background(live_calls.run()),
            run_in_background(_drain_at_stop(bus, server, live_calls)),
            server.serve(_stream_listener(settings)) as port,
        ):
            logger.info("media_streams_accepted", port=port)
            yield


def _relay_conductor(calls: EventLog, events: TurnEventReader, synthesis: SpeechSynthesis) -> ConductRelay:
    """Returns what conducts the streams of text. No vendor of ours speaks or transcribes there."""
    speech, policy = RelayRecord(synthesis), TurnPolicy()

    def conduct(stream: StreamId, state: StoredEvent[CallDecision], line: TextLine, stream_id: str) -> RelayCall:
        record = CallRecord(calls, stream, state)
        return RelayCall(stream, stream_id, state.event.call, line, record, speech, events, policy)

    return conduct


def _stream_listener(settings: Settings) -> socket.socket:
    """Returns a listening socket: that of the parent process, if there is one. Replicas then share it."""
    if settings.live_fd is not None:
        return socket.socket(fileno=settings.live_fd)
    return socket.create_server((settings.http_host, settings.live_port or 0), backlog=256)


async def _drain_at_stop(bus: Bus, server: MediaStreams, live_calls: LiveCalls) -> None:
    """Ends live calls as soon as the service must stop: the HTTP server may take seconds to stop."""
    await bus.must_stop.wait()
    await server.stop_accepting()
    await live_calls.drain()
    await asyncio.get_running_loop().create_future()


class _SpeechAccount:
    """The voices of an account, in any format.

    Each voice has its own circuit breaker: one may fail while the other works. They share the account's capacity.
    """

    def __init__(self, account: elevenlabs.Account, settings: Settings) -> None:
        capacity = asyncio.Semaphore(settings.elevenlabs_max_concurrency)
        self._account = account
        self._settings = settings
        self._first = _provider("elevenlabs", capacity, settings)
        has_second = settings.elevenlabs_fallback_voice or settings.elevenlabs_fallback_model_id
        self._second = _provider("elevenlabs_fallback", capacity, settings) if has_second else None

    @property
    def socket_url(self) -> str:
        """The base URL of the vendor's WebSockets."""
        return "ws" + str(self._settings.elevenlabs_base_url).rstrip("/").removeprefix("http")

    def voices(self, output_format: str) -> list[Synthesizer]:
        """Returns the first voice and its fallback, if there is one."""
        voice, model = self._settings.elevenlabs_default_voice, self._settings.elevenlabs_model_id
        voices: list[Synthesizer] = [
            ElevenLabs(self._account, self._first, voice=voice, model=model, output_format=output_format)
        ]
        if self._second is not None:
            other_voice, other_model = (
                self._settings.elevenlabs_fallback_voice,
                self._settings.elevenlabs_fallback_model_id,
            )
            voices.append(
                ElevenLabs(
                    self._account,
                    self._second,
                    voice=other_voice or voice,
                    model=other_model or model,
                    is_only_voice=other_voice is not None,
                    output_format=output_format,
                )
            )
        return voices


def _provider(name: str, capacity: asyncio.Semaphore, settings: Settings) -> Provider:
    return Provider(
        name,
        capacity=capacity,
        max_failures=settings.breaker_failures,
        cooldown_seconds=settings.breaker_cool_down_seconds,
    )
