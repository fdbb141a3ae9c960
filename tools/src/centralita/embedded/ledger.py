"""The Twilio simulator's ledger: every call that was created there, and the rate and concurrency computed from it.

The ledger is the provider's own record. Tests and benchmarks measure our limits on it, independently of our log.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

_FINAL_STATUSES = frozenset({"completed", "busy", "no-answer", "failed", "canceled"})


@dataclass(frozen=True, slots=True)
class Dial:
    """One call that was created at the provider. Unix timestamps in seconds; `ended_at` is None while it is live."""

    call_id: str
    attempt: str
    created_at: float
    ended_at: float | None


async def dials(control_url: str) -> list[Dial]:
    """Returns all dials in the ledger, in the order of their creation."""
    async with httpx.AsyncClient(timeout=30) as http:
        response = (await http.get(f"{control_url}/_simulator/ledger")).raise_for_status()
    return sorted((_dial(entry) for entry in response.json()["calls"]), key=lambda dial: dial.created_at)


async def set_callee_behaviour(control_url: str, phone_number: str, behaviour: str) -> None:
    """Sets how the simulated callee with this number reacts to every dial, such as ``busy``."""
    async with httpx.AsyncClient(timeout=10) as http:
        url = f"{control_url}/_simulator/callees/{phone_number}"
        (await http.put(url, json={"behaviour": behaviour})).raise_for_status()


def max_dials_in_window(created_at: Iterable[float], window_seconds: float = 1.0) -> int:
    """Returns the largest number of dials in any window of this length."""
    instants = sorted(created_at)
    largest = begin = 0
    for end, instant in enumerate(instants):
        while instants[begin] <= instant - window_seconds:
            begin += 1
        largest = max(largest, end - begin + 1)
    return largest


def max_concurrent(all_dials: Iterable[Dial]) -> int:
    """Returns the largest number of calls that were live at the same instant."""
    live = largest = 0
    for _, change in _changes(all_dials):
        live += change
        largest = max(largest, live)
    return largest


def rate_utilization(created_at: Sequence[float], per_second: int) -> float:
    """Returns the shortest time that the rate limit permits for these dials, divided by the time they took."""
    instants = sorted(created_at)
    elapsed_seconds = instants[-1] - instants[0]
    return ((len(instants) - 1) // per_second) / elapsed_seconds if elapsed_seconds else 1.0


def slot_utilization(all_dials: Sequence[Dial], slots: int) -> float:
    """Returns the used share of the slots while calls waited: from the first moment all were used to the last dial."""
    last_dial_at = max(dial.created_at for dial in all_dials)
    live, full_at, previous_at, used = 0, None, 0.0, 0.0
    for instant, change in _changes(all_dials):
        if instant > last_dial_at:
            break
        if full_at is not None:
            used += live * (instant - previous_at)
        live, previous_at = live + change, instant
        if live >= slots and full_at is None:
            full_at = instant
    if full_at is None or last_dial_at == full_at:
        return 0.0
    return used / (slots * (last_dial_at - full_at))


def _changes(all_dials: Iterable[Dial]) -> list[tuple[float, int]]:
    """Returns beginnings (+1) and ends (-1) in order; at the same instant, ends come first."""
    changes = [change for dial in all_dials for change in ((dial.created_at, 1), (dial.ended_at, -1))]
    return sorted((instant, change) for instant, change in changes if instant is not None)


def _dial(entry: dict[str, Any]) -> Dial:
    call_id, attempt = httpx.URL(entry["url"]).path.split("/")[-2:]
    ended = [status["at"] for status in entry["statuses"] if status["status"] in _FINAL_STATUSES]
    return Dial(call_id, attempt, _timestamp(entry["created_at"]), _timestamp(ended[0]) if ended else None)


def _timestamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
