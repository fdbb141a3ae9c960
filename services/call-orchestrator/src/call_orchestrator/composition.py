"""The only module of this service that names its adapters."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from math import ceil

from starlette.applications import Starlette
from starlette.types import ASGIApp

from call_orchestrator.adapters.campaigns import JetStreamCampaigns
from call_orchestrator.adapters.jetstream import JetStreamCallLog, JetStreamGreetings, JetStreamTimers
from call_orchestrator.adapters.slots import JetStreamAdmissions, JetStreamQueue
from call_orchestrator.application.admission import Admission
from call_orchestrator.application.call_terms import Policy
from call_orchestrator.application.calls import CallService
from call_orchestrator.application.campaigns import CampaignService
from call_orchestrator.application.grants import Grants
from call_orchestrator.domain.slots import Limits, Slots
from call_orchestrator.entrypoints.subscribers import build_router
from call_orchestrator.settings import Settings
from chassis.background import run_in_background
from chassis.event_log import EventLog
from chassis.leader_retry import REQUEST_TIMEOUT_SECONDS
from chassis.serve import Bus, operations
from contracts import Service
from contracts.streams import QUEUE


def policy(settings: Settings) -> Policy:
    """The defaults and limits, as spans of time."""
    return Policy(
        call_timeout=timedelta(seconds=settings.default_call_timeout),
        max_retries=settings.max_retry_attempts,
        retry_delay=timedelta(minutes=settings.retry_delay_minutes),
        max_talk=timedelta(seconds=settings.max_call_seconds),
        dial_within=timedelta(minutes=settings.dial_within_minutes),
    )


def limits(settings: Settings) -> Limits:
    """How many calls at once. What waits for the account's pace waits here, but for two seconds' worth."""
    return Limits(
        live=settings.max_concurrent_calls or None,
        live_of_campaign=settings.max_concurrent_calls_per_campaign or None,
        on_the_way=max(2, ceil(2 * settings.twilio_calls_per_second)),
    )


@asynccontextmanager
async def build(settings: Settings, bus: Bus) -> AsyncIterator[ASGIApp]:
    """Puts the subscribers on the broker and gives the HTTP side: metrics and health."""
    js = bus.client.jetstream(timeout=REQUEST_TIMEOUT_SECONDS)
    log = JetStreamCallLog(bus.calls)
    queue = JetStreamQueue(bus.client, EventLog(bus.client, QUEUE.name, source=Service.ORCHESTRATOR))
    await queue.restore(bus.calls)
    admissions = JetStreamAdmissions(bus.client, bus.calls)
    campaigns = JetStreamCampaigns(bus.client, bus.calls)
    timers = JetStreamTimers(js, Service.ORCHESTRATOR)
    calls = CallService(log, timers, queue, JetStreamGreetings(bus.calls), policy(settings), now=_now)
    grants, pauses = Grants(calls, log, admissions), CampaignService(campaigns, now=_now)
    bus.broker.include_router(build_router(calls, grants, pauses, bus.client))
    async with run_in_background(Admission(Slots(limits(settings)), log, campaigns, queue, admissions, now=_now).run()):
        yield Starlette(routes=operations(bus.client))


def _now() -> datetime:
    return datetime.now(UTC)
