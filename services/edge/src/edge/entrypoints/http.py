"""The FastAPI application: REST API and webhooks."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from ipaddress import IPv4Network, IPv6Network

from fastapi import Depends, FastAPI
from starlette.routing import BaseRoute
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from chassis.body_limit import LimitBody
from edge.application.acts import Acts
from edge.application.archived_calls import ArchivedCalls
from edge.application.calls import Calls
from edge.application.campaigns import Campaigns
from edge.application.contact_import import ContactImports
from edge.application.dead_letters import DeadLetters
from edge.application.dialogue import DialogueService
from edge.application.event_streams import EventStreams
from edge.application.health import HealthChecks
from edge.application.keys import Key
from edge.application.lists import Lists
from edge.application.number_acts import NumberActs
from edge.application.number_search import NumberSearch
from edge.application.person_acts import PersonActs
from edge.application.rate_limit import TokenBuckets
from edge.application.story import Stories
from edge.application.transfers import Transfers
from edge.application.wrong_keys import WrongKeys
from edge.entrypoints import (
    acts,
    admission,
    audit,
    calls,
    campaigns,
    contacts,
    dead_letters,
    do_not_call,
    events,
    health,
    lists,
    openapi,
    outcomes,
    persons,
    problems,
    story,
    webhooks,
)
from edge.entrypoints.body_limit import MAX_BODY_BYTES, MAX_WEBHOOK_BYTES
from edge.entrypoints.keys import RequireKey
from edge.entrypoints.scopes import PREFIX
from edge.entrypoints.value_limit import limit_values
from edge.ports import Audit, Contacts, SlotReader
from telephony.provider import WebhookProvider


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The objects that the routes use, each available as ``app.state.<name>``."""

    calls: Calls
    campaigns: Campaigns
    lists: Lists
    admission: SlotReader
    acts: Acts
    audit: Audit
    dialogue: DialogueService
    transfers: Transfers
    provider: WebhookProvider
    wrong_keys: WrongKeys
    event_streams: EventStreams
    contacts: Contacts
    contact_imports: ContactImports
    number_acts: NumberActs
    person_acts: PersonActs
    stories: Stories
    dead_letters: DeadLetters
    number_search: NumberSearch
    health: HealthChecks
    archived_calls: ArchivedCalls


def create_app(
    dependencies: Dependencies,
    *,
    keys: Sequence[Key],
    buckets: TokenBuckets,
    trusted_proxies: Sequence[IPv4Network | IPv6Network] = (),
    is_document_public: bool = False,
    routes: Sequence[BaseRoute] = (),
) -> FastAPI:
    """Returns the REST API, the webhooks and `routes`. Without keys the REST API is open; `Settings` prevents that.

    The OpenAPI document needs a key, too, unless `is_document_public`. ``request.client`` is the client that a trusted
    proxy names; otherwise it is the other end of the connection.
    """
    app = FastAPI(
        title="Centralita",
        version=version("centralita-edge"),
        description=openapi.DESCRIPTION,
        openapi_url=openapi.PATH,
        # Routes are tried in this order, and most requests are webhooks. An included router would be slower.
        routes=[
            *webhooks.build_router(dependencies.provider, dependencies.dialogue, dependencies.transfers).routes,
            *routes,
        ],
        redirect_slashes=False,
        docs_url=None,  # both pages load scripts from another host
        redoc_url=None,
        # Only the REST API is traced here: a webhook continues the trace of its call.
        telemetry={"exclude": lambda scope: not scope["path"].startswith(PREFIX), "operation_spans": False},
    )
    for field in fields(dependencies):
        setattr(app.state, field.name, getattr(dependencies, field.name))
    # The last one added runs first.
    protected = (PREFIX,) if is_document_public else (PREFIX, openapi.PATH)
    wrong_keys = dependencies.wrong_keys
    app.add_middleware(RequireKey, keys=keys, buckets=buckets, wrong_keys=wrong_keys, prefixes=protected)
    limits = {f"{dependencies.provider.prefix}/.*": MAX_WEBHOOK_BYTES, contacts.IMPORT_PATH: contacts.MAX_IMPORT_BYTES}
    app.add_middleware(LimitBody, limits=limits, default=MAX_BODY_BYTES, answer=problems.problem_of)
    app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=[str(network) for network in trusted_proxies])
    rest = (
        lists.calls_router,
        calls.read_router,
        story.router,
        calls.create_call_router,
        calls.call_router,
        acts.call_router,
        lists.campaigns_router,
        admission.router,
        campaigns.read_router,
        outcomes.campaign_router,
        outcomes.router,
        acts.create_campaign_router,
        acts.campaign_router,
        contacts.read_router,
        do_not_call.read_router,
        do_not_call.act_router,
        persons.router,
        persons.contact_router,
        dead_letters.router,
        dead_letters.act_router,
        health.router,
    )
    for router in (*rest, events.router, audit.router):
        app.include_router(router, dependencies=[Depends(limit_values)])
    app.include_router(contacts.import_router)
    problems.install(app)
    openapi.install(app)
    return app
