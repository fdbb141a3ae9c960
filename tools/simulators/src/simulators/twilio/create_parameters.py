"""The parameters of a create: what Twilio refuses, and what it takes for granted."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import FormData

_E164 = re.compile(r"\+[1-9]\d{6,14}")
_EVENTS = frozenset({"initiated", "ringing", "answered", "completed"})
_MAX_TWIML = 4000
_DEFAULT_TIMEOUT = 60.0
_MAX_TIMEOUT = 600.0


class Refused(Exception):
    """Twilio's 400 with its error code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class CreateParameters:
    """A create that was accepted. Times in seconds; methods are GET or POST."""

    to: str
    from_: str
    url: str | None
    method: str
    twiml: str | None
    fallback_url: str | None
    fallback_method: str
    status_callback: str | None
    status_callback_method: str
    status_callback_events: frozenset[str]
    unknown_events: frozenset[str]
    timeout: float
    time_limit: float
    machine_detection: str | None
    async_amd: bool
    async_amd_status_callback: str | None
    async_amd_status_callback_method: str


def read_create(form: FormData) -> CreateParameters:
    """Read a create's form. Raises Refused: 21201 21211 21213 21212 21205 21609 20001.

    Unknown StatusCallbackEvents are accepted, as Twilio does (with a warning in its debugger).
    """
    given = {key: value for key, value in form.items() if isinstance(value, str) and value}
    events = frozenset(value for value in form.getlist("StatusCallbackEvent") if isinstance(value, str))
    _check_numbers(given)
    _check_urls(given)
    return CreateParameters(
        to=given["To"],
        from_=given["From"],
        url=given.get("Url"),
        method=given.get("Method", "POST"),
        twiml=None if "Url" in given else given.get("Twiml"),
        fallback_url=given.get("FallbackUrl"),
        fallback_method=given.get("FallbackMethod", "POST"),
        status_callback=given.get("StatusCallback"),
        status_callback_method=given.get("StatusCallbackMethod", "POST"),
        status_callback_events=(events & _EVENTS) or frozenset({"completed"}),
        unknown_events=events - _EVENTS,
        timeout=min(_seconds(given, "Timeout", _DEFAULT_TIMEOUT), _MAX_TIMEOUT),
        time_limit=_seconds(given, "TimeLimit", math.inf),
        machine_detection=None if "SendDigits" in given else given.get("MachineDetection"),
        async_amd=given.get("AsyncAmd") == "true",
        async_amd_status_callback=given.get("AsyncAmdStatusCallback"),
        async_amd_status_callback_method=given.get("AsyncAmdStatusCallbackMethod", "POST"),
    )


def is_web_url(url: str) -> bool:
    """Whether this is an absolute http(s) URL with a host."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _check_numbers(given: Mapping[str, str]) -> None:
    if "To" not in given:
        raise Refused(21201, "No 'To' number is specified")
    if not _E164.fullmatch(given["To"]):
        raise Refused(21211, "The 'To' number is not a valid phone number.")
    if "From" not in given:
        raise Refused(21213, "No 'From' number is specified")
    if not _E164.fullmatch(given["From"]):
        raise Refused(21212, "The 'From' number is not a valid phone number or caller ID.")


def _check_urls(given: Mapping[str, str]) -> None:
    if "Url" not in given and "Twiml" not in given:
        raise Refused(21205, "Url parameter is required.")
    if "Url" in given and not is_web_url(given["Url"]):
        raise Refused(21205, "Url is not a valid URL.")
    if len(given.get("Twiml", "")) > _MAX_TWIML:
        raise Refused(20001, f"Twiml must be at most {_MAX_TWIML} characters.")
    for name in ("StatusCallback", "AsyncAmdStatusCallback"):
        if name in given and not is_web_url(given[name]):
            raise Refused(21609, f"The '{name}' URL is not a valid URL.")


def _seconds(given: Mapping[str, str], name: str, default: float) -> float:
    value = given.get(name)
    if value is None:
        return default
    if not value.isdigit():
        raise Refused(20001, f"Invalid parameter '{name}'.")
    return float(value)
