"""A third kind of campaign event does not resume a paused campaign."""

from datetime import timedelta
from typing import ClassVar

from tests.builders.calls import NOW
from tests.builders.events import campaign_paused, campaign_resumed

from call_orchestrator.adapters.nats.feeds import campaigns_after
from campaign_stats.projection import project
from contracts import CampaignDecision

PAUSED = campaign_paused("reminders", reason="public holiday")


class PaceChanged(CampaignDecision):
    """A third kind of event, about something else."""

    event_name: ClassVar[str] = "campaign.pace_changed"


LATER = PaceChanged(campaign=PAUSED.campaign, occurred_at=NOW + timedelta(hours=1))


def test_admission_keeps_the_campaign_paused() -> None:
    assert campaigns_after([PAUSED, LATER])["reminders"].is_paused
    assert not campaigns_after([PAUSED, LATER, campaign_resumed("reminders")])["reminders"].is_paused


def test_the_statistics_keep_the_pause_and_its_instant() -> None:
    [standing] = project({}, [(1, PAUSED), (2, LATER)]).campaigns.values()
    assert (standing.paused, standing.since, standing.reason) == (True, NOW, "public holiday")
