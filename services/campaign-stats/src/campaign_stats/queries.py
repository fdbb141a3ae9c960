"""Answers requests over NATS for the counters of one campaign, or of all."""

import structlog
from faststream.nats import NatsResponse, NatsRouter
from pydantic import ValidationError
from pymongo.errors import PyMongoError

from campaign_stats.projection import statistics
from campaign_stats.store import Store
from chassis.subscriptions import body_of
from contracts import CampaignStatistics, CampaignStatisticsQuery, Service, reasons_of

logger = structlog.get_logger()


def build_router(store: Store) -> NatsRouter:
    """Returns a router with one subscriber in a queue group: any replica answers.

    A repeated request is harmless, because it only reads. An error has an empty body and the headers
    ``Nats-Service-Error-Code`` and ``Nats-Service-Error`` of NATS services (ADR-32 of nats-architecture-and-design).
    The codes are 400 for an invalid query and 503 while MongoDB is unavailable.
    """
    router = NatsRouter()

    @router.subscriber(
        CampaignStatisticsQuery.subject, queue=Service.CAMPAIGN_STATS.value, max_workers=16, decoder=body_of
    )
    async def answer(body: bytes) -> CampaignStatistics | NatsResponse:
        try:
            query = CampaignStatisticsQuery.model_validate_json(body or b"{}")
            return statistics(query.campaign_id, await store.sums(query.campaign_id))
        except ValidationError as error:
            return _error(400, "; ".join(reasons_of(error)))
        except PyMongoError as error:
            logger.warning("query_failed", error=type(error).__name__)
            return _error(503, "MongoDB is unavailable")

    return router


def _error(code: int, reason: str) -> NatsResponse:
    return NatsResponse(b"", headers={"Nats-Service-Error-Code": str(code), "Nats-Service-Error": reason})
