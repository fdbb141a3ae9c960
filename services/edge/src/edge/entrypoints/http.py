"""The edge's HTTP side as one application."""

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.routing import BaseRoute

from edge.application.calls import Calls
from edge.application.line import Line
from edge.entrypoints import calls as rest
from edge.entrypoints import openapi, problems, webhooks
from edge.entrypoints.keys import RequireKey
from edge.ports import Telephone


def create_app(
    calls: Calls, line: Line, telephone: Telephone, *, keys: Sequence[str], routes: Sequence[BaseRoute] = ()
) -> FastAPI:
    """The REST API, the webhooks and `routes`. Without keys the REST API is open: settings see to it that it is not."""
    app = FastAPI(
        title="Centralita",
        version="1.0.0",
        description=openapi.DESCRIPTION,
        routes=list(routes),
        redirect_slashes=False,
    )
    app.state.calls = calls
    app.state.line = line
    app.state.telephone = telephone
    if keys:
        app.add_middleware(RequireKey, keys=keys, prefix=rest.PREFIX)
    app.include_router(rest.router)
    app.include_router(webhooks.router)
    problems.install(app)
    openapi.install(app)
    return app
