"""The only module that names concrete adapters."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.types import ASGIApp

from chassis.serve import Bus, operations
from conversation.adapters.openai import openai_model
from conversation.application.turns import Turns
from conversation.entrypoints.subscribers import build_router
from conversation.settings import Settings


@asynccontextmanager
async def build(settings: Settings, bus: Bus) -> AsyncIterator[ASGIApp]:
    """Answers what is heard with OpenAI's model; the HTTP side has the operations' routes only."""
    async with openai_model(
        settings.openai_api_key.get_secret_value(), settings.openai_model, base_url=str(settings.openai_base_url)
    ) as model:
        turns = Turns(bus.calls, model, deadline_seconds=settings.turn_deadline_seconds)
        bus.broker.include_router(build_router(turns, bus.client))
        yield Starlette(routes=operations(bus.client))
