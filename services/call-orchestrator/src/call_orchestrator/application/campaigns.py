"""Pauses and resumes campaigns: load, decide, append, as for calls."""

from collections.abc import Callable
from datetime import datetime

import structlog

from call_orchestrator.application.stored import load_campaign
from call_orchestrator.ports import Log
from chassis.event_log import Guard
from contracts import (
    Campaign,
    CampaignDecision,
    CampaignPaused,
    CampaignPauseRequested,
    CampaignResumed,
    CampaignResumeRequested,
    CommandOutcome,
    Envelope,
)
from contracts.filters import campaign_state_filter

CampaignCommand = CampaignPauseRequested | CampaignResumeRequested

logger = structlog.get_logger()


class CampaignService:
    """Decides commands about campaigns."""

    def __init__(self, log: Log, now: Callable[[], datetime]) -> None:
        self._log = log
        self._now = now

    async def handle(self, command: CampaignCommand, cause: Envelope) -> CommandOutcome:
        """Pauses or resumes the campaign; changes nothing if it is so already. Raises Conflict.

        A second delivery is harmless: the consumer delivers in order, so it arrives before the next command and finds
        what the first one did. After a conflict the command is not decided again here; it is delivered again.
        """
        stored = await load_campaign(self._log, command.campaign_id)
        if event := _decide(command, stored.campaign, self._now()):
            guard = Guard(campaign_state_filter(command.campaign_id), stored.sequence)
            await self._log.append(event, cause=cause, guard=guard)
            logger.info("campaign_decided", event_name=event.event_name)
        return CommandOutcome(accepted=True, campaign_id=command.campaign_id)


def _decide(command: CampaignCommand, campaign: Campaign, now: datetime) -> CampaignDecision | None:
    match command:
        case CampaignPauseRequested() if not campaign.is_paused:
            return CampaignPaused(campaign=campaign.paused(now, command.reason), occurred_at=now)
        case CampaignResumeRequested() if campaign.is_paused:
            return CampaignResumed(campaign=campaign.resumed(now), occurred_at=now)
        case _:
            return None
