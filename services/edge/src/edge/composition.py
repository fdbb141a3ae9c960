"""The edge put together; the only module that names concrete adapters."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp

from chassis.log import Log
from chassis.serve import Bus, operations
from contracts import Service
from contracts.streams import REQUESTS
from edge.adapters.bus import BusFacts, BusRequests, BusStatistics
from edge.adapters.twilio import Twilio
from edge.adapters.voice import VoiceMedia, http_client
from edge.application.calls import Calls
from edge.application.line import Line
from edge.entrypoints.bus import build_router
from edge.entrypoints.http import create_app
from edge.settings import Settings


@asynccontextmanager
async def build(settings: Settings, bus: Bus) -> AsyncIterator[ASGIApp]:
    """The HTTP application, for as long as the service runs, and the same door on the bus."""
    token = settings.twilio_auth_token.get_secret_value()
    facts = BusFacts(bus.client, bus.calls)
    requests = BusRequests(bus.client, Log(bus.client, REQUESTS.name, source=Service.EDGE))
    calls = Calls(facts, requests, BusStatistics(bus.client))
    bus.broker.include_router(build_router(calls))
    async with http_client() as http:
        yield create_app(
            calls,
            Line(facts, VoiceMedia(http, settings.media_url, token)),
            Twilio(token, settings.public_url, settings.media_url),
            keys=[key.get_secret_value() for key in settings.api_keys],
            routes=operations(bus.client),
        )
