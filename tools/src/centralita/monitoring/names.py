"""The metrics that the services have, and those that PromQL expressions name."""

import re
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from prometheus_client import REGISTRY

SERVICES = ("call_orchestrator", "voice", "conversation", "campaign_stats", "edge")
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",), "gauge": ("",)}
_BUILT_IN = frozenset({"up", "ALERTS", "vector", "time"})
_KEYWORDS = frozenset({"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "inf", "nan"})
_LABELS_AND_RANGES = re.compile(
    r'"[^"]*"|\{[^}]*\}|\[[^]]*\]|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)|\$\w+'
)


def known_metrics() -> set[str]:
    """Returns the names of all series that the services can have. Imports every service."""
    for service in SERVICES:
        import_module(f"{service}.composition")
    return {f"{metric.name}{end}" for metric in REGISTRY.collect() for end in _SUFFIXES.get(metric.type, ("",))}


def metrics_in(expression: str) -> set[str]:
    """Returns the metrics that a PromQL expression names."""
    bare = _LABELS_AND_RANGES.sub(" ", expression)
    names = re.findall(r"(?<![\w.])[a-zA-Z_:][\w:]*(?!\w*\s*\()", bare)
    return set(names) - _KEYWORDS - _BUILT_IN


def alert_expressions(path: Path) -> Iterable[tuple[str, str]]:
    """Returns each alert of a rules file with its expression."""
    groups: list[dict[str, Any]] = yaml.safe_load(path.read_text())["groups"]
    return [(rule["alert"], rule["expr"]) for group in groups for rule in group["rules"]]
