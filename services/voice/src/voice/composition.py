"""The composition root: the only module of this service that names concrete adapters."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from starlette.applications import Starlette
from starlette.types import ASGIApp

from chassis.background import run_in_background
from chassis.bus_clock import running_clock
from chassis.serve import Bus, operations
from contracts.buckets import CALL_CLIPS, CLIPS
from contracts.streams import CALLS
from providers import Provider
from telephony.media import derive_media_key
from voice.adapters import elevenlabs, twilio
from voice.adapters.call_clips import CallClips
from voice.adapters.clips import ObjectStoreClips, StoredClips
from voice.adapters.elevenlabs import ElevenLabs
from voice.adapters.nats import DialEventReader
from voice.adapters.turn_events import TurnEventReader
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
from voice.domain.rate_limit import RateLimit
from voice.entrypoints.media import build_routes
from voice.entrypoints.subscribers import subscribe_handlers
from voice.ports import Synthesizer
from voice.settings import Settings


@asynccontextmanager
async def build(settings: Settings, bus: Bus) -> AsyncIterator[ASGIApp]:
    """Adds the subscribers to the broker, and yields the HTTP application: media, metrics, health."""
    await bus.open_keys(settings)
    token = settings.twilio_auth_token.get_secret_value()
    stopping = asyncio.Event()
    provider = _provider("twilio", asyncio.Semaphore(settings.twilio_max_concurrency), settings)
    js = bus.client.jetstream()
    call_clips = CallClips(bus.client, await js.key_value(CALL_CLIPS.name))
    clips = StoredClips(ObjectStoreClips(await js.object_store(CLIPS.name)), call_clips)
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
        calls, voices = bus.log(CALLS, clock.now), _voices(speech_account, settings)
        synthesis = SpeechSynthesis(voices, clips, calls, deadline_seconds=settings.speech_deadline_seconds)
        rate_limit = RateLimit(settings.twilio_calls_per_second, MAX_PENDING_SECONDS)
        rate_limiter = DialRateLimiter(rate_limit, calls, DialEventReader(bus.client, calls))
        turn_events = TurnEventReader(bus.client, calls)
        max_silence_seconds = settings.media_turn_timeout_seconds
        player = TurnPlayer(calls, turn_events, synthesis, max_silence_seconds=max_silence_seconds)
        async with (
            aclosing(PreparedClips(synthesis)) as prepared,
            aclosing(Handover(calls, telephony)) as handover,
            run_in_background(rate_limiter.run()),
            run_in_background(turn_events.run()),
            call_clips.follow_calls(),
        ):
            bus.before_drain.push_async_callback(player.aclose)
            bus.before_drain.callback(stopping.set)
            gate = DialGate(provider.breaker, stopping)
            dialing = Dialing(calls, telephony, prepared, gate=gate, rate_limiter=rate_limiter)
            settlement, hangup = Settlement(calls, telephony), HangUp(calls, telephony, telephony)
            messages = Messages(calls, prepared, telephony)
            subscribe_handlers(bus.broker, dialing, settlement, hangup, messages)
            routes = [*build_routes(player, handover, derive_media_key(token)), *operations(bus.client)]
            yield Starlette(routes=routes)


def _voices(account: elevenlabs.Account, settings: Settings) -> list[Synthesizer]:
    """Each voice has its own circuit breaker: one may fail while the other works. They share the account's capacity."""
    capacity = asyncio.Semaphore(settings.elevenlabs_max_concurrency)
    voice, model = settings.elevenlabs_default_voice, settings.elevenlabs_model_id
    first = _provider("elevenlabs", capacity, settings)
    voices: list[Synthesizer] = [ElevenLabs(account, first, voice=voice, model=model)]
    other_voice, other_model = settings.elevenlabs_fallback_voice, settings.elevenlabs_fallback_model_id
    if other_voice or other_model:
        second = _provider("elevenlabs_fallback", capacity, settings)
        is_only_voice = other_voice is not None
        voices.append(
            ElevenLabs(
                account, second, voice=other_voice or voice, model=other_model or model, is_only_voice=is_only_voice
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
