"""Checks that each service of the contracts runs, and that all its processes are of one version."""

from collections.abc import Sequence

from chassis.findings import Finding, ok, warning
from contracts.service_status import ServiceStatus
from contracts.work import DEAD_LETTER_USER, WORK

AREA = "services"
SERVICES = (*(str(service) for service in WORK), DEAD_LETTER_USER)


def check_services(statuses: Sequence[ServiceStatus]) -> list[Finding]:
    """Returns a finding for each service; a warning if none of its processes answers, or if their versions differ."""
    return [_check(service, [one for one in statuses if one.service == service]) for service in SERVICES]


def _check(service: str, processes: list[ServiceStatus]) -> Finding:
    if not processes:
        advice = f"start {service}, unless it is stopped on purpose; its log has the reason if it does not start"
        return warning(AREA, service, "no process answers", advice)
    versions = sorted({one.version for one in processes})
    found = f"{len(processes)} running, version {', '.join(versions)}"
    if len(versions) > 1:
        return warning(AREA, service, found, "replace the processes of the older version")
    return ok(AREA, service, found)
