"""What a dashboard is, before it is Grafana's."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a panel shows its queries."""

    LINES = "lines"
    STACKED = "stacked"
    NUMBER = "number"


class Unit(StrEnum):
    """Grafana's names of units."""

    COUNT = "short"
    SECONDS = "s"
    RATIO = "percentunit"
    PER_SECOND = "reqps"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True)
class Panel:
    """`queries`: legend → PromQL. `alarm`: from this value on it is red."""

    title: str
    means: str
    queries: dict[str, str]
    unit: Unit = Unit.COUNT
    kind: Kind = Kind.LINES
    alarm: float | None = None


@dataclass(frozen=True, slots=True)
class Dashboard:
    """`rows`: title → panels. `choices`: name of a variable → the PromQL label_values(…) that it chooses from."""

    uid: str
    title: str
    means: str
    rows: dict[str, tuple[Panel, ...]]
    choices: dict[str, str] | None = None


def quantile(share: float, histogram: str, *by: str) -> str:
    """PromQL: the value below which this share of a histogram's observations lies."""
    labels = ", ".join(("le", *by))
    return f"histogram_quantile({share}, sum by ({labels}) (rate({histogram}_bucket[$__rate_interval])))"


def rate(counter: str, *by: str) -> str:
    """PromQL: how often a second, over all replicas, split by these labels."""
    split = f" by ({', '.join(by)})" if by else ""
    return f"sum{split} (rate({counter}[$__rate_interval]))"


def split_of_time(histogram: str) -> dict[str, str]:
    """The queries of a latency: its median, and what the slowest see."""
    return {f"{share:.0%}": quantile(share, histogram) for share in (0.5, 0.95, 0.99)}
