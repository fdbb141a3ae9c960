"""How far calls came, why they ended, and their outcomes over time, as the pages Now and Campaign show them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from centralita_console.rest_client import RestClient, RestFailure

STAGES = ("requested", "dialled", "rang", "answered", "person", "goal")
SERIES = ("completed", "voicemail", "no_answer", "busy", "failed", "expired", "canceled", "attempts", "retried")
"""The columns of the table, in their order. The chart stacks those before `attempts`, which it shows as a line."""
SECONDS = {"1m": 60, "5m": 300, "1h": 3_600, "1d": 86_400}
"""The intervals that a page offers, with their lengths."""
FINEST = "1m"
FEW_POINTS = 2
"""With no more points than this, a page that names no interval shows the last hour by minutes, as after a demo."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the funnel: its calls, and their share of all in percent."""

    name: str
    calls: int
    share: float


@dataclass(frozen=True, slots=True)
class Reason:
    """Ended calls with one reason; `filters`: the list that has exactly them, empty if there is none."""

    name: str
    calls: int
    filters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """The counts of one interval, in the order of `SERIES`."""

    at: datetime
    counts: Sequence[int]

    @property
    def seconds(self) -> int:
        """When it begins, for the chart."""
        return int(self.at.timestamp())


@dataclass(frozen=True, slots=True)
class ShownOutcomes:
    """What a page shows. Intervals without outcomes have no row; the chart draws them as 0."""

    interval: str
    since: datetime
    until: datetime
    rows: Sequence[Row]
    funnel: Sequence[Stage]
    reasons: Sequence[Reason]
    undialled_attempts: int

    @property
    def step(self) -> int:
        """The length of an interval in seconds."""
        return SECONDS[self.interval]

    @property
    def span(self) -> tuple[int, int]:
        """When the first interval begins and the last one ends."""
        return int(self.since.timestamp()), int(self.until.timestamp())

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> "ShownOutcomes":
        """Returns what a page shows of an answer of the REST API. Unknown names of a newer one are left out."""
        requested = answer["funnel"]["requested"]
        stages = [(name, answer["funnel"][name]) for name in STAGES]
        return cls(
            interval=answer["interval"],
            since=_instant(answer["since"]),
            until=_instant(answer["until"]),
            rows=[Row(_instant(point["at"]), [point[name] for name in SERIES]) for point in answer["points"]],
            funnel=[Stage(name, calls, 100 * calls / requested if requested else 0.0) for name, calls in stages],
            reasons=[
                Reason(one["reason"], one["calls"], _filters(one, answer["campaign_id"])) for one in answer["reasons"]
            ],
            undialled_attempts=answer["undialled_attempts"],
        )


async def read_outcomes(
    api: RestClient, path: str, parameters: Mapping[str, str], interval: str, default: str
) -> ShownOutcomes | None:
    """Returns the outcomes at a path of the REST API; None if it refuses them. Raises Unreachable.

    Without a known interval it is `default`, or `FINEST` if there are only a few outcomes.
    """
    try:
        chosen = interval if interval in SECONDS else default
        shown = ShownOutcomes.of(await api.get(path, {**parameters, "interval": chosen}))
        if interval in SECONDS or not 0 < len(shown.rows) <= FEW_POINTS:
            return shown
        finest = ShownOutcomes.of(await api.get(path, {**parameters, "interval": FINEST}))
    except RestFailure as failure:
        if failure.status == 401:
            raise
        return None
    return finest if finest.rows else shown


def outcome_values(
    over_time: ShownOutcomes | None, *, page: str, part: str, parameters: Mapping[str, str], interval: str
) -> dict[str, Any]:
    """Returns what the template needs: the outcomes, the address of the page, and that of the part which it renews."""
    chosen = {**parameters, "interval": interval if interval in SECONDS else ""}
    given = urlencode({name: value for name, value in chosen.items() if value})
    return {
        "over_time": over_time,
        "series": SERIES,
        "page": page,
        "parameters": parameters,
        "part": f"{part}?{given}" if given else part,
    }


def _filters(reason: Mapping[str, Any], campaign_id: str | None) -> Mapping[str, str]:
    if reason["list"] is None:
        return {}
    named = {"campaign_id": campaign_id, "status": reason["status"], "disposition": reason["disposition"]}
    return {name: value for name, value in named.items() if value}


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
