"""The REST API that reads campaigns, under ``/api/v1/campaigns``."""

import asyncio

from fastapi import Request

from contracts import CampaignId
from edge.application.calls import Calls
from edge.application.campaigns import Campaigns
from edge.entrypoints.campaign_resources import CallMetrics, CampaignResource
from edge.entrypoints.openapi import problems
from edge.entrypoints.scopes import CAMPAIGN, ReadRoute, create_router

read_router = create_router(ReadRoute, "/campaigns", "Campaigns")


@read_router.get(f"/{CAMPAIGN}", response_model=CampaignResource, responses=problems(404))
async def get_campaign(request: Request, campaign_id: CampaignId) -> CampaignResource:
    """Returns a campaign from the log, with the counters of campaign-stats. A campaign without calls is no error."""
    campaigns: Campaigns = request.app.state.campaigns
    calls: Calls = request.app.state.calls
    campaign, statistics = await asyncio.gather(campaigns.get(campaign_id), calls.statistics(campaign_id))
    return CampaignResource(**campaign.model_dump(), calls=CallMetrics.of(statistics))
