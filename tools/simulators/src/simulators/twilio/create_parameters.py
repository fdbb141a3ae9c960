"""The parameters of a create request: validation as Twilio does it, and Twilio's defaults."""

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


class RequestRefused(Exception):
    """A request that Twilio answers with 400 and an error code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class CreateParameters:
    """A valid create request. Times are in seconds; methods are GET or POST."""

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
    """Parses the form of a create request. Raises RequestRefused: 21201 21211 21213 21212 21205 21609 20001.

    Unknown StatusCallbackEvents are accepted, as Twilio accepts them (with a warning in its debugger).
    """
    fields = {key: value for key, value in form.items() if isinstance(value, str) and value}
    events = frozenset(value for value in form.getlist("StatusCallbackEvent") if isinstance(value, str))
    _check_numbers(fields)
    _check_urls(fields)
    return CreateParameters(
        to=fields["To"],
        from_=fields["From"],
        url=fields.get("Url"),
        method=fields.get("Method", "POST"),
        twiml=None if "Url" in fields else fields.get("Twiml"),
        fallback_url=fields.get("FallbackUrl"),
        fallback_method=fields.get("FallbackMethod", "POST"),
        status_callback=fields.get("StatusCallback"),
        status_callback_method=fields.get("StatusCallbackMethod", "POST"),
        status_callback_events=(events & _EVENTS) or frozenset({"completed"}),
        unknown_events=events - _EVENTS,
        timeout=min(_seconds(fields, "Timeout", _DEFAULT_TIMEOUT), _MAX_TIMEOUT),
        time_limit=_seconds(fields, "TimeLimit", math.inf),
        machine_detection=None if "SendDigits" in fields else fields.get("MachineDetection"),
        async_amd=fields.get("AsyncAmd") == "true",
        async_amd_status_callback=fields.get("AsyncAmdStatusCallback"),
        async_amd_status_callback_method=fields.get("AsyncAmdStatusCallbackMethod", "POST"),
    )


def is_web_url(url: str) -> bool:
    """Returns whether this is an absolute http(s) URL with a host."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _check_numbers(fields: Mapping[str, str]) -> None:
    if "To" not in fields:
        raise RequestRefused(21201, "No 'To' number is specified")
    if not _E164.fullmatch(fields["To"]):
        raise RequestRefused(21211, "The 'To' number is not a valid phone number.")
    if "From" not in fields:
        raise RequestRefused(21213, "No 'From' number is specified")
    if not _E164.fullmatch(fields["From"]):
        raise RequestRefused(21212, "The 'From' number is not a valid phone number or caller ID.")


def _check_urls(fields: Mapping[str, str]) -> None:
    if "Url" not in fields and "Twiml" not in fields:
        raise RequestRefused(21205, "Url parameter is required.")
    if "Url" in fields and not is_web_url(fields["Url"]):
        raise RequestRefused(21205, "Url is not a valid URL.")
    if len(fields.get("Twiml", "")) > _MAX_TWIML:
        raise RequestRefused(20001, f"Twiml must be at most {_MAX_TWIML} characters.")
    for name in ("StatusCallback", "AsyncAmdStatusCallback"):
        if name in fields and not is_web_url(fields[name]):
            raise RequestRefused(21609, f"The '{name}' URL is not a valid URL.")


def _seconds(fields: Mapping[str, str], name: str, default: float) -> float:
    value = fields.get(name)
    if value is None:
        return default
    if not value.isdigit():
        raise RequestRefused(20001, f"Invalid parameter '{name}'.")
    return float(value)
