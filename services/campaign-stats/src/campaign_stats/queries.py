"""Answers requests over NATS: counters, outcomes, ids of a campaign's calls, and lists of calls and campaigns."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from faststream.nats import NatsResponse, NatsRouter
from pydantic import ValidationError
from pymongo.errors import ExecutionTimeout, PyMongoError

from campaign_stats.projection import statistics
from campaign_stats.store import Store
from chassis.subscriptions import body_of
from contracts import (
    CallList,
    CallListQuery,
    CampaignCalls,
    CampaignCallsQuery,
    CampaignList,
    CampaignListQuery,
    CampaignStatistics,
    CampaignStatisticsQuery,
    NumberCallsQuery,
    Outcomes,
    OutcomesQuery,
    ProviderCallsQuery,
    Service,
    reasons_of,
)

logger = structlog.get_logger()

A = TypeVar("A", CallList, CampaignCalls, CampaignList, CampaignStatistics, Outcomes)


def build_router(store: Store) -> NatsRouter:
    """Returns a router with the subscribers in a queue group: any replica answers.

    A repeated request is harmless, because it only reads. An error has an empty body and the headers
    ``Nats-Service-Error-Code`` and ``Nats-Service-Error`` of NATS services (ADR-32 of nats-architecture-and-design).
    The codes are 400 for an invalid query and 503 while MongoDB is unavailable.
    """
    router = NatsRouter()

    @router.subscriber(
        CampaignStatisticsQuery.subject, queue=Service.CAMPAIGN_STATS.value, max_workers=16, decoder=body_of
    )
    async def answer_statistics(body: bytes) -> CampaignStatistics | NatsResponse:
        async def answer() -> CampaignStatistics:
            query = CampaignStatisticsQuery.model_validate_json(body or b"{}")
            return statistics(query.campaign_id, await store.sums(query.campaign_id))

        return await _answer(answer)

    @router.subscriber(CampaignCallsQuery.subject, queue=Service.CAMPAIGN_STATS.value, max_workers=16, decoder=body_of)
    async def answer_calls(body: bytes) -> CampaignCalls | NatsResponse:
        async def answer() -> CampaignCalls:
            return await store.call_ids(CampaignCallsQuery.model_validate_json(body or b"{}"))

        return await _answer(answer)

    @router.subscriber(CallListQuery.subject, queue=Service.CAMPAIGN_STATS.value, max_workers=16, decoder=body_of)
    async def answer_call_list(body: bytes) -> CallList | NatsResponse:
        async def answer() -> CallList:
            return await store.list_calls(CallListQuery.model_validate_json(body or b"{}"))

        return await _answer(answer)

    @router.subscriber(NumberCallsQuery.subject, queue=Service.CAMPAIGN_STATS.value, max_workers=16, decoder=body_of)
    async def answer_number_calls(body: bytes) -> CallList | NatsResponse:
        async def answer() -> CallList:
            return await store.list_calls(NumberCallsQuery.model_validate_json(body or b"{}"))

        return await _answer(answer)

    @router.subscriber(ProviderCallsQuery.subject, queue=Service.CAMPAIGN_STATS.value, max_workers=16, decoder=body_of)
    async def answer_provider_calls(body: bytes) -> CallList | NatsResponse:
        async def answer() -> CallList:
            return await store.list_calls(ProviderCallsQuery.model_validate_json(body or b"{}"))

        return await _answer(answer)

    @router.subscriber(CampaignListQuery.subject, queue=Service.CAMPAIGN_STATS.value, max_workers=16, decoder=body_of)
    async def answer_campaign_list(body: bytes) -> CampaignList | NatsResponse:
        async def answer() -> CampaignList:
            return await store.list_campaigns(CampaignListQuery.model_validate_json(body or b"{}"))

        return await _answer(answer)

    @router.subscriber(OutcomesQuery.subject, queue=Service.CAMPAIGN_STATS.value, max_workers=2, decoder=body_of)
    async def answer_outcomes(body: bytes) -> Outcomes | NatsResponse:
        async def answer() -> Outcomes:
            return await store.outcomes(OutcomesQuery.model_validate_json(body or b"{}"))

        return await _answer(answer)

    return router


async def _answer(answer: Callable[[], Awaitable[A]]) -> A | NatsResponse:
    try:
        return await answer()
    except ValidationError as error:
        return _error(400, "; ".join(reasons_of(error)))
    except ExecutionTimeout:
        return _error(503, "the query read too many calls: name a campaign, or fewer other fields")
    except PyMongoError as error:
        logger.warning("query_failed", error=type(error).__name__)
        return _error(503, "MongoDB is unavailable")


def _error(code: int, reason: str) -> NatsResponse:
    return NatsResponse(b"", headers={"Nats-Service-Error-Code": str(code), "Nats-Service-Error": reason})
