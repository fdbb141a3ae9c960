"""Checks that each service of the contracts runs, and that all its processes are of one version."""

from collections.abc import Sequence

from chassis.findings import Finding, ok, warning
from contracts.service_status import ServiceStatus
from contracts.work import DEAD_LETTER_USER, WORK

AREA, VENDORS = "services", "vendors"
MAX_SHOWN = 5
SERVICES = (*(str(service) for service in WORK), DEAD_LETTER_USER)


def check_services(statuses: Sequence[ServiceStatus]) -> list[Finding]:
    """Returns a finding for each service; a warning if none of its processes answers, or if their versions differ."""
    return [_check(service, [one for one in statuses if one.service == service]) for service in SERVICES]


def _check(service: str, processes: list[ServiceStatus]) -> Finding:
    if not processes:
        advice = f"start {service}, unless it is stopped on purpose; its log has the reason if it does not start"
        return warning(AREA, service, "no process answers", advice)
    versions = sorted({one.version for one in processes})
    starts = [f"{one.started_at:%Y-%m-%d %H:%M:%S}" for one in processes[:MAX_SHOWN]]
    more = ", …" if len(processes) > MAX_SHOWN else ""
    found = f"{len(processes)} running, version {', '.join(versions)}, since {', '.join(starts)}{more} UTC"
    if len(versions) > 1:
        return warning(AREA, service, found, "replace the processes of the older version")
    return ok(AREA, service, found)


def check_breakers(statuses: Sequence[ServiceStatus]) -> list[Finding]:
    """Returns a warning for each vendor that some process of a service does not ask now, because it keeps failing."""
    states: dict[tuple[str, str], list[str]] = {}
    for one in statuses:
        for vendor, state in one.breakers.items():
            states.setdefault((vendor, one.service), []).append(state)
    return [_breaker(vendor, service, found, statuses) for (vendor, service), found in sorted(states.items())]


def _breaker(vendor: str, service: str, states: list[str], statuses: Sequence[ServiceStatus]) -> Finding:
    processes = sum(one.service == service for one in statuses)
    state = ", ".join(sorted(set(states)))
    found = f"the circuit breaker is {state} in {len(states)} of {processes} processes of {service}"
    advice = (
        f"callees get the fallback; look at the status page and the credentials of {vendor}, and the log of {service}. "
        "It closes with the first request that succeeds"
    )
    return warning(VENDORS, vendor, found, advice)
