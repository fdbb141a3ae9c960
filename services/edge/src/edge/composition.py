"""The composition root: the only module of this service that names concrete adapters."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp

from chassis.background import run_in_background
from chassis.serve import Bus, operations
from chassis.settings import key_bytes
from chassis.stream_api import jetstream_of
from contracts.buckets import DIALS
from contracts.number_digests import NumberDigests
from contracts.streams import CALLS, CONTACTS, NUMBERS, REQUESTS
from edge.adapters.archive import NatsArchiveName
from edge.adapters.audit import NatsAudit
from edge.adapters.backlog import NatsBacklog
from edge.adapters.contacts import NatsContacts
from edge.adapters.dead_letters import NatsDeadLetters
from edge.adapters.dials import NatsDialCounter
from edge.adapters.feed import NatsEventFeed
from edge.adapters.nats import NatsCallLog, NatsRequests, NatsStatistics
from edge.adapters.numbers import NatsNumbers
from edge.adapters.persons import NatsPersonalRecords
from edge.adapters.slots import NatsSlots
from edge.adapters.story import NatsCallMessages
from edge.adapters.system_health import NatsInstallation
from edge.adapters.voice import VoiceMedia, http_client
from edge.application.acts import Acts
from edge.application.archived_calls import ArchivedCalls
from edge.application.bulk_retry import BulkRetry
from edge.application.calls import Calls
from edge.application.campaigns import Campaigns
from edge.application.contact_cap import ContactCap
from edge.application.contact_import import ContactImports
from edge.application.dead_letters import DeadLetters
from edge.application.dial_cap import DialCap
from edge.application.dialogue import DialogueService
from edge.application.do_not_call import DoNotCallLists
from edge.application.event_streams import EventStreams
from edge.application.health import HealthChecks
from edge.application.lists import Lists
from edge.application.number_acts import NumberActs
from edge.application.number_import import NumberImports
from edge.application.number_search import NumberSearch
from edge.application.person_acts import PersonActs
from edge.application.persons import Persons
from edge.application.rate_limit import RequestLimit, TokenBuckets
from edge.application.read_costs import ReadCosts
from edge.application.story import Stories
from edge.application.transfers import Transfers
from edge.application.wrong_keys import WrongKeys
from edge.entrypoints.http import Dependencies, create_app
from edge.entrypoints.subscribers import build_router
from edge.settings import Settings
from telephony.media import derive_media_key
from telephony.twilio import TwilioWebhooks


@asynccontextmanager
async def build(settings: Settings, bus: Bus) -> AsyncIterator[ASGIApp]:
    """Yields the HTTP application and subscribes to requests over NATS."""
    keyring = await bus.open_keys(settings)
    token = settings.twilio_auth_token.get_secret_value()
    events = bus.log(CALLS)
    log = NatsCallLog(bus.client, events)
    requests = NatsRequests(bus.client, bus.log(REQUESTS), NumberDigests(key_bytes(settings.number_digest_key)))
    audit = NatsAudit(bus.client)
    statistics = NatsStatistics(bus.client)
    backlog = NatsBacklog(bus.client, settings.max_backlog)
    calls, campaigns = Calls(log, requests, statistics, backlog), Campaigns(log, requests)
    bus.broker.include_router(build_router(calls))
    wrong_keys = WrongKeys(audit)
    counter = NatsDialCounter(bus.client, await jetstream_of(bus.client, DIALS.stream.name).key_value(DIALS.name))
    dial_cap = DialCap(
        counter,
        max_dials=settings.max_dials_per_key_per_day,
        default_retries=settings.max_retry_attempts,
    )
    contact_cap = ContactCap(counter, max_contacts=settings.max_contacts_per_key_per_day)
    buckets = TokenBuckets(RequestLimit(settings.rest_requests_per_second, settings.rest_burst))
    acts = Acts(calls, campaigns, BulkRetry(requests, statistics, backlog), audit, dial_cap, ReadCosts(buckets))
    feed = NatsEventFeed(bus.client, events)
    contacts = NatsContacts(bus.client, bus.log(CONTACTS), keyring)
    digests = NumberDigests(key_bytes(settings.number_digest_key))
    numbers = NatsNumbers(bus.client, bus.log(NUMBERS))
    do_not_call = DoNotCallLists(numbers, campaigns, requests, digests)
    records = NatsPersonalRecords(bus.client, events, bus.log(CONTACTS), digests)
    lists = Lists(statistics)
    persons = Persons(log, calls, records, numbers, requests, statistics, digests)
    bus.before_drain.push_async_callback(feed.close)
    async with (
        http_client() as http,
        run_in_background(wrong_keys.run()),
        run_in_background(_end_streams(feed, bus.must_stop)),
    ):
        speech = VoiceMedia(http, settings.internal_media_url, derive_media_key(token))
        dialogue = DialogueService(
            log,
            speech,
            has_streams=bool(settings.live_url),
            max_transfer_seconds=settings.max_transfer_seconds,
        )
        provider = TwilioWebhooks(token, settings.public_url, settings.media_url, settings.live_url)
        yield create_app(
            Dependencies(
                calls,
                campaigns,
                lists,
                NatsSlots(bus.client),
                acts,
                audit,
                dialogue,
                Transfers(log),
                provider,
                wrong_keys,
                EventStreams(feed, acts),
                contacts,
                ContactImports(contacts, campaigns, digests, contact_cap),
                NumberActs(do_not_call, NumberImports(numbers, requests, digests), audit, contact_cap),
                PersonActs(persons, audit),
                Stories(NatsCallMessages(bus.client, keyring), acts),
                DeadLetters(NatsDeadLetters(bus.client), audit),
                NumberSearch(lists, digests, audit),
                HealthChecks(NatsInstallation(bus.client)),
                ArchivedCalls(NatsArchiveName(bus.client)),
            ),
            keys=settings.api_keys,
            buckets=buckets,
            trusted_proxies=settings.trusted_proxies,
            is_document_public=settings.embedded_run,
            routes=operations(bus.client),
        )
    await requests.stop()
    await wrong_keys.flush()


async def _end_streams(feed: NatsEventFeed, must_stop: asyncio.Event) -> None:
    """Ends the streams of events when the service must stop: the HTTP server waits for them."""
    try:
        await must_stop.wait()
    finally:
        await feed.close()
