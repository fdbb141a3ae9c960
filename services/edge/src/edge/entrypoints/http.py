"""The edge's HTTP side as one application."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from fastapi import FastAPI
from starlette.routing import BaseRoute

from edge.application.acts import Acts
from edge.application.calls import Calls
from edge.application.campaigns import Campaigns
from edge.application.keys import Key
from edge.application.line import Line
from edge.application.rate_limit import Buckets, Pace
from edge.entrypoints import acts, audit, calls, campaigns, openapi, problems, webhooks
from edge.entrypoints.keys import RequireKey
from edge.entrypoints.scopes import PREFIX
from edge.ports import Audit
from telephony.provider import WebhookProvider


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes work with."""

    calls: Calls
    campaigns: Campaigns
    acts: Acts
    audit: Audit
    line: Line
    provider: WebhookProvider


def create_app(parts: Parts, *, keys: Sequence[Key], pace: Pace, routes: Sequence[BaseRoute] = ()) -> FastAPI:
    """The REST API, the webhooks and `routes`. Without keys the REST API is open: settings see to it that it is not."""
    app = FastAPI(
        title="Centralita",
        version="1.0.0",
        description=openapi.DESCRIPTION,
        routes=list(routes),
        redirect_slashes=False,
        # Of the REST API only: scrapes are no news, and a webhook's trace is that of its call.
        telemetry={"exclude": lambda scope: not scope["path"].startswith(PREFIX), "operation_spans": False},
    )
    for part in fields(parts):
        setattr(app.state, part.name, getattr(parts, part.name))
    app.add_middleware(RequireKey, keys=keys, buckets=Buckets(pace), prefix=PREFIX)
    rest = (calls.reading, calls.calling, acts.acts, campaigns.reading, acts.on_campaigns, audit.audit)
    for router in (*rest, webhooks.build_router(parts.provider, parts.line)):
        app.include_router(router)
    problems.install(app)
    openapi.install(app)
    return app
