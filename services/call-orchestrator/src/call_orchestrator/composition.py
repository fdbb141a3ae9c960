"""Builds the service; the only module that names adapters."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from math import ceil

from starlette.applications import Starlette
from starlette.types import ASGIApp

from call_orchestrator.adapters.nats.contact_queue import NatsContactQueue
from call_orchestrator.adapters.nats.contacts import NatsContacts
from call_orchestrator.adapters.nats.dead_letter_keys import NatsDeadLetterKeys
from call_orchestrator.adapters.nats.feeds import NatsFeeds
from call_orchestrator.adapters.nats.personal_messages import NatsPersonalMessages
from call_orchestrator.adapters.nats.queue import NatsQueue
from call_orchestrator.adapters.nats.requests import NatsRequests
from call_orchestrator.adapters.nats.retained_persons import NatsNumberStates
from call_orchestrator.adapters.nats.timers import NatsTimers
from call_orchestrator.application.admission import Admission
from call_orchestrator.application.admission_view import AdmissionView
from call_orchestrator.application.backlog import Backlog
from call_orchestrator.application.call_terms import Policy, disclosed_by, message_disclosed_by
from call_orchestrator.application.callback_times import CallbackTimesService
from call_orchestrator.application.calling_times import CallingTimesService
from call_orchestrator.application.calls import CallService
from call_orchestrator.application.campaigns import CampaignService
from call_orchestrator.application.contacts import ContactTaker
from call_orchestrator.application.do_not_call import DoNotCall
from call_orchestrator.application.effects import Effects
from call_orchestrator.application.erasure import Erasure
from call_orchestrator.application.finished_campaigns import FinishedCampaigns
from call_orchestrator.application.grants import Grants
from call_orchestrator.application.immediate_grants import ImmediateGrants
from call_orchestrator.application.late_calls import LateCalls
from call_orchestrator.application.new_contacts import NewContacts
from call_orchestrator.application.number_claims import NumberClaims
from call_orchestrator.application.numbers import Numbers
from call_orchestrator.application.open_campaigns import OpenCampaigns
from call_orchestrator.application.retention import Retention
from call_orchestrator.application.retention_periods import RetentionPeriods
from call_orchestrator.domain.limits import Limits
from call_orchestrator.domain.slots import Slots
from call_orchestrator.entrypoints.handled import Handled
from call_orchestrator.entrypoints.queries import build_router
from call_orchestrator.entrypoints.subscribers import subscribe_handlers
from call_orchestrator.settings import Settings
from chassis.background import run_in_background
from chassis.bus_clock import running_clock
from chassis.sealed_copies import RequestSealer
from chassis.serve import Bus, operations
from chassis.settings import key_bytes
from contracts import Service
from contracts.named_persons import NamedPersons
from contracts.number_digests import NumberDigests
from contracts.streams import CALLS, CONTACTS, NUMBERS, QUEUE, REQUESTS


def policy(settings: Settings) -> Policy:
    """Returns the defaults and limits as durations."""
    return Policy(
        call_timeout=timedelta(seconds=settings.default_call_timeout),
        max_retries=settings.max_retry_attempts,
        retry_delay=timedelta(minutes=settings.retry_delay_minutes),
        max_talk=timedelta(seconds=settings.max_call_seconds),
        dial_within=timedelta(minutes=settings.dial_within_minutes),
        allowed_countries=settings.callable_countries,
        calling_policy=settings.calling_policy,
        digest_of=NumberDigests(key_bytes(settings.number_digest_key)).of,
        caller_ids=settings.usable_caller_ids,
        disclosure_of=disclosed_by(settings.country_disclosures),
        message_disclosure_of=message_disclosed_by(settings.country_disclosures),
    )


def limits(settings: Settings) -> Limits:
    """Returns the limits of admission. Two seconds' worth of the rate limit may be granted ahead of the dialler."""
    return Limits(
        max_live=settings.max_concurrent_calls or None,
        max_live_per_campaign=settings.max_concurrent_calls_per_campaign or None,
        max_unclaimed=max(2, ceil(2 * settings.twilio_calls_per_second)),
    )


@asynccontextmanager
async def build(settings: Settings, bus: Bus) -> AsyncIterator[ASGIApp]:
    """Subscribes, runs admission and yields the HTTP app with metrics and health. Decides by the server's time."""
    keyring = await bus.open_keys(settings)
    mapping = settings.time_mapping
    async with running_clock(bus.client, mapping) as clock:
        log = bus.log(CALLS, clock.now)
        queue = NatsQueue(bus.client, bus.log(QUEUE, clock.now))
        timers = NatsTimers(bus.client, Service.ORCHESTRATOR, clock.now, mapping)
        requests = NatsRequests(bus.client, bus.log(REQUESTS), log)
        digests = NumberDigests(key_bytes(settings.number_digest_key))
        named = NamedPersons(digests, settings.callable_countries)
        bus.broker.request_sealer = RequestSealer(keyring, named, requests.erase)
        await queue.restore(log, requests)
        slots = Slots(limits(settings))
        terms = policy(settings)
        backlog = Backlog(settings.max_backlog, slots)
        longest_cap = terms.calling_policy.longest_cap if terms.calling_policy else timedelta(0)
        numbers = Numbers(bus.log(NUMBERS, clock.now), digests, longest_cap, lambda: bus.client.stats["reconnects"])
        retention = RetentionPeriods(numbers, log, timedelta(days=settings.retention_days) or None, mapping)
        states = NatsNumberStates(bus.client, bus.log(NUMBERS, clock.now), bus.log(REQUESTS))
        late_calls = LateCalls(log, states)
        claims = NumberClaims(numbers, log, timers, terms.calling_policy, mapping, retention, late_calls)
        open_campaigns = OpenCampaigns(slots, clock.now, mapping)
        immediate_grants = ImmediateGrants(slots, open_campaigns, log, clock.now)
        effects = Effects(timers, queue, claims, immediate_grants)
        calls = CallService(
            log,
            requests,
            effects,
            terms,
            clock.now,
            backlog,
            open_campaigns,
            lambda: bus.client.stats["reconnects"],
            claims,
        )
        campaigns = CampaignService(log, clock.now, settings.usable_caller_ids, settings.callable_countries)
        contacts = NewContacts(log, NatsContacts(bus.log(CONTACTS)), claims, terms, digests, clock.now)
        messages = NatsPersonalMessages(
            bus.client, log, bus.log(REQUESTS), bus.log(CONTACTS), digests, named, requests, keyring
        )
        subscribe_handlers(
            bus.broker,
            calls,
            Grants(calls, log, timers, clock.now, open_campaigns, mapping),
            campaigns,
            contacts,
            DoNotCall(numbers, log, mapping),
            Erasure(log, numbers, messages, keyring, clock.now, mapping),
            FinishedCampaigns(log, timers, clock.now),
            Handled(bus.client, requests, retention),
        )
        view = AdmissionView(slots, open_campaigns, clock.now, dials_per_second=settings.twilio_calls_per_second)
        bus.broker.include_router(
            build_router(CallingTimesService(log, terms, clock.now), CallbackTimesService(log, terms, clock.now), view)
        )
        feeds = NatsFeeds(bus.client, log, mapping)
        contact_queue = NatsContactQueue(bus.client, keyring)
        taker = ContactTaker(log, contact_queue, calls, open_campaigns, slots, terms, clock.now, mapping, retention)

        def note_change() -> None:
            immediate_grants.note_change()
            taker.note_change()

        admission = Admission(
            slots, open_campaigns, log, queue, feeds, clock.now, mapping=mapping, on_change=note_change
        )
        bus.before_drain.push_async_callback(taker.stop)
        copies = NatsDeadLetterKeys(bus.client, keyring, settings.dead_letter_retention_days)
        passes = Retention(states, states, clock.now, mapping, copies)
        async with admission.running(), taker.running(), run_in_background(passes.run()):
            yield Starlette(routes=operations(bus.client))
