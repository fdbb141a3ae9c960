"""Logging in with an API key or a one-use link, logging out, and the language."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from centralita_console.authentication import (
    CSRF_FIELD,
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
    fields = await read_form(request)
    require_own_page(request)
    api_key, next_path = fields.pop(KEY_FIELD, "").strip(), fields.pop(NEXT_FIELD, "/")
    fields.pop(CSRF_FIELD, None)
    if not may_be_key(api_key):
        return login_page(request, next_path, status=REFUSED, fields=fields, is_refused=True)
    try:
        await RestClient(door_of(request).http, api_key).get("/campaigns", {"limit": 1})
    except RestFailure as failure:
        if failure.status != REFUSED:
            raise
        return login_page(request, next_path, status=REFUSED, fields=fields, is_refused=True)
    return _begin(request, api_key, next_path, fields)


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
    """Returns the form. `fields`: what was typed in another form before its session ended; they are sent again."""
    return render(
        request,
        "login.html",
        status,
        next_path=own_path(next_path),
        fields=fields or {},
        is_refused=is_refused,
        is_link_used=is_link_used,
    )


def _begin(request: Request, api_key: str, next_path: str, fields: dict[str, str] | None = None) -> Response:
    """Begins a session. Fields of a form that was interrupted are shown, and sent after a confirmation."""
    door, path = door_of(request), own_path(next_path)
    session = door.sessions.begin(api_key, language_of(request))
    request.state.session = session
    response: Response = RedirectResponse(path, 303)
    if fields:
        response = render(request, "resume.html", next_path=path, fields=fields)
    door.set_cookie(response, session)
    return response
