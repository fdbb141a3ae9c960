"""Logging in with an API key or a one-use link, logging out, and the language."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from centralita_console.authentication import (
    MAX_FIELDS,
    NEXT_FIELD,
    PostedForm,
    door_of,
    own_path,
    read_form,
    require_own_page,
)
from centralita_console.rendering import language_of, render
from centralita_console.rest_client import RestClient, RestFailure
from centralita_console.sessions import Session, may_be_key
from centralita_console.translations import LANGUAGES

router = APIRouter()
REFUSED = 401
KEY_FIELD = "api_key"
FORM_FIELD = "form"
KEPT = "kept-"
"""Before the names of the fields of a form that was interrupted, so that none is taken for one of the login."""
MAX_PATH_LENGTH = 2_000
MAX_LINE_LENGTH = 80


@router.get("/login")
async def show_login(
    request: Request,
    token: Annotated[str, Query(max_length=200)] = "",
    next_path: Annotated[str, Query(alias=NEXT_FIELD, max_length=2_000)] = "/",
) -> Response:
    """Shows the form, or logs in with the token of the one-use link."""
    door = door_of(request)
    if door.session_of(request) is not None:
        return RedirectResponse(own_path(next_path), 303)
    if not token:
        return login_page(request, next_path)
    api_key = door.token.redeem(token)
    if api_key is None:
        return login_page(request, next_path, status=REFUSED, is_link_used=True)
    return _begin(request, api_key, next_path)


@router.post("/login")
async def log_in(request: Request) -> Response:
    """Logs in with an API key that the REST API accepts, and continues where the person was going."""
    fields = await read_form(request, MAX_FIELDS + len((KEY_FIELD, NEXT_FIELD, FORM_FIELD)))
    require_own_page(request)
    api_key, next_path = fields.get(KEY_FIELD, "").strip(), fields.get(NEXT_FIELD, "/")
    kept = _kept(fields)
    if not may_be_key(api_key):
        return login_page(request, next_path, status=REFUSED, fields=kept, is_refused=True)
    try:
        await RestClient(door_of(request).http, api_key).get("/campaigns", {"limit": 1})
    except RestFailure as failure:
        if failure.status != REFUSED:
            raise
        return login_page(request, next_path, status=REFUSED, fields=kept, is_refused=True)
    return _begin(request, api_key, next_path, kept)


def _kept(fields: dict[str, str]) -> dict[str, str] | None:
    """Returns the fields of the form that was interrupted; None if there is none."""
    if FORM_FIELD not in fields:
        return None
    return {name.removeprefix(KEPT): value for name, value in fields.items() if name.startswith(KEPT)}


@router.post("/logout")
async def log_out(request: Request, _: PostedForm) -> Response:
    """Ends the session."""
    session: Session = request.state.session
    door_of(request).sessions.end(session)
    response = RedirectResponse("/login", 303)
    door_of(request).remove_cookie(response)
    return response


@router.post("/language")
async def change_language(request: Request, fields: PostedForm) -> Response:
    """Sets the language of the session."""
    session: Session = request.state.session
    if (language := fields.get("language", "")) in LANGUAGES:
        session.language = language
    return RedirectResponse(own_path(fields.get(NEXT_FIELD, "/")), 303)


def login_page(
    request: Request,
    next_path: str,
    *,
    status: int = 200,
    fields: dict[str, str] | None = None,
    is_refused: bool = False,
    is_link_used: bool = False,
) -> Response:
    """Returns the form. `fields`: what was typed in another form, which was interrupted; None: there is none."""
    return render(
        request,
        "login.html",
        status,
        next_path=own_path(next_path),
        is_form=fields is not None,
        kept={KEPT + name: value for name, value in (fields or {}).items()},
        is_refused=is_refused,
        is_link_used=is_link_used,
    )


def resume_page(request: Request, path: str, fields: dict[str, str], status: int = 200) -> Response:
    """Returns a page with what was typed in a form that was interrupted. It is sent after a confirmation only."""
    rows = [(name, value, "\n" in value or len(value) > MAX_LINE_LENGTH) for name, value in fields.items()]
    parent = path.partition("?")[0].rpartition("/")[0]
    return render(request, "resume.html", status, next_path=path, rows=rows, parent=parent)


def path_of(request: Request) -> str:
    """Returns the path of a request with its query, or without one if it is too long to be kept."""
    query = f"?{request.url.query}" if request.url.query else ""
    whole = request.url.path + query
    return own_path(whole if len(whole) <= MAX_PATH_LENGTH else request.url.path[:MAX_PATH_LENGTH])


def current_path(request: Request) -> str:
    """Returns the path of the page that sent a request for a part of it."""
    url = urlsplit(request.headers.get("hx-current-url", ""))
    path = f"{url.path}?{url.query}" if url.query else url.path
    return own_path(path) if path and len(path) <= MAX_PATH_LENGTH else "/"


def _begin(request: Request, api_key: str, next_path: str, fields: dict[str, str] | None = None) -> Response:
    """Begins a session, and ends the one before it. A form that was interrupted is shown, and sent after a click."""
    door, path = door_of(request), own_path(next_path)
    if (before := door.session_of(request)) is not None:
        door.sessions.end(before)
    session = door.sessions.begin(api_key, language_of(request))
    request.state.session = session
    response = RedirectResponse(path, 303) if fields is None else resume_page(request, path, fields)
    door.set_cookie(response, session)
    return response
