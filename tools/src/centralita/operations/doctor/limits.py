"""The limits that the settings place on callers, keys and calls, so that an operator sees them in one place."""

from collections.abc import Mapping
from typing import Any

from centralita.operations.doctor.checks import Finding, ok, warning

AREA = "limits"


def check(known: Mapping[str, Any]) -> list[Finding]:
    """Returns one finding for each limit of the services whose settings are complete. A missing limit is a warning."""
    findings: list[Finding] = []
    if orchestrator := known.get("call_orchestrator"):
        source = "ALLOWED_COUNTRIES" if orchestrator.allowed_countries else "the country of TWILIO_PHONE_NUMBER"
        countries = ", ".join(sorted(orchestrator.callable_countries))
        findings.append(ok(AREA, "countries", f"{countries} ({source}); no premium-rate or satellite numbers"))
        findings.append(_limit("live calls", "MAX_CONCURRENT_CALLS", orchestrator.max_concurrent_calls, "at once"))
    if edge := known.get("edge"):
        findings.append(_keys(edge))
        findings.append(
            _limit("dials per API key", "MAX_DIALS_PER_KEY_PER_DAY", edge.max_dials_per_key_per_day, "a day (UTC)")
        )
        requests = f"{edge.rest_requests_per_second:g} a second and {edge.rest_burst} at once, in each replica"
        findings.append(ok(AREA, "requests per API key", requests))
    return findings


def _limit(check: str, setting: str, value: int, unit: str) -> Finding:
    if value:
        return ok(AREA, check, f"{value} {unit} ({setting})")
    return warning(AREA, check, "no limit", f"set {setting} to bound what a mistake or a stolen key costs")


def _keys(edge: Any) -> Finding:
    keys = edge.api_keys
    limited = sum(key.campaigns is not None for key in keys)
    found = f"{len(keys)}, of which {limited} limited to campaigns"
    return ok(AREA, "API keys", f"{found}; EMBEDDED_RUN permits plain keys" if edge.embedded_run else found)
