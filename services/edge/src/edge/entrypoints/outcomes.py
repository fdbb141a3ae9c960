"""The REST API that reads what became of calls: how far they came, why they ended, and their outcomes over time."""

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError

from contracts import CallStatus, CampaignId, Disposition, Outcomes, OutcomesQuery
from contracts.instants import Instant
from contracts.outcomes import LISTED_BY, EndReason, Funnel, Interval, OutcomePoint
from edge.application.lists import Lists
from edge.entrypoints.openapi import problems
from edge.entrypoints.scopes import CAMPAIGN, PREFIX, ReadRoute, create_router

router = create_router(ReadRoute, "/outcomes", "Campaigns")
campaign_router = create_router(ReadRoute, "/campaigns", "Campaigns")

POINTS = {Interval.MINUTE: 60, Interval.FIVE_MINUTES: 72, Interval.HOUR: 168, Interval.DAY: 31}
"""How many intervals an answer has if no `since` is given."""
_MOST = ", ".join(f"{interval}: {interval.max_points}" for interval in Interval)

Length = Annotated[Interval, Query(description="length of an interval; intervals begin at multiples of it, in UTC")]
Since = Annotated[
    Instant | None,
    Query(description=f"from the interval on that this instant is in; at most so many intervals: {_MOST}"),
]
Until = Annotated[Instant | None, Query(description="before this instant; default: now")]


class CountedReason(BaseModel):
    """Ended calls with one reason."""

    reason: EndReason
    calls: int
    status: CallStatus | None = Field(description="together with `disposition`, selects exactly these calls; or null")
    disposition: Disposition | None
    list: str | None = Field(description="path of the list of exactly these calls; null: no filter selects them")


class OutcomesResource(BaseModel):
    """What became of the calls of a campaign, or of all, as campaign-stats has counted it."""

    campaign_id: str | None = Field(description="null: all campaigns")
    interval: Interval
    since: datetime = Field(description="the beginning of the first interval")
    until: datetime
    points: list[OutcomePoint] = Field(description="in their order; intervals without outcomes are left out")
    funnel: Funnel = Field(description="how many calls came how far, at any time")
    reasons: list[CountedReason] = Field(description="why calls ended, at any time; the most frequent reason first")
    undialled_attempts: int = Field(description="attempts that certainly did not reach the network, at any time")

    @classmethod
    def of(cls, query: OutcomesQuery, outcomes: Outcomes) -> "OutcomesResource":
        """Returns the public form of an answer of campaign-stats."""
        counts = sorted(outcomes.reasons.items(), key=lambda pair: (-pair[1], pair[0]))
        return cls(
            campaign_id=query.campaign_id,
            interval=query.interval,
            since=query.interval.begin(query.since),
            until=query.until,
            points=list(outcomes.points),
            funnel=outcomes.funnel,
            reasons=[_counted(reason, count, query.campaign_id) for reason, count in counts],
            undialled_attempts=outcomes.undialled_attempts,
        )


def _counted(reason: EndReason, calls: int, campaign_id: str | None) -> CountedReason:
    status, disposition = LISTED_BY.get(reason, (None, None))
    filters = {"campaign_id": campaign_id, "status": status, "disposition": disposition}
    path = f"{PREFIX}/calls?{urlencode({name: value for name, value in filters.items() if value})}"
    return CountedReason(
        reason=reason, calls=calls, status=status, disposition=disposition, list=path if status else None
    )


@campaign_router.get(f"/{CAMPAIGN}/outcomes", response_model=OutcomesResource, responses=problems(404))
async def campaign_outcomes(
    request: Request,
    campaign_id: CampaignId,
    interval: Length = Interval.HOUR,
    since: Since = None,
    until: Until = None,
) -> OutcomesResource:
    """Returns how far a campaign's calls came, why they ended, and their outcomes over time.

    A campaign without calls is no error. Calls before the upgrade to this version are counted once `centralita replay
    rebuild` has run.
    """
    return await _outcomes(request, campaign_id, interval, since, until)


@router.get("", response_model=OutcomesResource, responses=problems(404))
async def all_outcomes(
    request: Request,
    campaign_id: Annotated[CampaignId | None, Query(description="only this campaign; default: all")] = None,
    interval: Length = Interval.FIVE_MINUTES,
    since: Since = None,
    until: Until = None,
) -> OutcomesResource:
    """Returns how far the calls of all campaigns came, why they ended, and their outcomes over time.

    A key that is limited to campaigns names one of them.
    """
    return await _outcomes(request, campaign_id, interval, since, until)


async def _outcomes(
    request: Request, campaign_id: str | None, interval: Interval, since: datetime | None, until: datetime | None
) -> OutcomesResource:
    lists: Lists = request.app.state.lists
    until = until or datetime.now(UTC)
    since = since or until - POINTS[interval] * interval.length
    try:
        query = OutcomesQuery(campaign_id=campaign_id, interval=interval, since=since, until=until)
    except ValidationError as error:
        reason = error.errors(include_url=False, include_input=False)[0]["msg"].removeprefix("Value error, ")
        raise RequestValidationError([{"type": "value_error", "loc": ("query", "since"), "msg": reason}]) from None
    return OutcomesResource.of(query, await lists.outcomes(query))
