"""The application: pages, files, errors that say what to do, and the guards of every request."""

from importlib.metadata import version

import httpx
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException

from centralita_console.authentication import Door, ForeignForm, NotLoggedIn, StaleForm, door_of, typed_in
from centralita_console.browser_streams import SlowBrowsers
from centralita_console.live_views import LiveViews
from centralita_console.pages import (
    audit,
    call,
    call_acts,
    call_change,
    calls,
    campaign_acts,
    campaign_change,
    campaigns,
    contacts,
    contracts,
    dead_letters,
    health,
    log,
    login,
    new_campaign,
    now,
)
from centralita_console.rendering import assets, render
from centralita_console.responses import MAX_BODY_BYTES, Compressed, Guards, too_large
from centralita_console.rest_client import MISSING_SCOPE, TIMEOUT_SECONDS, RestFailure, Unreachable
from centralita_console.sessions import LoginToken, Sessions
from centralita_console.settings import Settings
from centralita_console.uploads import MAX_UPLOADS, RunningUploads, TooManyUploads
from chassis.body_limit import LimitBody

logger = structlog.get_logger()
IMMUTABLE = "public, max-age=31536000, immutable"
ADMIN_PAGES = {"audit", "dead-letters"}
"""The first parts of the paths of pages for which a key needs the scope admin. They say so, and what they show."""
MAX_API_CONNECTIONS = 250
"""Requests and streams of events; the REST API permits 100 streams."""


def api_client(settings: Settings) -> httpx.AsyncClient:
    """Returns the connections to the REST API. They follow no redirect, which could lead a key to another host."""
    limits = httpx.Limits(max_connections=MAX_API_CONNECTIONS)
    return httpx.AsyncClient(base_url=str(settings.api_url).rstrip("/"), timeout=TIMEOUT_SECONDS, limits=limits)


def file_client(settings: Settings) -> httpx.AsyncClient:
    """Returns the connections to the REST API for files: a new one for each (`RestClient.send_file`)."""
    limits = httpx.Limits(max_connections=MAX_UPLOADS, max_keepalive_connections=0)
    return httpx.AsyncClient(base_url=str(settings.api_url).rstrip("/"), timeout=TIMEOUT_SECONDS, limits=limits)


def create_app(settings: Settings, http: httpx.AsyncClient, files: httpx.AsyncClient | None = None) -> FastAPI:
    """Returns the console. `files`: the connections for files, if they differ."""
    app = FastAPI(title="Centralita", version=version("centralita-console"), openapi_url=None, redirect_slashes=False)
    token = settings.console_token.get_secret_value() if settings.console_token else None
    api_key = settings.console_api_key.get_secret_value() if settings.console_api_key else None
    app.state.door = Door(Sessions(), LoginToken(token, api_key), http, settings.is_secure, files)
    app.state.live = LiveViews()
    app.state.slow_browsers = SlowBrowsers()
    app.state.uploads = RunningUploads()
    app.state.trace_url = settings.trace_url
    # The last one added runs first.
    limits = {contacts.UPLOAD_PATH: contacts.MAX_UPLOAD_BYTES}
    app.add_middleware(LimitBody, limits=limits, default=MAX_BODY_BYTES, answer=too_large)
    app.add_middleware(Guards, host_names=settings.host_names)
    for page in (
        *(login, now, calls, call, call_change, call_acts, log),
        *(campaigns, campaign_acts, campaign_change, contacts, new_campaign),
        *(dead_letters, audit, health, contracts),
    ):
        app.include_router(page.router)
    app.add_api_route("/health/live", _live)
    app.add_api_route("/static/{digest}/{name}", _static)
    for kind, handler in {
        NotLoggedIn: _not_logged_in,
        ForeignForm: _foreign_form,
        StaleForm: _stale_form,
        TooManyUploads: _too_many_uploads,
        RestFailure: _rest_failure,
        Unreachable: _unreachable,
        RequestValidationError: _invalid,
        HTTPException: _http_error,
        Exception: _internal_error,
    }.items():
        app.add_exception_handler(kind, handler)  # type: ignore[arg-type]
    return app


async def _live() -> Response:
    return JSONResponse({"status": "live"})


async def _static(digest: str, name: str) -> Response:
    """Returns a file for browsers. Its address has its digest, so it never changes."""
    file, path = assets().get(name, (None, ""))
    if file is None or path != f"/static/{digest}/{name}":
        raise HTTPException(404)
    return Compressed(FileResponse(file, headers={"Cache-Control": IMMUTABLE}))


async def _not_logged_in(request: Request, _: NotLoggedIn) -> Response:
    """Asks for a key, and continues afterwards. What was typed in a form is kept until then."""
    typed, is_part = typed_in(request), "hx-request" in request.headers
    if request.url.path == "/logout":
        return RedirectResponse("/login", 303)
    if typed is not None:
        page = login.login_page(request, login.path_of(request), status=401, fields=typed)
        page.headers.update({"HX-Retarget": "body", "HX-Reswap": "innerHTML"} if is_part else {})
        return page
    if request.method != "GET" and not is_part:
        return login.login_page(request, login.path_of(request), status=401)
    path = login.current_path(request) if is_part else login.path_of(request)
    to_login = str(httpx.URL("/login", params={"next": path} if path != "/" else {}))
    return Response(status_code=401, headers={"HX-Redirect": to_login}) if is_part else RedirectResponse(to_login, 303)


async def _stale_form(request: Request, _: StaleForm) -> Response:
    """Shows what was typed on a page of an earlier session. Nothing is done until it is sent again."""
    return login.resume_page(request, login.path_of(request), typed_in(request) or {}, 409)


async def _foreign_form(request: Request, _: ForeignForm) -> Response:
    logger.warning("foreign_form", path=request.url.path)
    return _problem(request, 403, "foreign_form")


async def _too_many_uploads(request: Request, _: TooManyUploads) -> Response:
    return _problem(request, 429, "too_many_uploads")


async def _rest_failure(request: Request, error: RestFailure) -> Response:
    """Shows what the REST API refused. A key that it does not know any more ends the session."""
    if error.status == 401:
        door = door_of(request)
        if session := door.session_of(request):
            door.sessions.end(session)
        request.state.session = None
        return await _not_logged_in(request, NotLoggedIn())
    page = request.url.path.split("/")[1]
    if error.kind == MISSING_SCOPE and page in ADMIN_PAGES:
        return render(request, "needs_admin.html", 403, page=page, detail=error.detail)
    kinds = {403: "forbidden", 404: "not_found", 409: "conflict", 422: "invalid", 429: "too_many", 503: "unavailable"}
    kind = "unknown_call" if error.kind == "unknown-call" else kinds.get(error.status, "failed")
    status = error.status if kind != "failed" else 502
    return _problem(request, status, kind, detail=error.detail, retry_after=error.retry_after or "")


async def _unreachable(request: Request, error: Unreachable) -> Response:
    logger.warning("api_unreachable", url=error.url, reason=error.reason)
    return _problem(request, 502, "unreachable", detail=error.reason, url=error.url)


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    """Names the wrong parameters. A path with an impossible part is no page."""
    if any(one["loc"][0] == "path" for one in error.errors()):
        return await _http_error(request, HTTPException(404))
    detail = "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors()[:5])
    return _problem(request, 422, "invalid", detail=detail)


async def _http_error(request: Request, error: HTTPException) -> Response:
    kind = "not_found" if error.status_code == 404 else "failed"
    return _problem(request, error.status_code, kind)


async def _internal_error(request: Request, error: Exception) -> Response:
    """Shows no detail: the server logs it."""
    return _problem(request, 500, "failed")


def _problem(
    request: Request, status: int, kind: str, *, detail: str = "", url: str = "", retry_after: str = ""
) -> Response:
    """Returns the page of an error. A request for a part of a page is answered with sentences above that page."""
    is_part = "hx-request" in request.headers
    template = "parts/problem.html" if is_part else "error.html"
    response = render(request, template, status, kind=kind, detail=detail, url=url, retry_after=retry_after)
    # A request may select its own part of the answer, which the sentences are not.
    swap = {"HX-Retarget": "#part-problem", "HX-Reswap": "innerHTML", "HX-Reselect": "[role=alert]"}
    response.headers.update(swap if is_part else {})
    return response
