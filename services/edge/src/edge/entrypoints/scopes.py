"""The scope that each route requires, and the campaigns of the key, both checked before the request is parsed."""

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.convertors import StringConvertor, register_url_convertor

from contracts import call_id_of
from edge.application.acts import Acts
from edge.application.calls import Calls
from edge.application.errors import (
    CampaignNotAllowed,
    ContactCapReached,
    DailyCapReached,
    MissingScope,
    UnknownCall,
    UnknownCampaign,
)
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

        async def check(request: Request) -> Response:
            try:
                if self.scope not in key_of(request).scopes:
                    raise MissingScope(self.scope)
                await self.check_campaign(request)
            except (MissingScope, CampaignNotAllowed, UnknownCall, UnknownCampaign) as error:
                reason = "missing_scope" if isinstance(error, MissingScope) else "other_campaign"
                REFUSED.labels(reason=reason).inc()
                await self.on_refusal(request, str(error))
                raise
            try:
                return await handle(request)
            except (CampaignNotAllowed, DailyCapReached, ContactCapReached) as error:
                reason = "other_campaign" if isinstance(error, CampaignNotAllowed) else "daily_cap"
                REFUSED.labels(reason=reason).inc()
                raise

        return check

    async def check_campaign(self, request: Request) -> None:
        """Raises an error if the key is limited to campaigns, and the request is not about one of them.

        A call of another campaign is answered like an unknown id, so the key learns nothing about it.
        """
        key, path = key_of(request), request.path_params
        if key.campaigns is None:
            return
        if "call_id" in path or "request_id" in path:
            calls: Calls = request.app.state.calls
            call_id = path["call_id"] if "call_id" in path else call_id_of(path["request_id"])
            if not key.may_reach(await calls.campaign_of(call_id)):
                raise UnknownCall(call_id)
            return
        named = [path["campaign_id"]] if "campaign_id" in path else request.query_params.getlist("campaign_id")
        if not named:
            raise CampaignNotAllowed(key)
        for campaign_id in named:
            if not key.may_reach(campaign_id):
                raise UnknownCampaign(campaign_id)

    async def on_refusal(self, request: Request, reason: str) -> None:
        """Runs before a key is refused; does nothing by default."""


class ReadRoute(ScopedRoute):
    """A route that only reads."""

    scope = Scope.READ


class CampaignListRoute(ReadRoute):
    """A route that lists campaigns: of a key that is limited to campaigns, only these."""

    async def check_campaign(self, request: Request) -> None:
        """Does nothing: the endpoint asks for the campaigns of the key."""


class CallRoute(ScopedRoute):
    """A route that sends text in a call."""

    scope = Scope.CALL


class CreateRoute(CallRoute):
    """A route that creates a call or a campaign. `edge.application.acts.Acts` checks the campaign in the body."""

    async def check_campaign(self, request: Request) -> None:
        """Does nothing."""


class ActRoute(CallRoute):
    """A route that changes the one call or campaign in its path, and requires the scope `call`.

    Such an act is audited under the route's name, also if it is refused because of its key.
    """

    async def on_refusal(self, request: Request, reason: str) -> None:
        """Appends the refusal to the audit log."""
        await _record_refusal(self.name, request, reason)


class AdminRoute(ScopedRoute):
    """A route that reads the audit log or dead letters, or that concerns all data of a person."""

    scope = Scope.ADMIN


class AdminActRoute(AdminRoute):
    """A route that acts on the target in its path. Such an act is audited, also if it is refused because of its key."""

    async def on_refusal(self, request: Request, reason: str) -> None:
        """Appends the refusal to the audit log."""
        await _record_refusal(self.name, request, reason)


async def _record_refusal(act: str, request: Request, reason: str) -> None:
    acts: Acts = request.app.state.acts
    [target] = request.path_params.values()
    await acts.record_refusal(key_of(request).name, act, str(target), [reason])


def key_of(request: Request) -> Key:
    """Returns the request's API key, which `edge.entrypoints.keys.RequireKey` has set."""
    key: Key = request.state.key
    return key


def create_router(route: type[ScopedRoute], path: str, tag: str) -> APIRouter:
    """Returns a router under ``/api/v1`` whose routes require the scope of `route` and document it in OpenAPI."""
    responses = problems(400, 401, 403, 408, 413, 422, 429, 503)
    responses[400]["description"] = "The body cannot be parsed"
    responses[403]["description"] = f"The key lacks the scope `{route.scope}`, or is limited to other campaigns"
    responses[408]["description"] = "The body arrives too slowly"
    responses[429]["description"] = (
        "Too many requests or dials with this key, wrong keys from this address, or MAX_BACKLOG is reached; "
        "Retry-After: the seconds to wait"
    )
    return APIRouter(
        prefix=PREFIX + path, tags=[tag], dependencies=SECURITY_SCHEMES, route_class=route, responses=responses
    )
