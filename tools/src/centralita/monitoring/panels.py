"""Dashboards as data, without Grafana's details."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The form in which a panel shows its queries."""

    LINES = "lines"
    STACKED = "stacked"
    NUMBER = "number"


class Unit(StrEnum):
    """Units, by Grafana's names."""

    COUNT = "short"
    SECONDS = "s"
    RATIO = "percentunit"
    PER_SECOND = "reqps"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True)
class Panel:
    """`queries`: legend to PromQL. `alarm`: the value from which the panel is red."""

    title: str
    description: str
    queries: dict[str, str]
    unit: Unit = Unit.COUNT
    kind: Kind = Kind.LINES
    alarm: float | None = None


@dataclass(frozen=True, slots=True)
class Dashboard:
    """`rows`: title to panels. `variables`: name to the PromQL ``label_values(…)`` that provides its values."""

    uid: str
    title: str
    description: str
    rows: dict[str, tuple[Panel, ...]]
    variables: dict[str, str] | None = None


def quantile(share: float, histogram: str, *by: str) -> str:
    """Returns PromQL for a quantile of a histogram, split by labels."""
    labels = ", ".join(("le", *by))
    return f"histogram_quantile({share}, sum by ({labels}) (rate({histogram}_bucket[$__rate_interval])))"


def rate(counter: str, *by: str) -> str:
    """Returns PromQL for a counter's rate a second over all replicas, split by labels."""
    split = f" by ({', '.join(by)})" if by else ""
    return f"sum{split} (rate({counter}[$__rate_interval]))"


def latency_quantiles(histogram: str) -> dict[str, str]:
    """Returns the queries of a latency: median, 95th and 99th percentile."""
    return {f"{share:.0%}": quantile(share, histogram) for share in (0.5, 0.95, 0.99)}
