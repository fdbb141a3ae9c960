"""The only module of this service that names its adapters."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from starlette.applications import Starlette
from starlette.types import ASGIApp

from chassis.serve import Bus, operations
from contracts.streams import CLIPS_BUCKET
from voice.adapters import elevenlabs, twilio
from voice.adapters.clips import ObjectStoreClips
from voice.adapters.spoken_facts import LoggedFacts
from voice.application.dialing import Dialing
from voice.application.greetings import Greetings
from voice.application.hangup import HangUp
from voice.application.settlement import Settlement
from voice.application.speech import Speaking
from voice.application.turns import Turns
from voice.entrypoints.media import build_routes
from voice.entrypoints.subscribers import build_router
from voice.settings import Settings


@asynccontextmanager
async def build(settings: Settings, bus: Bus) -> AsyncIterator[ASGIApp]:
    """Puts the subscribers on the broker and gives the HTTP side: media, metrics, health."""
    token = settings.twilio_auth_token.get_secret_value()
    clips = ObjectStoreClips(await bus.client.jetstream().object_store(CLIPS_BUCKET))
    async with (
        twilio.connect(
            account_sid=settings.twilio_account_sid,
            auth_token=token,
            base_url=str(settings.twilio_base_url),
            number=settings.twilio_phone_number,
            callbacks=str(settings.app_base_url),
        ) as telephony,
        elevenlabs.connect(
            api_key=settings.elevenlabs_api_key.get_secret_value(),
            base_url=str(settings.elevenlabs_base_url),
            voice=settings.elevenlabs_default_voice,
            model=settings.elevenlabs_model_id,
            max_concurrency=settings.elevenlabs_max_concurrency,
        ) as speech,
    ):
        speaking = Speaking(speech, clips, bus.calls)
        async with aclosing(Greetings(bus.calls, speaking)) as greetings:
            router = build_router(
                bus.client,
                Dialing(bus.calls, telephony, greetings),
                Settlement(bus.calls, telephony),
                HangUp(bus.calls, telephony, telephony),
                greetings,
            )
            bus.broker.include_router(router)
            turns = Turns(bus.calls, LoggedFacts(bus.client), speaking, patience=settings.media_turn_timeout_seconds)
            yield Starlette(routes=[*build_routes(turns, token), *operations(bus.client)])
