"""The public address, asked as Twilio asks: webhooks must reach the edge, and media voice."""

import base64
import hashlib
import hmac
from typing import Any
from uuid import UUID

import httpx

from centralita.operations.doctor.checks import Finding, failed, ok, skipped, warning

AREA = "public address"
TIMEOUT_SECONDS = 15
"""As long as Twilio waits."""
NOBODY = UUID(int=0)
"""No call has this id: what is said of it is refused."""


async def check(settings: dict[str, Any]) -> list[Finding]:
    """A webhook with and without a signature, about a call that does not exist; and media without a token."""
    if "edge" not in settings:
        return [skipped(AREA, "webhooks", "the settings of edge are not complete")]
    edge = settings["edge"]
    findings = [] if edge.public_url.startswith("https://") else [_not_public()]
    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as http:
        findings.append(await _webhooks(http, edge.public_url, edge.twilio_auth_token.get_secret_value()))
        findings.append(await _media(http, edge.media_url))
    return findings


def _not_public() -> Finding:
    advice = "right only on this machine with simulators; Twilio needs a public https:// address (docs: APP_BASE_URL)"
    return warning(AREA, "APP_BASE_URL", "not https://", advice)


async def _webhooks(http: httpx.AsyncClient, base: str, token: str) -> Finding:
    name, url = "webhooks", f"{base}/twilio/status/{NOBODY}/0"
    try:
        unsigned = await http.post(url)
        signed = await http.post(url, headers={"X-Twilio-Signature": signature(token, url)})
    except httpx.HTTPError as error:
        advice = f"does the name resolve, and does the proxy or tunnel pass on to the edge? Asked: {base}"
        return failed(AREA, name, f"no answer ({type(error).__name__})", advice)
    if unsigned.status_code != 403:
        advice = "the proxy must pass everything but /media/* on to the edge"
        return failed(AREA, name, f"HTTP {unsigned.status_code}: that is not the edge", advice)
    if signed.status_code == 403:
        advice = "the running edge has another APP_BASE_URL or TWILIO_AUTH_TOKEN than this environment: make them equal"
        return failed(AREA, name, "the edge answers, but refuses our signature", advice)
    return ok(AREA, name, "the edge answers, takes our signature and refuses what has none")


async def _media(http: httpx.AsyncClient, base: str) -> Finding:
    name = "media"
    try:
        answer = await http.get(f"{base}/media/{NOBODY}/0/0")
    except httpx.HTTPError as error:
        advice = f"does the proxy or tunnel pass on to voice? Asked: {base}"
        return failed(AREA, name, f"no answer ({type(error).__name__})", advice)
    if answer.status_code != 403:
        advice = "the proxy must pass /media/* on to voice, or MEDIA_BASE_URL be voice's own public address"
        return failed(AREA, name, f"HTTP {answer.status_code}: that is not voice", advice)
    return ok(AREA, name, "voice answers, and refuses what has no token")


def signature(token: str, url: str) -> str:
    """Twilio's of a request without fields: HMAC-SHA1 of its URL (Twilio, "Validating requests")."""
    return base64.b64encode(hmac.new(token.encode(), url.encode(), hashlib.sha1).digest()).decode()
