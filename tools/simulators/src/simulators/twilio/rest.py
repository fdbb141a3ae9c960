"""Twilio's REST API for calls: create, fetch, update, list, and the account; errors in Twilio's form."""

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Sequence

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulators.twilio.account import Exchange
from simulators.twilio.call import API_VERSION, Call
from simulators.twilio.create_parameters import Refused, is_web_url
from simulators.twilio.resources import account_document, call_document, page_document
from simulators.vendor_errors import twilio_error

Endpoint = Callable[[Request], Awaitable[Response]]
_MAX_PAGE_SIZE = 1000


class RestApi:
    """The routes of one account."""

    def __init__(self, exchange: Exchange, auth_token: str) -> None:
        self._exchange = exchange
        self._credentials = f"{exchange.account_sid}:{auth_token}".encode()

    def routes(self) -> list[Route]:
        """The routes under the API's version."""
        account = f"/{API_VERSION}/Accounts/{{account_sid}}"
        return [
            Route(f"{account}.json", self._guarded(self.account), methods=["GET"]),
            Route(f"{account}/Calls.json", self._guarded(self.list), methods=["GET"]),
            Route(f"{account}/Calls.json", self._guarded(self.create), methods=["POST"]),
            Route(f"{account}/Calls/{{sid}}.json", self._guarded(self.fetch), methods=["GET"]),
            Route(f"{account}/Calls/{{sid}}.json", self._guarded(self.update), methods=["POST"]),
        ]

    async def account(self, request: Request) -> Response:
        """GET /Accounts/{Sid}.json."""
        return JSONResponse(account_document(self._exchange.account_sid))

    async def create(self, request: Request) -> Response:
        """POST /Accounts/{AccountSid}/Calls.json: 201, or 400 with the reason's code."""
        async with request.form() as form:
            call = self._exchange.dial(form)
        return JSONResponse(call_document(call), status_code=201)

    async def fetch(self, request: Request) -> Response:
        """GET /Accounts/{AccountSid}/Calls/{Sid}.json."""
        return JSONResponse(call_document(self._call(request)))

    async def update(self, request: Request) -> Response:
        """POST /Accounts/{AccountSid}/Calls/{Sid}.json: Status hangs up, Url or Twiml redirects."""
        call = self._call(request)
        async with request.form() as form:
            await self._update(call, form)
        return JSONResponse(call_document(call))

    async def list(self, request: Request) -> Response:
        """GET /Accounts/{AccountSid}/Calls.json, filtered, the newest first, in pages."""
        given = [item for item in request.query_params.multi_items() if item[0] not in ("Page", "PageSize")]
        page_size = _number(request, "PageSize", 50, least=1, most=_MAX_PAGE_SIZE)
        page = _number(request, "Page", 0, least=0, most=1_000_000)
        matching = [call for call in self._exchange.calls if _matches(call, given)]
        return JSONResponse(
            page_document(self._exchange.account_sid, matching, page=page, page_size=page_size, filters=given)
        )

    async def _update(self, call: Call, form: FormData) -> None:
        status, url, twiml = (str(form.get(name, "")) for name in ("Status", "Url", "Twiml"))
        if status in ("completed", "canceled"):
            await self._exchange.hang_up(call, status)
        elif status:
            raise Refused(20001, "Invalid parameter 'Status'.")
        elif url and not is_web_url(url):
            raise Refused(21205, "Url is not a valid URL.")
        elif url or twiml:
            await self._exchange.redirect(call, url or None, str(form.get("Method", "POST")), twiml)

    def _call(self, request: Request) -> Call:
        call = self._exchange.find(request.path_params["sid"])
        if call is None:
            raise HTTPException(404)
        return call

    def _guarded(self, endpoint: Endpoint) -> Endpoint:
        async def guarded(request: Request) -> Response:
            if not self._is_authentic(request):
                return JSONResponse(twilio_error(401), 401, {"WWW-Authenticate": 'Basic realm="Twilio API"'})
            if request.path_params["account_sid"] != self._exchange.account_sid:
                raise HTTPException(404)
            try:
                return await endpoint(request)
            except Refused as refused:
                return JSONResponse(twilio_error(400, refused.code, str(refused)), 400)

        return guarded

    def _is_authentic(self, request: Request) -> bool:
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        try:
            given = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(given, self._credentials)


async def not_found(request: Request, error: Exception) -> Response:
    """Twilio's answer for what does not exist."""
    message = f"The requested resource {request.url.path} was not found"
    return JSONResponse(twilio_error(404, message=message), 404)


def _number(request: Request, name: str, default: int, *, least: int, most: int) -> int:
    value = request.query_params.get(name, "")
    return max(least, min(most, int(value))) if value.isdigit() else default


def _matches(call: Call, filters: Sequence[tuple[str, str]]) -> bool:
    return all(_matches_one(call, name, value) for name, value in filters)


def _matches_one(call: Call, name: str, value: str) -> bool:
    """Times are compared by the day; a call that has none yet is never within one."""
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
