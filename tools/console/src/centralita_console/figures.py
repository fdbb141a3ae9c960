"""The figures of the first page: slots, dials and waiting calls against their limits, and what needs a person.

They are those of the REST API. What a key may not read, or what does not answer, is left out.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from centralita_console.rest_client import RestClient, RestFailure, Unreachable
from centralita_console.rest_values import next_cursor

NO_PROGRESS = timedelta(minutes=5)
"""A due call of an open campaign that waits longer, while no call of the campaign is in progress, needs a person."""
MAX_NAMED = 20
MAX_PROBLEMS = 5
RANK = ("failed", "warning")
DEAD_LETTERS = "NATS: dead letters"
"""The finding that is left out where the number of dead letters is known: it has a line of its own."""
LIST_SIZE = 200
MAX_LISTS = 10
"""Pages of campaigns that are read for the paused ones: 2,000 campaigns, every thirty seconds."""


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
class Problem:
    """What the doctor has found, and what to do. `is_failed`: a check failed, so it needs a person now."""

    name: str
    found: str
    advice: str
    is_failed: bool


@dataclass(frozen=True, slots=True)
class Count:
    """How many there are; shown as ``2000+`` if one request does not count all."""

    number: int
    has_more: bool

    def __bool__(self) -> bool:
        return self.number > 0 or self.has_more

    def __str__(self) -> str:
        return f"{self.number}+" if self.has_more else str(self.number)


@dataclass(frozen=True, slots=True)
class Figures:
    """What the first page shows beside the calls. `admission` and `dead_letters` are None if they are unknown.

    `problems` are the worst findings of the last examination, and `problem_count` is how many there are.
    """

    admission: Admission | None = None
    admission_problem: str = ""
    stalled: tuple[Stalled, ...] = ()
    paused: tuple[PausedCampaign, ...] = ()
    dead_letters: Count | None = None
    problems: tuple[Problem, ...] = ()
    problem_count: int = 0

    @property
    def needs_attention(self) -> bool:
        """Whether something needs a person."""
        return bool(self.admission_problem or self.stalled or self.paused or self.dead_letters or self.problems)


class FigureReader:
    """Reads the figures of a campaign, or of everything that a key may see. Asks no more for what the key may not.

    `is_live`: it reads repeatedly, and then also examines the installation, which takes a second or more. No reading
    waits for that: the next one has the result.
    """

    def __init__(self, api: RestClient, campaign_id: str, *, is_live: bool = False) -> None:
        self._api = api
        self._campaign_id = campaign_id
        self._may_read_dead_letters = not campaign_id
        self._may_examine = is_live and not campaign_id
        self._examination: asyncio.Task[list[Problem]] | None = None
        self._problems: list[Problem] = []

    async def read(self, before: Figures | None = None) -> Figures:
        """Returns the figures; those that change rarely are those of `before`, if it is given.

        Raises RestFailure if the key is not accepted any more, and Unreachable.
        """
        problems = self._examined(is_due=before is None)
        state, problem = await self._state()
        if before is None:
            paused, dead_letters = await asyncio.gather(self._paused(), self._dead_letters())
        else:
            paused, dead_letters = before.paused, before.dead_letters
        shown = [one for one in problems if dead_letters is None or one.name != DEAD_LETTERS]
        return Figures(
            admission=Admission.of(state) if state else None,
            admission_problem=problem,
            stalled=tuple(stalled_in(state)) if state else (),
            paused=paused,
            dead_letters=dead_letters,
            problems=tuple(shown[:MAX_PROBLEMS]),
            problem_count=len(shown),
        )

    def _examined(self, *, is_due: bool) -> list[Problem]:
        """Returns the problems of the last examination that has ended. Begins another one if it is due."""
        if self._examination and self._examination.done():
            self._problems, self._examination = self._examination.result(), None
        if is_due and self._may_examine and self._examination is None:
            self._examination = asyncio.create_task(self._examine(), name="examination")
        return self._problems

    async def _examine(self) -> list[Problem]:
        """Returns what an examination found; if it failed, what the one before found."""
        try:
            return problems_in(await self._api.get("/health"))
        except RestFailure as failure:
            self._may_examine = failure.status != 403
            return self._problems if self._may_examine else []
        except Unreachable:
            return self._problems

    async def _state(self) -> tuple[dict[str, Any] | None, str]:
        try:
            return await self._api.get("/admission", {"campaign_id": self._campaign_id}), ""
        except RestFailure as failure:
            return None, _unless_unauthorized(failure).detail

    async def _paused(self) -> tuple[PausedCampaign, ...]:
        try:
            if self._campaign_id:
                return tuple(paused_in([await self._api.get(f"/campaigns/{self._campaign_id}")]))
            return tuple(await self._first_paused())
        except RestFailure as failure:
            _unless_unauthorized(failure)
            return ()

    async def _first_paused(self) -> list[PausedCampaign]:
        """Returns the first paused campaigns in the order of their ids, of the first `MAX_LISTS` pages."""
        paused: list[PausedCampaign] = []
        cursor = ""
        for _ in range(MAX_LISTS):
            page = await self._api.get("/campaigns", {"limit": LIST_SIZE, "cursor": cursor})
            paused += paused_in(page["campaigns"])
            if len(paused) >= MAX_NAMED or not (cursor := next_cursor(page)):
                break
        return paused[:MAX_NAMED]

    async def _dead_letters(self) -> Count | None:
        if not self._may_read_dead_letters:
            return None
        try:
            found = await self._api.get("/dead-letters/groups")
        except RestFailure as failure:
            self._may_read_dead_letters = _unless_unauthorized(failure).status != 403
            return None
        number = sum(group["count"] for group in found["groups"]) + found["other_count"]
        return Count(number, has_more=found["next"] is not None)


def paused_in(campaigns: Iterable[Mapping[str, Any]]) -> list[PausedCampaign]:
    """Returns the campaigns of an answer of the REST API that are paused."""
    paused = (one for one in campaigns if one["paused"])
    return [PausedCampaign(one["campaign_id"], one["since"], one["reason"] or "") for one in paused]


def problems_in(health: Mapping[str, Any]) -> list[Problem]:
    """Returns what the doctor has found, failures first."""
    found = [one for one in health["findings"] if one["result"] in RANK]
    return [
        Problem(f"{one['area']}: {one['check']}", one["found"], one["advice"], one["result"] == RANK[0])
        for one in sorted(found, key=lambda one: RANK.index(one["result"]))
    ]


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
