"""How campaigns stand, under ``/api/v1/campaigns``."""

import asyncio

from fastapi import Request

from contracts import CampaignId
from edge.application.calls import Calls
from edge.application.campaigns import Campaigns
from edge.entrypoints.bodies import CallMetrics, CampaignView
from edge.entrypoints.scopes import CAMPAIGN, Reading, router

reading = router(Reading, "/campaigns", "Campaigns")


@reading.get(f"/{CAMPAIGN}", response_model=CampaignView)
async def get_campaign(request: Request, campaign_id: CampaignId) -> CampaignView:
    """Whether the campaign is paused, by the log, and its calls as campaign-stats counts them: none is no error."""
    campaigns: Campaigns = request.app.state.campaigns
    calls: Calls = request.app.state.calls
    campaign, statistics = await asyncio.gather(campaigns.get(campaign_id), calls.statistics(campaign_id))
    return CampaignView(**campaign.model_dump(), calls=CallMetrics.of(statistics))
