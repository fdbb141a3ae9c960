"""Retries the calls of a campaign that ended without success, a page at a time.

Campaign-stats names the calls of a page, and each of them gets an ordinary ``call.retry_requested``. Its message id
follows from the bulk retry and the call, so the orchestrator decides it once, however often a page is repeated.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Self
from uuid import UUID, uuid5

import uuid_utils
from pydantic import BaseModel, ConfigDict, Field

from contracts import CallRetryRequested, CallStatus, CampaignCallsQuery, CampaignId, CommandOutcome
from edge.ports import Backlog, Requests, Statistics


@dataclass(frozen=True, slots=True)
class Cursor:
    """The position of a bulk retry: its id, and the last call of the previous page."""

    retry_id: UUID
    after: UUID | None = None

    @classmethod
    def begin(cls) -> Self:
        """Returns the position before the first page of a new bulk retry."""
        return cls(UUID(str(uuid_utils.uuid7())))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Returns the position that a page gave as `next`. Raises ValueError."""
        retry_id, _, after = text.partition(".")
        return cls(UUID(retry_id), UUID(after))

    def __str__(self) -> str:
        return f"{self.retry_id}.{self.after}"


class RetriedPage(BaseModel):
    """What became of the calls of one page."""

    model_config = ConfigDict(frozen=True)

    campaign_id: CampaignId
    requested: int = Field(description="calls that will be dialled again")
    refused: int = Field(description="calls that refuse it: no longer ended, archived, or dialled max_retries times")
    undecided: int = Field(description="calls whose retry is stored and not decided yet")
    next: str | None = Field(description="the cursor of the next page; null: this was the last one")


class BulkRetry:
    """Retries pages of calls. Costs one request to campaign-stats and one command per call."""

    def __init__(self, requests: Requests, statistics: Statistics, backlog: Backlog) -> None:
        self._requests = requests
        self._statistics = statistics
        self._backlog = backlog

    async def retry(
        self,
        campaign_id: CampaignId,
        statuses: tuple[CallStatus, ...],
        *,
        limit: int,
        cursor: Cursor,
        reserve: Callable[[Sequence[UUID]], Awaitable[None]],
    ) -> RetriedPage:
        """Retries up to `limit` calls after the cursor, once `reserve` has returned for them.

        Raises the errors of `reserve`, BacklogFull, Unavailable and TooLarge. Some of the calls may have been retried
        then; the same page may be repeated.
        """
        query = CampaignCallsQuery(campaign_id=campaign_id, statuses=statuses, after=cursor.after, limit=limit)
        page = await self._statistics.calls(query)
        await self._backlog.check(len(page.call_ids))
        await reserve(page.call_ids)
        sending = [self._send(cursor.retry_id, call_id) for call_id in page.call_ids]
        results = await asyncio.gather(*sending, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        accepted = [result.accepted for result in results if isinstance(result, CommandOutcome)]
        return RetriedPage(
            campaign_id=campaign_id,
            requested=accepted.count(True),
            refused=accepted.count(False),
            undecided=results.count(None),
            next=str(Cursor(cursor.retry_id, page.call_ids[-1])) if page.has_more else None,
        )

    async def _send(self, retry_id: UUID, call_id: UUID) -> CommandOutcome | None:
        return await self._requests.send(CallRetryRequested(call_id=call_id), str(uuid5(retry_id, str(call_id))))
