"""Pages from templates: Jinja2 with autoescape, and an error for every undefined name."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from centralita_console.campaign_hours import hours_by_days
from centralita_console.sessions import Session
from centralita_console.text_direction import closed
from centralita_console.translations import ENGLISH, LANGUAGES, preferred, translations
from records.masking import mask_numbers

STATIC = Path(__file__).with_name("static")
VENDORED = Path(__file__).with_name("vendored")
MAX_SHOWN_CHARACTERS = 4_000
"""How much of one text a page shows; the rest is in the REST API."""

_TIME = Markup("<time>%sZ</time>")


@cache
def assets() -> Mapping[str, tuple[Path, str]]:
    """Returns the files that browsers load, by name, each with its address, which changes with its content."""
    files = [*STATIC.iterdir(), *(file for file in VENDORED.iterdir() if file.suffix in (".js", ".css"))]
    return {file.name: (file, f"/static/{_digest(file)}/{file.name}") for file in sorted(files)}


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]


def _asset(name: str) -> str:
    return assets()[name][1]


def _instant(value: str | datetime | None) -> Markup | str:
    """Returns an instant in UTC; the script of the console shows it in the browser's time zone.

    Its text is also the form for programs (HTML, "valid global date and time string"): a page may have hundreds.
    """
    if value is None:
        return "–"
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return _TIME % at.astimezone(UTC).isoformat(" ", "seconds")[:19]


def _shown(text: object) -> str:
    """Returns a text with masked numbers, cut after `MAX_SHOWN_CHARACTERS`. Its marks of direction end with it."""
    masked = mask_numbers(str(text))
    return closed(masked if len(masked) <= MAX_SHOWN_CHARACTERS else masked[:MAX_SHOWN_CHARACTERS] + "…")


def _with_code(text: object) -> Markup:
    """Returns a text whose commands, between backquotes, are shown as code."""
    parts = _shown(text).split("`")
    if len(parts) % 2 == 0:  # one of them is no quote
        return escape("`".join(parts))
    return Markup("").join(Markup("<code>%s</code>") % part if n % 2 else part for n, part in enumerate(parts))


def _pretty(document: object) -> str:
    return _shown(json.dumps(document, ensure_ascii=False, indent=2))


def _pretty_whole(document: object) -> str:
    """Returns a document of ours, in which no text comes from a person: neither masked nor cut."""
    return json.dumps(document, ensure_ascii=False, indent=2)


def _span(seconds: float) -> str:
    """Returns a duration for people: ``0.42 s``, ``31 s``, ``5 min 3 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3_600} h {whole // 60 % 60} min"


def _query(parameters: Mapping[str, object], **changes: object) -> str:
    """Returns a query without empty parameters; empty if there is none."""
    given = {name: value for name, value in {**parameters, **changes}.items() if value not in ("", None)}
    return f"?{urlencode(given)}" if given else ""


@cache
def environment(language: str) -> Environment:
    """Returns the templates in a language."""
    made = Environment(
        loader=PackageLoader("centralita_console"),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]
    made.globals |= {"asset": _asset, "languages": LANGUAGES, "query": _query}
    made.filters |= {
        "instant": _instant,
        "shown": _shown,
        "pretty": _pretty,
        "pretty_whole": _pretty_whole,
        "span": _span,
        "hours": hours_by_days,
        "with_code": _with_code,
    }
    return made


def language_of(request: Request) -> str:
    """Returns the language of the session, or else that of the browser."""
    session: Session | None = getattr(request.state, "session", None)
    return session.language if session else preferred(request.headers.get("accept-language", ENGLISH))


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Returns a page. `values` are the names that its template uses."""
    return HTMLResponse(render_text(request, template, **values), status)


def render_text(request: Request, template: str, **values: Any) -> str:
    """Returns the text of a template, for a page or a part of one."""
    language = language_of(request)
    session: Session | None = getattr(request.state, "session", None)
    page = environment(language).get_template(template)
    return page.render(language=language, session=session, path=request.url.path, **values)


def render_shared(language: str, template: str, **values: Any) -> str:
    """Returns a part of a page that is the same for every session: its template knows neither session nor request."""
    return environment(language).get_template(template).render(language=language, **values)
