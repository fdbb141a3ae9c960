"""The health of the installation: what the doctor finds on the bus, streams, consumers and services."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from centralita_console.authentication import Api
from centralita_console.rendering import render

router = APIRouter()
RESULTS = ("failed", "warning", "ok", "skipped")
"""In the order in which a person needs them."""
_UNITS = ("B", "kB", "MB", "GB", "TB")


@router.get("/health")
async def show_health(request: Request, api: Api) -> Response:
    """Shows the findings, the worst first, and those that are ok folded.

    The REST API examines the installation at most once in a few seconds.
    """
    found = await api.get("/health")
    findings = sorted(found["findings"], key=_rank)
    now = datetime.now(UTC)
    return render(
        request,
        "health.html",
        examined_at=found["examined_at"],
        findings=[one for one in findings if one["result"] != "ok"],
        passed=[one for one in findings if one["result"] == "ok"],
        counts=Counter(one["result"] for one in findings),
        results=RESULTS,
        streams=[{**one, "share": _share(one), "size": size_of(one["bytes"])} for one in found["streams"]],
        consumers=found["consumers"],
        services=[{**one, "uptime": _uptime(one["started_at"], now)} for one in _numbered(found["services"])],
        size_of=size_of,
    )


def _rank(finding: Mapping[str, Any]) -> int:
    return RESULTS.index(finding["result"]) if finding["result"] in RESULTS else len(RESULTS)


def _numbered(services: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns the processes, each with its number among those of its service, in the order of their starts."""
    totals, seen = Counter(one["service"] for one in services), Counter[str]()
    numbered = []
    for one in services:
        seen[one["service"]] += 1
        numbered.append({**one, "replica": seen[one["service"]], "replicas": totals[one["service"]]})
    return numbered


def size_of(number: int) -> str:
    """Returns a number of bytes for people: ``1.5 MB``."""
    size, unit = float(number), 0
    while size >= 1_000 and unit < len(_UNITS) - 1:
        size, unit = size / 1_000, unit + 1
    return f"{size:.1f} {_UNITS[unit]}" if unit else f"{number} B"


def _share(stream: Mapping[str, Any]) -> float | None:
    """Returns how full a stream is, in percent; None without a limit."""
    return 100 * stream["bytes"] / stream["max_bytes"] if stream["max_bytes"] else None


def _uptime(started_at: str, now: datetime) -> tuple[int, int, int]:
    """Returns days, hours and minutes since the start of a process."""
    seconds = max(0, int((now - datetime.fromisoformat(started_at)).total_seconds()))
    return seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
