"""The limits that the settings and the code place on callers, keys, calls and messages, so that they are in one place.

Each value is read from the module that enforces it. A deviation is a warning, or a failure if messages would be lost.
"""

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

from nats.aio.client import Client

from chassis.findings import Finding, failed, ok, skipped, warning
from chassis.storage_checks import AREA
from contracts.instants import MAX_SCHEDULE_AHEAD
from contracts.script import MAX_SCRIPT_BYTES
from contracts.texts import MAX_NAME_CHARACTERS, MAX_VALUE_CHARACTERS

HEADER_ALLOWANCE_BYTES = 4096
"""What the headers of a message need at most. The server counts them towards its limit."""
_BODIES, _FORMS = "edge.entrypoints.body_limit", "edge.entrypoints.webhooks"


def check(known: Mapping[str, Any]) -> list[Finding]:
    """Returns one finding for each limit of the services whose settings are complete. A missing limit is a warning."""
    findings = [
        ok(AREA, "variables", f"one line of {MAX_VALUE_CHARACTERS} characters; names of {MAX_NAME_CHARACTERS}"),
        ok(AREA, "script", f"{MAX_SCRIPT_BYTES} bytes with its variables"),
        ok(AREA, "scheduled_at", f"{MAX_SCHEDULE_AHEAD.days} days ahead"),
        *_bodies(),
    ]
    if orchestrator := known.get("call_orchestrator"):
        source = "ALLOWED_COUNTRIES" if orchestrator.allowed_countries else "the country of TWILIO_PHONE_NUMBER"
        countries = ", ".join(sorted(orchestrator.callable_countries))
        findings.append(ok(AREA, "countries", f"{countries} ({source}); no premium-rate or satellite numbers"))
        findings.append(_limit("live calls", "MAX_CONCURRENT_CALLS", orchestrator.max_concurrent_calls, "at once"))
        waiting = f"{orchestrator.max_backlog} calls; further requests are refused (MAX_BACKLOG)"
        findings.append(ok(AREA, "backlog", waiting))
        minutes = f"{orchestrator.dial_within_minutes:g} minutes after its due time (DIAL_WITHIN_MINUTES)"
        findings.append(ok(AREA, "wait of a call", minutes))
    if voice := known.get("voice"):
        rate = f"{voice.twilio_calls_per_second:g} a second, for all replicas (TWILIO_CALLS_PER_SECOND)"
        findings.append(ok(AREA, "dial rate", rate))
    if edge := known.get("edge"):
        findings.append(_keys(edge))
        findings.append(
            _limit("dials per API key", "MAX_DIALS_PER_KEY_PER_DAY", edge.max_dials_per_key_per_day, "a day (UTC)")
        )
        requests = f"{edge.rest_requests_per_second:g} a second and {edge.rest_burst} at once, in each replica"
        findings.append(ok(AREA, "requests per API key", requests))
    return findings


def check_payload(client: Client) -> Finding:
    """Compares the payload limit of the server with the largest body that edge accepts and publishes."""
    if (largest := _constant(_BODIES, "MAX_BODY_BYTES")) is None:
        return skipped(AREA, "payload", "edge is not installed here")
    needed = largest + HEADER_ALLOWANCE_BYTES
    found = f"the server accepts {client.max_payload} bytes, {needed} are needed"
    if client.max_payload < needed:
        return failed(AREA, "payload", found, "raise max_payload in the configuration of nats-server")
    return ok(AREA, "payload", found)


def _bodies() -> list[Finding]:
    webhook, rest = _constant(_BODIES, "MAX_WEBHOOK_BYTES"), _constant(_BODIES, "MAX_BODY_BYTES")
    if webhook is None or rest is None:
        return [skipped(AREA, "bodies", "edge is not installed here")]
    fields = _constant(_FORMS, "MAX_FIELDS")
    return [ok(AREA, "webhook", f"{webhook} bytes, {fields} fields"), ok(AREA, "REST request", f"{rest} bytes")]


def _constant(module: str, name: str) -> int | None:
    """Returns a limit of a service that may not be installed here."""
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        return None
    return int(getattr(importlib.import_module(module), name))


def _limit(check: str, setting: str, value: int, unit: str) -> Finding:
    if value:
        return ok(AREA, check, f"{value} {unit} ({setting})")
    return warning(AREA, check, "no limit", f"set {setting} to bound what a mistake or a stolen key costs")


def _keys(edge: Any) -> Finding:
    keys = edge.api_keys
    limited = sum(key.campaigns is not None for key in keys)
    found = f"{len(keys)}, of which {limited} limited to campaigns"
    return ok(AREA, "API keys", f"{found}; EMBEDDED_RUN permits plain keys" if edge.embedded_run else found)
