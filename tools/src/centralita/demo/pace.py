"""Pace and caps as the provider saw them: measured on the Twilio simulator's own ledger, not on anything of ours."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

_FINAL = frozenset({"completed", "busy", "no-answer", "failed", "canceled"})


@dataclass(frozen=True, slots=True)
class Dial:
    """One call that was created at the provider. Instants in seconds; `ended` is none while it lives."""

    call_id: str
    created: float
    ended: float | None


async def dials(control: str) -> list[Dial]:
    """Everything in the simulator's ledger, in the order of creation."""
    async with httpx.AsyncClient(timeout=30) as http:
        answer = (await http.get(f"{control}/_simulator/ledger")).raise_for_status()
    return sorted((_dial(entry) for entry in answer.json()["calls"]), key=lambda dial: dial.created)


async def answer_as(control: str, number: str, behaviour: str) -> None:
    """Decides how whoever has this number meets every dial."""
    async with httpx.AsyncClient(timeout=10) as http:
        place = f"{control}/_simulator/callees/{number}"
        (await http.put(place, json={"behaviour": behaviour})).raise_for_status()


def most_in_a_window(created: Iterable[float], seconds: float = 1.0) -> int:
    """The most dials that any window of this length holds, wherever it begins."""
    instants = sorted(created)
    most = begin = 0
    for end, instant in enumerate(instants):
        while instants[begin] <= instant - seconds:
            begin += 1
        most = max(most, end - begin + 1)
    return most


def most_at_once(found: Iterable[Dial]) -> int:
    """The most calls that lived at the same instant."""
    live = most = 0
    for _, change in _changes(found):
        live += change
        most = max(most, live)
    return most


def share_of_pace(created: Sequence[float], per_second: int) -> float:
    """The least time in which so many dials may be made at this pace, by the time in which they were made."""
    instants = sorted(created)
    taken = instants[-1] - instants[0]
    return ((len(instants) - 1) // per_second) / taken if taken else 1.0


def share_of_slots(found: Sequence[Dial], cap: int) -> float:
    """How full the slots were while calls waited: from the first instant at which all were full to the last dial."""
    last = max(dial.created for dial in found)
    live, full_since, before, used = 0, None, 0.0, 0.0
    for instant, change in _changes(found):
        if instant > last:
            break
        if full_since is not None:
            used += live * (instant - before)
        live, before = live + change, instant
        if live >= cap and full_since is None:
            full_since = instant
    if full_since is None or last == full_since:
        return 0.0
    return used / (cap * (last - full_since))


def _changes(found: Iterable[Dial]) -> list[tuple[float, int]]:
    """Beginnings and ends in order; at the same instant an end comes first."""
    changes = [change for dial in found for change in ((dial.created, 1), (dial.ended, -1))]
    return sorted((instant, change) for instant, change in changes if instant is not None)


def _dial(entry: dict[str, Any]) -> Dial:
    ends = [status["at"] for status in entry["statuses"] if status["status"] in _FINAL]
    return Dial(
        call_id=httpx.URL(entry["url"]).path.split("/")[-2],
        created=_seconds(entry["created_at"]),
        ended=_seconds(ends[0]) if ends else None,
    )


def _seconds(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()
