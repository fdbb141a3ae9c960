"""Builds the service. The only module that names concrete adapters."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.applications import Starlette
from starlette.types import ASGIApp

from chassis.bus_clock import running_clock
from chassis.serve import Bus, operations
from chassis.settings import key_bytes
from chassis.stream_api import jetstream_of
from contracts.buckets import ANSWERS
from contracts.streams import CALLS
from conversation.adapters.callback_times import NatsCallbackTimes
from conversation.adapters.http_tools import PROVIDER, http_tools
from conversation.adapters.interruptions import following_interruptions
from conversation.adapters.nats import NatsAnswerCache
from conversation.adapters.openai import OpenAIModel, openai_model
from conversation.adapters.played_replies import following_played_replies
from conversation.adapters.warm_connections import warm_connections
from conversation.application.callbacks import CallbackScheduling
from conversation.application.transfers import TransferTool
from conversation.application.turns import Turns
from conversation.entrypoints.subscribers import subscribe_handlers
from conversation.ports import AnswerCache, ToolExecutor
from conversation.settings import Settings
from providers import Provider


@asynccontextmanager
async def build(settings: Settings, bus: Bus) -> AsyncIterator[ASGIApp]:
    """Subscribes the service to utterances. The HTTP application has the operations routes only."""
    await bus.open_keys(settings)
    async with AsyncExitStack() as stack:
        models = await _models(settings, stack)
        cache = await _answer_cache(settings, bus)
        clock = await stack.enter_async_context(running_clock(bus.client))
        log = bus.log(CALLS, clock.now)
        executors: list[ToolExecutor] = [
            CallbackScheduling(log, NatsCallbackTimes(bus.client)),
            TransferTool(log),
            *await _executors(settings, stack),
        ]
        turns = Turns(log, models, cache, executors, deadline_seconds=settings.turn_deadline_seconds)
        subscribe_handlers(bus.broker, turns)
        await stack.enter_async_context(following_interruptions(bus.client, turns.interrupt))
        await stack.enter_async_context(following_played_replies(bus.client, turns.read_ahead))
        await stack.enter_async_context(warm_connections(bus.client, [model.warm_up for model in models]))
        yield Starlette(routes=operations(bus.client))


async def _models(settings: Settings, stack: AsyncExitStack) -> list[OpenAIModel]:
    """Each model has its own circuit breaker: one may fail while the other works. They share the account's capacity."""
    capacity = asyncio.Semaphore(settings.openai_max_concurrency)
    names = {"openai": settings.openai_model, "openai_fallback": settings.openai_fallback_model}
    key, url = settings.openai_api_key.get_secret_value(), str(settings.openai_base_url)
    models: list[OpenAIModel] = []
    for name, model in names.items():
        if model is not None:
            provider = Provider(
                name,
                capacity=capacity,
                max_failures=settings.breaker_failures,
                cooldown_seconds=settings.breaker_cool_down_seconds,
            )
            models.append(await stack.enter_async_context(openai_model(key, model, provider, base_url=url)))
    return models


async def _executors(settings: Settings, stack: AsyncExitStack) -> list[ToolExecutor]:
    """Returns what executes the functions of campaigns' own systems; nothing without a key to sign with."""
    if settings.tool_signing_key is None:
        return []

    def new_provider() -> Provider:
        return Provider(
            PROVIDER,
            capacity=asyncio.Semaphore(settings.tool_max_concurrency),
            max_failures=settings.breaker_failures,
            cooldown_seconds=settings.breaker_cool_down_seconds,
            has_gauge=False,
        )

    tools = http_tools(
        key_bytes(settings.tool_signing_key), new_provider, permits_loopback=settings.tools_permit_loopback
    )
    return [await stack.enter_async_context(tools)]


async def _answer_cache(settings: Settings, bus: Bus) -> AnswerCache | None:
    if not settings.answer_cache_seconds:
        return None
    bucket = await jetstream_of(bus.client, ANSWERS.stream.name).key_value(ANSWERS.name)
    return NatsAnswerCache(bucket, expiry_seconds=settings.answer_cache_seconds)
