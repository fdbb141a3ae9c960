"""Checks of the public address, with requests like Twilio's: webhooks must reach the edge, and media requests voice."""

import base64
import hashlib
import hmac
from typing import Any
from uuid import UUID

import httpx

from chassis.findings import Finding, failed, ok, skipped, warning

AREA = "public address"
TIMEOUT_SECONDS = 15
"""Twilio waits as long for an answer."""
UNKNOWN_CALL_ID = UUID(int=0)
"""No call has this id, so the edge ignores a webhook about it."""
STATUS_PATH = f"/twilio/status/{UNKNOWN_CALL_ID}/0"
MEDIA_PATH = f"/media/{UNKNOWN_CALL_ID}/0/0"


async def check(settings: dict[str, Any]) -> list[Finding]:
    """Sends a webhook about an unknown call, with and without a signature, and a media request without a token."""
    if "edge" not in settings:
        return [skipped(AREA, "webhooks", "the settings of edge are not complete")]
    edge = settings["edge"]
    findings = [] if edge.public_url.startswith("https://") else [_not_public()]
    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as http:
        findings.append(await _webhooks(http, edge.public_url, edge.twilio_auth_token.get_secret_value()))
        findings.append(await _media(http, edge.media_url))
    return findings


def _not_public() -> Finding:
    advice = "correct only with simulators on this machine; for Twilio, set APP_BASE_URL to a public https:// address"
    return warning(AREA, "APP_BASE_URL", "not https://", advice)


async def _webhooks(http: httpx.AsyncClient, base: str, token: str) -> Finding:
    name, url = "webhooks", base + STATUS_PATH
    try:
        unsigned = await http.post(url)
        signed = await http.post(url, headers={"X-Twilio-Signature": signature(token, url)})
    except httpx.HTTPError as error:
        advice = f"check that the name resolves and that the proxy or tunnel forwards to the edge. Requested: {base}"
        return failed(AREA, name, f"no answer ({type(error).__name__})", advice)
    if unsigned.status_code != 403:
        advice = "let the proxy forward everything except /media/* to the edge"
        return failed(AREA, name, f"HTTP {unsigned.status_code}: this is not the edge", advice)
    if signed.status_code == 403:
        advice = "set APP_BASE_URL and TWILIO_AUTH_TOKEN here to the values of the running edge"
        return failed(AREA, name, "the edge answers, but refuses the signature of this environment", advice)
    return ok(AREA, name, "the edge accepts a signed request and refuses an unsigned one")


async def _media(http: httpx.AsyncClient, base: str) -> Finding:
    name = "media"
    try:
        answer = await http.get(base + MEDIA_PATH)
    except httpx.HTTPError as error:
        advice = f"check that the proxy or tunnel forwards /media/* to voice. Requested: {base}"
        return failed(AREA, name, f"no answer ({type(error).__name__})", advice)
    if answer.status_code != 403:
        advice = "let the proxy forward /media/* to voice, or set MEDIA_BASE_URL to voice's own public address"
        return failed(AREA, name, f"HTTP {answer.status_code}: this is not voice", advice)
    return ok(AREA, name, "voice answers, and refuses a request without a token")


def signature(token: str, url: str) -> str:
    """Returns Twilio's signature of a request without fields: HMAC-SHA1 of its URL (Twilio, "Validating requests")."""
    return base64.b64encode(hmac.new(token.encode(), url.encode(), hashlib.sha1).digest()).decode()
