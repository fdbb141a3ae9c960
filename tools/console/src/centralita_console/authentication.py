"""Who is logged in: the cookie, the session behind it, and the proof that a form was sent by a page of the console."""

import asyncio
import secrets
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

import httpx
from fastapi import Depends, Request, Response

from centralita_console.rest_client import RestClient
from centralita_console.sessions import SESSION_SECONDS, LoginToken, Session, Sessions

CSRF_FIELD = "csrf_token"
NEXT_FIELD = "next"
MAX_FIELDS = 50
FORM_SECONDS = 10


class NotLoggedIn(Exception):
    """The request needs a session, and has none."""


class ForeignForm(Exception):
    """A form did not come from a page of the console."""


class StaleForm(Exception):
    """A form came from a page of the console that belongs to an earlier session. It must be sent again."""


@dataclass(frozen=True, slots=True)
class Door:
    """The sessions, the token of the one-use link, and how the cookie is set."""

    sessions: Sessions
    token: LoginToken
    http: httpx.AsyncClient
    is_secure: bool
    files: httpx.AsyncClient | None = None
    """The connections to the REST API for files; None: as for other requests."""

    @property
    def cookie(self) -> str:
        """The cookie's name. A browser accepts ``__Host-`` only from this host, over TLS."""
        return "__Host-centralita" if self.is_secure else "centralita"

    def set_cookie(self, response: Response, session: Session) -> None:
        """Adds the cookie of a session to a response."""
        response.set_cookie(
            self.cookie,
            session.session_id,
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=self.is_secure,
        )

    def remove_cookie(self, response: Response) -> None:
        """Removes the cookie from the browser."""
        response.delete_cookie(self.cookie, httponly=True, samesite="strict", secure=self.is_secure)

    def session_of(self, request: Request) -> Session | None:
        """Returns the session of a request."""
        return self.sessions.find(request.cookies.get(self.cookie))


def door_of(request: Request) -> Door:
    """Returns the door of the application."""
    door: Door = request.app.state.door
    return door


async def logged_in(request: Request) -> RestClient:
    """Returns the REST API with the key of the person who is logged in. Raises NotLoggedIn."""
    session = require_session(request)
    return RestClient(door_of(request).http, session.api_key, door_of(request).files)


Api = Annotated[RestClient, Depends(logged_in)]


def require_session(request: Request) -> Session:
    """Returns the session of a request, and lets its page use it. Raises NotLoggedIn."""
    session = door_of(request).session_of(request)
    if session is None:
        raise NotLoggedIn("not logged in")
    request.state.session = session
    return session


async def posted_form(request: Request) -> dict[str, str]:
    """Returns the fields of a form that a page of the console sent. Raises ForeignForm, NotLoggedIn and StaleForm.

    What was typed stays with the request, so that the page of an error can keep it.
    """
    fields = await read_form(request)
    require_own_page(request)
    given = fields.pop(CSRF_FIELD, "") or request.headers.get("x-csrf-token", "")
    request.state.typed = dict(fields)
    session = require_session(request)
    if not secrets.compare_digest(given.encode(), session.csrf_token.encode()):
        if given and request.headers.get("sec-fetch-site") == "same-origin":  # no other site can set this header
            raise StaleForm
        raise ForeignForm
    return fields


def typed_in(request: Request) -> dict[str, str] | None:
    """Returns what was typed in the form of a request; None if it is no form."""
    typed: dict[str, str] | None = getattr(request.state, "typed", None)
    return typed


PostedForm = Annotated[dict[str, str], Depends(posted_form)]


async def read_form(request: Request, max_fields: int = MAX_FIELDS) -> dict[str, str]:
    """Returns the fields of a form. Its size was checked (`centralita_console.responses`). Raises ForeignForm."""
    try:
        async with asyncio.timeout(FORM_SECONDS):
            text = (await request.body()).decode()
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=max_fields))
    except (ValueError, TimeoutError):
        raise ForeignForm from None


def require_own_page(request: Request) -> None:
    """Raises ForeignForm if the browser says that a page of another site sent the request.

    Browsers since 2023 send ``Sec-Fetch-Site``. Their ``Origin`` is ``null`` here, because of our Referrer-Policy.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None and origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise ForeignForm
    if site not in (None, "same-origin", "none"):
        raise ForeignForm


def own_path(path: str) -> str:
    """Returns a path of the console to continue at; the first page instead of an address of another site."""
    is_own = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if is_own else "/"
