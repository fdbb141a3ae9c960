"""Reads how far calls came, why they ended, and their outcomes over time.

The counters of a campaign are one document. Its outcomes over time are one document for each day, by hours, and one for
each hour, by minutes; which of them an answer reads follows from its interval. Their ids follow from the campaign and
the time, so an answer reads at most `MAX_DOCUMENTS` by their ids, however long the log is.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from pymongo.asynchronous.collection import AsyncCollection

from campaign_stats.documents import Document, Span
from campaign_stats.lists import MAX_QUERY_MILLISECONDS
from campaign_stats.outcomes import FUNNEL, OF_FUNNEL, OF_REASONS, UNDIALLED_ATTEMPTS
from campaign_stats.projection import ALL
from contracts.outcomes import EndReason, Funnel, OutcomePoint, Outcomes, OutcomesQuery

MAX_DOCUMENTS = 32
"""The days of the longest query; the first one begins at midnight."""


async def read_outcomes(
    campaigns: AsyncCollection[Document], outcomes: AsyncCollection[Document], query: OutcomesQuery
) -> Outcomes:
    """Returns the outcomes of a campaign, or of all; zero for an unknown one."""
    campaign = query.campaign_id or ALL
    fields = {"_id": 0, **dict.fromkeys(("total", *OF_FUNNEL, *OF_REASONS), 1)}
    sums = await campaigns.find_one({"_id": campaign}, fields, max_time_ms=MAX_QUERY_MILLISECONDS) or {}
    counts = {reason: sums.get(f"reason_{reason}", 0) for reason in EndReason}
    return Outcomes(
        funnel=Funnel(
            requested=sums.get("total", 0),
            **{stage.name.lower(): sums.get(counter, 0) for stage, counter in FUNNEL.items()},
        ),
        reasons={reason: count for reason, count in counts.items() if count},
        undialled_attempts=sums.get(UNDIALLED_ATTEMPTS, 0),
        points=tuple(await _points(outcomes, campaign, query)),
    )


async def _points(outcomes: AsyncCollection[Document], campaign: str, query: OutcomesQuery) -> Iterator[OutcomePoint]:
    since, interval = query.interval.begin(query.since), query.interval
    span = Span.HOUR if interval.length < Span.DAY.length else Span.DAY
    ids = sorted({span.document_id(campaign, at) for at in _instants(since, query.until, span.length)})
    found = await outcomes.find({"_id": {"$in": ids}}).max_time_ms(MAX_QUERY_MILLISECONDS).to_list()
    sums: dict[datetime, Counter[str]] = {}
    for document in found:
        begin = span.begin(document.pop("_id"))
        for part, counts in document.items():
            if since <= (at := begin + int(part) * span.length) < query.until:
                sums.setdefault(interval.begin(at), Counter()).update(counts)
    return (OutcomePoint.model_validate({**sums[at], "at": at}) for at in sorted(sums))


def _instants(since: datetime, until: datetime, step: timedelta) -> Iterator[datetime]:
    """Yields an instant in each part of a span."""
    while since < until:
        yield since
        since += step
