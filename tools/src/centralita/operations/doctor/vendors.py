"""Checks of the vendors' accounts, by requests that cost nothing and call no one."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from chassis.findings import Finding, failed, ok, skipped, warning

AREA = "credentials"
TIMEOUT_SECONDS = 10

VendorCheck = Callable[[httpx.AsyncClient, Any], Awaitable[list[Finding]]]


async def check(settings: dict[str, Any]) -> list[Finding]:
    """Checks Twilio's account and number, ElevenLabs' key, OpenAI's key and model; skips missing settings."""
    checks: list[tuple[str, str, VendorCheck]] = [
        ("Twilio", "voice", _twilio),
        ("ElevenLabs", "voice", _elevenlabs),
        ("OpenAI", "conversation", _openai),
    ]
    findings: list[Finding] = []
    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as http:
        for vendor, module, vendor_check in checks:
            if module not in settings:
                findings.append(skipped(AREA, vendor, f"the settings of {module} are not complete"))
                continue
            try:
                findings += await vendor_check(http, settings[module])
            except httpx.HTTPError as error:
                url = str(error.request.url.copy_with(path="/")) if error.request else "its API"
                advice = (
                    f"check that this machine can reach {url}: a proxy, a firewall, or a wrong *_BASE_URL prevents it"
                )
                findings.append(failed(AREA, vendor, f"no answer ({type(error).__name__})", advice))
    return findings


async def _twilio(http: httpx.AsyncClient, settings: Any) -> list[Finding]:
    sid = settings.twilio_account_sid
    login = httpx.BasicAuth(sid, settings.twilio_auth_token.get_secret_value())
    account = f"{_base(settings.twilio_base_url)}/2010-04-01/Accounts/{sid}"
    answer = await http.get(f"{account}.json", auth=login)
    advice = "copy TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN again from the first page of Twilio's console"
    if (finding := _refused("Twilio", answer, advice)) is not None:
        return [finding]
    status = answer.json().get("status")
    if status != "active":
        return [failed(AREA, "Twilio", f"the account is {status}", "check balance and suspension in Twilio's console")]
    findings = [ok(AREA, "Twilio", "the account is active")]
    numbers = [("TWILIO_PHONE_NUMBER", settings.twilio_phone_number)]
    numbers += [("CALLER_IDS", number) for number in sorted(settings.caller_ids)]
    for setting, number in numbers:
        owned = await http.get(f"{account}/IncomingPhoneNumbers.json", params={"PhoneNumber": number}, auth=login)
        findings.append(_number(f"Twilio: {setting}", owned))
    return findings


def _number(name: str, answer: httpx.Response) -> Finding:
    if answer.status_code != 200:
        return warning(
            AREA, name, f"could not be checked (HTTP {answer.status_code})", "check that it is a number of this account"
        )
    if not answer.json().get("incoming_phone_numbers"):
        advice = "in this account, buy a number that can make calls, or verify yours as a caller id"
        return warning(AREA, name, "this account has not bought this number", advice)
    return ok(AREA, name, "it is a number of this account")


async def _elevenlabs(http: httpx.AsyncClient, settings: Any) -> list[Finding]:
    key = {"xi-api-key": settings.elevenlabs_api_key.get_secret_value()}
    answer = await http.get(f"{_base(settings.elevenlabs_base_url)}/v1/user", headers=key)
    advice = "create a key with access to text to speech and user in ElevenLabs' settings; set ELEVENLABS_API_KEY to it"
    refused = _refused("ElevenLabs", answer, advice)
    return [refused or ok(AREA, "ElevenLabs", "the key is valid")]


async def _openai(http: httpx.AsyncClient, settings: Any) -> list[Finding]:
    key = {"Authorization": f"Bearer {settings.openai_api_key.get_secret_value()}"}
    answer = await http.get(f"{_base(settings.openai_base_url)}/models", headers=key)
    refused = _refused("OpenAI", answer, "create a key with credit in OpenAI's platform; set OPENAI_API_KEY to it")
    if refused is not None:
        return [refused]
    known = {model.get("id") for model in answer.json().get("data", [])}
    if settings.openai_model not in known:
        found = f"the key is valid, but gives no access to the model {settings.openai_model}"
        return [failed(AREA, "OpenAI", found, "set OPENAI_MODEL to a model that this account may use")]
    return [ok(AREA, "OpenAI", f"the key is valid and gives access to {settings.openai_model}")]


def _refused(vendor: str, answer: httpx.Response, advice: str) -> Finding | None:
    if answer.status_code == 200:
        return None
    if answer.status_code in (401, 403):
        return failed(AREA, vendor, f"the credentials are refused (HTTP {answer.status_code})", advice)
    return failed(AREA, vendor, f"HTTP {answer.status_code}", "check the vendor's status page and *_BASE_URL")


def _base(url: object) -> str:
    return str(url).rstrip("/")
