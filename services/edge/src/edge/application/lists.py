"""Pages of calls and campaigns, as campaign-stats has projected them, and the cursors between them.

A cursor names the last item of a page. It is opaque to clients: base64url without padding, of values that never change.
"""

import base64
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from contracts import CallListQuery, Outcomes, OutcomesQuery
from contracts.queries import CallPosition, CampaignListQuery, ListedCall, ListedCampaign
from edge.ports import Statistics

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class CallPage:
    """Calls from the newest to the oldest; `next_cursor`: that of the next page, if there is one."""

    calls: tuple[ListedCall, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class CampaignPage:
    """Campaigns in the order of their ids; `next_cursor`: that of the next page, if there is one."""

    campaigns: tuple[ListedCampaign, ...]
    next_cursor: str | None


class Lists:
    """Lists of calls and campaigns, and the outcomes of calls. Every method raises Unavailable."""

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics

    async def calls(self, query: CallListQuery) -> CallPage:
        """Returns one page of calls."""
        page = await self._statistics.list_calls(query)
        return CallPage(page.calls, call_cursor(page.calls[-1]) if page.has_more and page.calls else None)

    async def campaigns(self, campaign_ids: Collection[str] | None, *, after: str | None, limit: int) -> CampaignPage:
        """Returns one page of campaigns; of these only, unless `campaign_ids` is None."""
        ids = None if campaign_ids is None else tuple(sorted(campaign_ids))
        page = await self._statistics.list_campaigns(CampaignListQuery(campaign_ids=ids, after=after, limit=limit))
        last = page.campaigns[-1].campaign_id if page.has_more and page.campaigns else None
        return CampaignPage(page.campaigns, _encode(last) if last else None)

    async def outcomes(self, query: OutcomesQuery) -> Outcomes:
        """Returns how far calls came, why they ended, and their outcomes over time."""
        return await self._statistics.outcomes(query)


def call_cursor(call: ListedCall) -> str:
    """Returns the cursor of the page after a call."""
    return _encode(f"{(call.created_at - _EPOCH) // _MILLISECOND}.{call.call_id}")


def parse_call_cursor(cursor: str) -> CallPosition:
    """Returns the position that a cursor names. Raises ValueError."""
    milliseconds, _, call_id = _decode(cursor).partition(".")
    try:
        created_at = _EPOCH + int(milliseconds) * _MILLISECOND
    except OverflowError as error:
        raise ValueError(cursor) from error
    return CallPosition(created_at=created_at, call_id=UUID(call_id))


def parse_campaign_cursor(cursor: str) -> str:
    """Returns the id of the campaign that a cursor names. Raises ValueError."""
    return CampaignListQuery(after=_decode(cursor), limit=1).after or ""


def _encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str) -> str:
    return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
