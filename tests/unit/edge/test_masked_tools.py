"""The tools of a campaign in an entry of the audit log."""

from contracts import AgentTools, CampaignTerms
from contracts.agent_tools import HttpTool, TransferDestination
from edge.application.campaigns import Campaign
from edge.application.masking import mask_campaign

TOOLS = AgentTools(
    http=(HttpTool(name="free_slots", description="Free hours", parameters={}, url="https://example.com/"),),
    transfers=(TransferDestination(name="reception", description="Until six", phone_number="+12125550199"),),
)


def test_numbers_of_destinations_are_masked_and_urls_are_not() -> None:
    masked = mask_campaign(Campaign(campaign_id="spring", terms=CampaignTerms(tools=TOOLS)))["terms"]["tools"]
    assert "+12125550199" not in str(masked)
    assert masked["transfers"][0]["phone_number"].startswith("+1")
    assert masked["http"][0]["url"] == "https://example.com/"


def test_terms_without_tools_are_masked_too() -> None:
    assert mask_campaign(Campaign(campaign_id="spring", terms=CampaignTerms()))["terms"]["tools"] is None
