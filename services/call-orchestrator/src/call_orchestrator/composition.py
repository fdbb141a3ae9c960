"""The only module of this service that names its adapters."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from starlette.applications import Starlette
from starlette.types import ASGIApp

from call_orchestrator.adapters.jetstream import JetStreamCallLog, JetStreamGreetings, JetStreamTimers
from call_orchestrator.agreements import Policy
from call_orchestrator.application import CallService
from call_orchestrator.entrypoints.subscribers import build_router
from call_orchestrator.settings import Settings
from chassis.serve import Bus, operations
from contracts import Service


def policy(settings: Settings) -> Policy:
    """The defaults and limits, as spans of time."""
    return Policy(
        call_timeout=timedelta(seconds=settings.default_call_timeout),
        max_retries=settings.max_retry_attempts,
        retry_delay=timedelta(minutes=settings.retry_delay_minutes),
        max_talk=timedelta(seconds=settings.max_call_seconds),
        dial_within=timedelta(minutes=settings.dial_within_minutes),
    )


@asynccontextmanager
async def build(settings: Settings, bus: Bus) -> AsyncIterator[ASGIApp]:
    """Puts the subscribers on the broker and gives the HTTP side: metrics and health."""
    calls = CallService(
        JetStreamCallLog(bus.calls),
        JetStreamTimers(bus.client.jetstream(), Service.ORCHESTRATOR),
        JetStreamGreetings(bus.calls),
        policy(settings),
        now=lambda: datetime.now(UTC),
    )
    bus.broker.include_router(build_router(calls, bus.client))
    yield Starlette(routes=operations(bus.client))
