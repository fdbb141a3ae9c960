"""The edge put together; the only module that names concrete adapters."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp

from chassis.event_log import EventLog
from chassis.serve import Bus, operations
from contracts import Service
from contracts.streams import REQUESTS
from edge.adapters.audit import BusAudit
from edge.adapters.bus import BusFacts, BusRequests, BusStatistics
from edge.adapters.voice import VoiceMedia, http_client
from edge.application.acts import Acts
from edge.application.calls import Calls
from edge.application.campaigns import Campaigns
from edge.application.line import Line
from edge.application.rate_limit import Pace
from edge.entrypoints.bus import build_router
from edge.entrypoints.http import Parts, create_app
from edge.settings import Settings
from telephony.twilio import TwilioWebhooks


@asynccontextmanager
async def build(settings: Settings, bus: Bus) -> AsyncIterator[ASGIApp]:
    """The HTTP application, for as long as the service runs, and the same door on the bus."""
    token = settings.twilio_auth_token.get_secret_value()
    facts = BusFacts(bus.client, bus.calls)
    requests = BusRequests(bus.client, EventLog(bus.client, REQUESTS.name, source=Service.EDGE))
    audit = BusAudit(bus.client)
    calls, campaigns = Calls(facts, requests, BusStatistics(bus.client)), Campaigns(facts, requests)
    bus.broker.include_router(build_router(calls))
    async with http_client() as http:
        line = Line(facts, VoiceMedia(http, settings.internal_media_url, token))
        provider = TwilioWebhooks(token, settings.public_url, settings.media_url)
        yield create_app(
            Parts(calls, campaigns, Acts(calls, campaigns, audit), audit, line, provider),
            keys=settings.api_keys,
            pace=Pace(settings.rest_requests_per_second, settings.rest_burst),
            routes=operations(bus.client),
        )
