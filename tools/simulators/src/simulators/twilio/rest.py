"""Twilio's REST API for calls (create, fetch, update, list) and the account, with Twilio's error documents."""

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Sequence

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulators.twilio.account import Account
from simulators.twilio.call import API_VERSION, Call
from simulators.twilio.create_parameters import RequestRefused, is_web_url
from simulators.twilio.resources import account_resource, call_page, call_resource
from simulators.vendor_errors import twilio_error

Endpoint = Callable[[Request], Awaitable[Response]]
_MAX_PAGE_SIZE = 1000


class RestApi:
    """The REST routes of one account."""

    def __init__(self, account: Account, auth_token: str) -> None:
        self._account = account
        self._credentials = f"{account.account_sid}:{auth_token}".encode()

    def routes(self) -> list[Route]:
        """Returns the routes below the API's version."""
        prefix = f"/{API_VERSION}/Accounts/{{account_sid}}"
        return [
            Route(f"{prefix}.json", self._authenticated(self.account), methods=["GET"]),
            Route(f"{prefix}/Calls.json", self._authenticated(self.list), methods=["GET"]),
            Route(f"{prefix}/Calls.json", self._authenticated(self.create), methods=["POST"]),
            Route(f"{prefix}/Calls/{{sid}}.json", self._authenticated(self.fetch), methods=["GET"]),
            Route(f"{prefix}/Calls/{{sid}}.json", self._authenticated(self.update), methods=["POST"]),
        ]

    async def account(self, request: Request) -> Response:
        """GET /Accounts/{Sid}.json."""
        return JSONResponse(account_resource(self._account.account_sid))

    async def create(self, request: Request) -> Response:
        """POST /Accounts/{AccountSid}/Calls.json: 201, or 400 with an error code."""
        async with request.form() as form:
            call = self._account.create_call(form)
        return JSONResponse(call_resource(call), status_code=201)

    async def fetch(self, request: Request) -> Response:
        """GET /Accounts/{AccountSid}/Calls/{Sid}.json."""
        return JSONResponse(call_resource(self._find_call(request)))

    async def update(self, request: Request) -> Response:
        """POST /Accounts/{AccountSid}/Calls/{Sid}.json: Status ends the call, Url or Twiml redirects it."""
        call = self._find_call(request)
        async with request.form() as form:
            await self._update(call, form)
        return JSONResponse(call_resource(call))

    async def list(self, request: Request) -> Response:
        """GET /Accounts/{AccountSid}/Calls.json, filtered, newest first, in pages."""
        filters = [item for item in request.query_params.multi_items() if item[0] not in ("Page", "PageSize")]
        page_size = _number(request, "PageSize", 50, minimum=1, maximum=_MAX_PAGE_SIZE)
        page = _number(request, "Page", 0, minimum=0, maximum=1_000_000)
        matching = [call for call in self._account.calls if _matches(call, filters)]
        return JSONResponse(
            call_page(self._account.account_sid, matching, page=page, page_size=page_size, filters=filters)
        )

    async def _update(self, call: Call, form: FormData) -> None:
        status, url, twiml = (str(form.get(name, "")) for name in ("Status", "Url", "Twiml"))
        if status in ("completed", "canceled"):
            await self._account.hang_up(call, status)
        elif status:
            raise RequestRefused(20001, "Invalid parameter 'Status'.")
        elif url and not is_web_url(url):
            raise RequestRefused(21205, "Url is not a valid URL.")
        elif url or twiml:
            await self._account.redirect(call, url or None, str(form.get("Method", "POST")), twiml)

    def _find_call(self, request: Request) -> Call:
        call = self._account.find_call(request.path_params["sid"])
        if call is None:
            raise HTTPException(404)
        return call

    def _authenticated(self, endpoint: Endpoint) -> Endpoint:
        async def authenticated(request: Request) -> Response:
            if not self._is_authentic(request):
                return JSONResponse(twilio_error(401), 401, {"WWW-Authenticate": 'Basic realm="Twilio API"'})
            if request.path_params["account_sid"] != self._account.account_sid:
                raise HTTPException(404)
            try:
                return await endpoint(request)
            except RequestRefused as refused:
                return JSONResponse(twilio_error(400, refused.code, str(refused)), 400)

        return authenticated

    def _is_authentic(self, request: Request) -> bool:
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        try:
            credentials = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(credentials, self._credentials)


async def not_found(request: Request, error: Exception) -> Response:
    """Answers 404 with Twilio's error document."""
    message = f"The requested resource {request.url.path} was not found"
    return JSONResponse(twilio_error(404, message=message), 404)


def _number(request: Request, name: str, default: int, *, minimum: int, maximum: int) -> int:
    value = request.query_params.get(name, "")
    return max(minimum, min(maximum, int(value))) if value.isdigit() else default


def _matches(call: Call, filters: Sequence[tuple[str, str]]) -> bool:
    return all(_matches_one(call, name, value) for name, value in filters)


def _matches_one(call: Call, name: str, value: str) -> bool:
    """Returns whether the call matches one filter.

    Times are compared by day, as Twilio does. A call without the time matches no range.
    """
    match name:
        case "To":
            return call.entry.to == value
        case "From":
            return call.entry.from_ == value
        case "Status":
            return call.entry.status == value
    instant = call.started_at if name.startswith("StartTime") else call.ended_at
    if not name.startswith(("StartTime", "EndTime")):
        return True
    if instant is None:
        return False
    day, bound = instant.date().isoformat(), value[:10]
    return day < bound if name.endswith("<") else day >= bound if name.endswith(">") else day == bound
