"""The figures of the first page: slots, dials and waiting calls against their limits, and what needs a person.

They are those of the REST API. What a key may not read, or what does not answer, is left out.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from centralita_console.rest_client import RestClient, RestFailure, Unreachable

NO_PROGRESS = timedelta(minutes=5)
"""A due call of an open campaign that waits longer, while no call of the campaign is in progress, needs a person."""
MAX_NAMED = 20
LIST_SIZE = 200


@dataclass(frozen=True, slots=True)
class Admission:
    """Slots, dials and waiting calls. A limit that is None does not exist."""

    live: int
    max_live: int | None
    waiting: int
    waiting_closed: int
    oldest_due_at: str | None
    dials_in_second: int
    max_dials_per_second: float
    dials_in_minute: int
    max_dials_per_minute: float

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "Admission":
        """Returns what is shown of the REST API's answer. A campaign's pace is per minute."""
        per_second = state["max_dials_per_second"]
        return cls(
            **{name: state[name] for name in _SAME},
            max_dials_per_minute=state["max_calls_per_minute"] or 60 * per_second,
        )


_SAME = (
    *("live", "max_live", "waiting", "waiting_closed", "oldest_due_at"),
    *("dials_in_second", "max_dials_per_second", "dials_in_minute"),
)


@dataclass(frozen=True, slots=True)
class Stalled:
    """An open campaign whose calls wait although none is in progress."""

    campaign_id: str
    waiting: int
    since: str


@dataclass(frozen=True, slots=True)
class PausedCampaign:
    """A paused campaign, since when and why."""

    campaign_id: str
    since: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Figures:
    """What the first page shows beside the calls. `admission` and `dead_letters` are None if they are unknown."""

    admission: Admission | None = None
    admission_problem: str = ""
    stalled: tuple[Stalled, ...] = ()
    paused: tuple[PausedCampaign, ...] = ()
    dead_letters: int | None = None

    @property
    def needs_attention(self) -> bool:
        """Whether something needs a person."""
        return bool(self.admission_problem or self.stalled or self.paused or self.dead_letters)


class FigureReader:
    """Reads the figures of a campaign, or of everything that a key may see. Asks no more for what the key may not."""

    def __init__(self, api: RestClient, campaign_id: str) -> None:
        self._api = api
        self._campaign_id = campaign_id
        self._may_read_dead_letters = not campaign_id

    async def read(self, before: Figures | None = None) -> Figures:
        """Returns the figures; those that change rarely are those of `before`, if it is given.

        Raises RestFailure if the key is not accepted any more, and Unreachable.
        """
        state, problem = await self._state()
        if before is None:
            paused, dead_letters = await asyncio.gather(self._paused(), self._dead_letters())
        else:
            paused, dead_letters = before.paused, before.dead_letters
        return Figures(
            admission=Admission.of(state) if state else None,
            admission_problem=problem,
            stalled=tuple(stalled_in(state)) if state else (),
            paused=paused,
            dead_letters=dead_letters,
        )

    async def _state(self) -> tuple[dict[str, Any] | None, str]:
        try:
            return await self._api.get("/admission", {"campaign_id": self._campaign_id}), ""
        except RestFailure as failure:
            return None, _unless_unauthorized(failure).detail

    async def _paused(self) -> tuple[PausedCampaign, ...]:
        try:
            if self._campaign_id:
                campaigns = [await self._api.get(f"/campaigns/{self._campaign_id}")]
            else:
                campaigns = (await self._api.get("/campaigns", {"limit": LIST_SIZE}))["campaigns"]
        except RestFailure as failure:
            _unless_unauthorized(failure)
            return ()
        paused = [one for one in campaigns if one["paused"]]
        return tuple(
            PausedCampaign(one["campaign_id"], one["since"], one["reason"] or "") for one in paused[:MAX_NAMED]
        )

    async def _dead_letters(self) -> int | None:
        if not self._may_read_dead_letters:
            return None
        try:
            found = await self._api.get("/dead-letters/groups")
        except RestFailure as failure:
            self._may_read_dead_letters = _unless_unauthorized(failure).status != 403
            return None
        return int(sum(group["count"] for group in found["groups"]) + found["other_count"])


def stalled_in(state: Mapping[str, Any]) -> list[Stalled]:
    """Returns the campaigns of an answer of the REST API that make no progress."""
    at = datetime.fromisoformat(state["at"])
    if state["campaign_id"]:
        of_campaign = {name: state[name] for name in ("campaign_id", "waiting", "live", "oldest_due_at")}
        waiting = [of_campaign] if state["oldest_due_at"] else []
    else:
        waiting = state["longest_waiting"]
    return [
        Stalled(one["campaign_id"], one["waiting"], one["oldest_due_at"])
        for one in waiting
        if not one["live"] and at - datetime.fromisoformat(one["oldest_due_at"]) >= NO_PROGRESS
    ]


def _unless_unauthorized(failure: RestFailure) -> RestFailure:
    """Returns the failure. Raises it if the key is not accepted any more: the session then ends."""
    if failure.status == 401:
        raise failure
    return failure


async def read_or_none(reader: FigureReader, before: Figures | None = None) -> Figures | None:
    """Returns the figures; those of before if the REST API does not answer."""
    try:
        return await reader.read(before)
    except (RestFailure, Unreachable):
        return before
