"""Pausing and resuming campaigns: load, decide, append, as with calls; the state is the campaign's last fact."""

from collections.abc import Callable
from datetime import datetime

import structlog

from call_orchestrator.ports import CampaignLog
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

Command = CampaignPauseRequested | CampaignResumeRequested

logger = structlog.get_logger()


class CampaignService:
    """Decides whether campaigns are paused."""

    def __init__(self, log: CampaignLog, now: Callable[[], datetime]) -> None:
        self._log = log
        self._now = now

    async def ask(self, command: Command, cause: Envelope) -> CommandOutcome:
        """Pauses or resumes a campaign; where it stands so already, nothing is changed. Raises Conflict.

        Idempotent, since its consumer keeps the order: a command that comes again comes before the next one, and finds
        what it has done. Whoever loses the race does not decide again: the winner had the same command, or a newer one.
        """
        stored = await self._log.load(command.campaign_id)
        if event := _decide(command, stored.campaign, self._now()):
            await self._log.append(event, after=stored.sequence, cause=cause)
            logger.info("decided", fact=event.event_name)
        return CommandOutcome(accepted=True, campaign_id=command.campaign_id)


def _decide(command: Command, campaign: Campaign, now: datetime) -> CampaignDecision | None:
    match command:
        case CampaignPauseRequested() if not campaign.is_paused:
            return CampaignPaused(campaign=campaign.paused(now, command.reason), occurred_at=now)
        case CampaignResumeRequested() if campaign.is_paused:
            return CampaignResumed(campaign=campaign.resumed(now), occurred_at=now)
        case _:
            return None
