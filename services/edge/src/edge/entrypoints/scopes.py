"""The scope that each route requires, checked before the request is parsed."""

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.convertors import StringConvertor, register_url_convertor

from edge.application.acts import Acts
from edge.application.errors import MissingScope
from edge.application.keys import Key, Scope
from edge.entrypoints.keys import SECURITY_SCHEMES
from edge.entrypoints.openapi import problems
from edge.metrics import REFUSED

PREFIX = "/api/v1"
CAMPAIGN = "{campaign_id:campaign}"
"""A campaign's id in a path. A path with an impossible id matches no route, so it is neither handled nor audited."""


class _CampaignConvertor(StringConvertor):
    regex = "[A-Za-z0-9_-]{1,100}"


register_url_convertor("campaign", _CampaignConvertor())


class ScopedRoute(APIRoute):
    """A route that requires `scope`."""

    scope: ClassVar[Scope]

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wraps the endpoint with the check (FastAPI's documented extension point)."""
        handle = super().get_route_handler()

        async def check_scope(request: Request) -> Response:
            if self.scope not in key_of(request).scopes:
                REFUSED.labels(reason="missing_scope").inc()
                await self.on_missing_scope(request)
                raise MissingScope(self.scope)
            return await handle(request)

        return check_scope

    async def on_missing_scope(self, request: Request) -> None:
        """Runs before a key without the scope is refused; does nothing by default."""


class ReadRoute(ScopedRoute):
    """A route that only reads."""

    scope = Scope.READ


class CallRoute(ScopedRoute):
    """A route that creates calls or sends text in one."""

    scope = Scope.CALL


class ActRoute(CallRoute):
    """A route that changes the one call or campaign in its path, and requires the scope `call`.

    Such an act is audited under the route's name, also if it is refused for the missing scope.
    """

    async def on_missing_scope(self, request: Request) -> None:
        """Appends the refusal to the audit log."""
        acts: Acts = request.app.state.acts
        reason = str(MissingScope(self.scope))
        [target] = request.path_params.values()
        await acts.record_refusal(key_of(request).name, self.name, str(target), [reason])


class AdminRoute(ScopedRoute):
    """A route that reads the audit log."""

    scope = Scope.ADMIN


def key_of(request: Request) -> Key:
    """Returns the request's API key, which `edge.entrypoints.keys.RequireKey` has set."""
    key: Key = request.state.key
    return key


def create_router(route: type[ScopedRoute], path: str, tag: str) -> APIRouter:
    """Returns a router under ``/api/v1`` whose routes require the scope of `route` and document it in OpenAPI."""
    responses = problems(401, 403, 422, 429, 503)
    responses[403]["description"] = f"The key lacks the scope `{route.scope}`"
    responses[429]["description"] = "Too many requests with this key; Retry-After gives the seconds to wait"
    return APIRouter(
        prefix=PREFIX + path, tags=[tag], dependencies=SECURITY_SCHEMES, route_class=route, responses=responses
    )
