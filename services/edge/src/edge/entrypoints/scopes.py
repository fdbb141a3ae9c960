"""Which scope a route wants, checked before anything of the request is parsed."""

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.convertors import StringConvertor, register_url_convertor

from edge.application.acts import Acts
from edge.application.errors import MissingScope
from edge.application.keys import Key, Scope
from edge.entrypoints.keys import DOCUMENTED, REFUSED
from edge.entrypoints.openapi import problems

PREFIX = "/api/v1"
CAMPAIGN = "{campaign_id:campaign}"
"""A campaign's id in a path. What cannot be one is no path of ours, so it is neither asked for nor audited."""


class _CampaignConvertor(StringConvertor):
    regex = "[A-Za-z0-9_-]{1,100}"


register_url_convertor("campaign", _CampaignConvertor())


class Scoped(APIRoute):
    """A route that wants `scope`."""

    scope: ClassVar[Scope]

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wraps the endpoint (FastAPI's documented way)."""
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            if self.scope not in key_of(request).scopes:
                REFUSED.labels(reason="missing_scope").inc()
                await self.on_missing(request)
                raise MissingScope(self.scope)
            return await handle(request)

        return checked

    async def on_missing(self, request: Request) -> None:
        """What is to be done before a key without the scope is refused."""


class Reading(Scoped):
    """Looks, and changes nothing."""

    scope = Scope.READ


class Calling(Scoped):
    """Asks for calls, or speaks in one."""

    scope = Scope.CALL


class Acting(Calling):
    """An administrative act on the call or campaign that the path names first; the route's name is the act's.

    A refusal is audited.
    """

    async def on_missing(self, request: Request) -> None:
        """See `Scoped`."""
        acts: Acts = request.app.state.acts
        reason = str(MissingScope(self.scope))
        [target] = request.path_params.values()
        await acts.refused(key_of(request).name, self.name, str(target), [reason])


class Administering(Scoped):
    """For those who may see what others did."""

    scope = Scope.ADMIN


def key_of(request: Request) -> Key:
    """Whose request it is: `edge.entrypoints.keys.RequireKey` has put it there."""
    key: Key = request.state.key
    return key


def router(kind: type[Scoped], path: str, tag: str) -> APIRouter:
    """A router under ``/api/v1`` whose routes want the scope of `kind`, and say so in the OpenAPI document."""
    responses = problems(401, 403, 422, 429, 503)
    responses[403]["description"] = f"The key lacks the scope `{kind.scope}`"
    responses[429]["description"] = "Too many requests with this key; Retry-After says in how many seconds to ask again"
    return APIRouter(prefix=PREFIX + path, tags=[tag], dependencies=DOCUMENTED, route_class=kind, responses=responses)
