"""Which metrics the code has, and which ones an expression names."""

import re
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from prometheus_client import REGISTRY

SERVICES = ("call_orchestrator", "voice", "conversation", "campaign_stats", "edge")
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",), "gauge": ("",)}
_OF_PROMETHEUS = frozenset({"up", "ALERTS", "vector", "time"})
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "inf", "nan"})
_NO_METRICS = re.compile(
    r'"[^"]*"|\{[^}]*\}|\[[^]]*\]|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)|\$\w+'
)


def of_the_code() -> set[str]:
    """The series that the services can have, by importing all that they are made of."""
    for service in SERVICES:
        import_module(f"{service}.composition")
    return {f"{metric.name}{end}" for metric in REGISTRY.collect() for end in _SUFFIXES.get(metric.type, ("",))}


def in_expression(expression: str) -> set[str]:
    """The metrics that a PromQL expression asks for."""
    bare = _NO_METRICS.sub(" ", expression)
    names = re.findall(r"(?<![\w.])[a-zA-Z_:][\w:]*(?!\w*\s*\()", bare)
    return set(names) - _WORDS - _OF_PROMETHEUS


def in_rules(path: Path) -> Iterable[tuple[str, str]]:
    """Each alert of a rules file with its expression."""
    groups: list[dict[str, Any]] = yaml.safe_load(path.read_text())["groups"]
    return [(rule["alert"], rule["expr"]) for group in groups for rule in group["rules"]]
