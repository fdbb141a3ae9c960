"""How far a campaign is, and when its calls end at the present pace."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from centralita_console.figures import Admission
from centralita_console.rest_client import RestClient, RestFailure

STATUSES = {
    "pending": "pending_calls",
    "in_progress": "in_progress_calls",
    "completed": "completed_calls",
    "voicemail": "voicemail_calls",
    "no_answer": "no_answer_calls",
    "busy": "busy_calls",
    "failed": "failed_calls",
    "expired": "expired_calls",
    "canceled": "canceled_calls",
}
"""The status of a call and its counter in the REST API. `in_progress` also counts calls that are dialing or ringing."""
OPEN = ("pending", "in_progress")
MAX_AHEAD = timedelta(days=365)
"""An end that is further ahead is not shown: the pace is that of one minute."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The calls of a campaign, those that have ended, and the estimated end.

    `dials_in_minute`: the present pace; None: it is unknown. `ends_at`: None without a pace. `has_contacts`: further
    calls follow, because contacts wait that are no calls yet.
    """

    total: int
    ended: int
    waiting: int
    is_open: bool
    has_contacts: bool
    dials_in_minute: int | None
    ends_at: datetime | None

    @property
    def share(self) -> float:
        """The ended calls in percent; rounded down, so that 100 means all."""
        return int(1000 * self.ended / self.total) / 10 if self.total else 0.0

    @property
    def is_over(self) -> bool:
        """Whether every known call has ended and no contact waits."""
        return self.ended == self.total and not self.has_contacts


def counts_of(counters: Mapping[str, Any]) -> dict[str, int]:
    """Returns the calls of each status."""
    return {status: counters[name] for status, name in STATUSES.items()}


def progress_of(counters: Mapping[str, Any], admission: Mapping[str, Any] | None, *, has_contacts: bool) -> Progress:
    """Returns the progress. `admission`: the REST API's answer about the campaign, None if there is none.

    The estimate divides the waiting calls by the dials of the last minute. Calls that are dialled again make it later.
    """
    counts = counts_of(counters)
    still_open = sum(counts[status] for status in OPEN)
    dials = admission["dials_in_minute"] if admission else None
    ends_at = None
    if admission and admission["is_open"] and dials and counts["pending"]:
        ahead = timedelta(minutes=counts["pending"] / dials)
        ends_at = datetime.fromisoformat(admission["at"]) + ahead if ahead <= MAX_AHEAD else None
    return Progress(
        total=counters["total_calls"],
        ended=max(0, counters["total_calls"] - still_open),
        waiting=counts["pending"],
        is_open=admission["is_open"] if admission else True,
        has_contacts=has_contacts,
        dials_in_minute=dials,
        ends_at=ends_at,
    )


async def progress_values(api: RestClient, campaign: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the page of a campaign shows of its progress. What the REST API refuses is left out."""
    campaign_id, counters = campaign["campaign_id"], campaign["calls"]
    admission, contacts = await asyncio.gather(
        _or_none(api.get("/admission", {"campaign_id": campaign_id})),
        _or_none(api.get(f"/campaigns/{campaign_id}/contacts", {"limit": 1})),
    )
    return {
        "admission": Admission.of(admission) if admission else None,
        "progress": progress_of(counters, admission, has_contacts=bool(contacts and contacts["contacts"])),
        "counts": counts_of(counters),
    }


async def _or_none(answer: Awaitable[Any]) -> Any:
    """Returns an answer of the REST API that the page can do without; None if it is refused."""
    try:
        return await answer
    except RestFailure as failure:
        if failure.status == 401:
            raise
        return None
