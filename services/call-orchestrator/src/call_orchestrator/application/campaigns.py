"""Decides commands about campaigns: load, decide, append, as for calls."""

from collections.abc import Callable
from datetime import datetime

import structlog

from call_orchestrator.application.call_terms import UnacceptableTerms, check_caller_id, check_destinations
from call_orchestrator.application.stored import load_campaign
from call_orchestrator.domain.decisions import Refused
from call_orchestrator.ports import Log
from chassis.event_log import Guard
from contracts import (
    Campaign,
    CampaignChanged,
    CampaignChangeRequested,
    CampaignCommand,
    CampaignCreated,
    CampaignCreateRequested,
    CampaignDecision,
    CampaignFinished,
    CampaignFinishRequested,
    CampaignPaused,
    CampaignPauseRequested,
    CampaignResumed,
    CampaignResumeRequested,
    CampaignStarted,
    CampaignStartRequested,
    CommandOutcome,
    Envelope,
    RequestedTerms,
)
from contracts.filters import campaign_state_filter

_UNDECLARED = Refused("campaign_id: no campaign was created with this id; create it first")
_FINISHED = Refused("campaign_id: the campaign is finished; create another one")
_OTHER_VERSION = Refused("version: the campaign has changed meanwhile; read it again, and send the change anew")

logger = structlog.get_logger()


class CampaignService:
    """Decides commands about campaigns. `caller_ids`: the numbers that may call.

    `allowed_countries`: those to which calls may be transferred.
    """

    def __init__(
        self,
        log: Log,
        now: Callable[[], datetime],
        caller_ids: frozenset[str] = frozenset(),
        allowed_countries: frozenset[str] = frozenset(),
    ) -> None:
        self._log = log
        self._now = now
        self._caller_ids = caller_ids
        self._allowed_countries = allowed_countries

    async def handle(self, command: CampaignCommand, cause: Envelope) -> CommandOutcome:
        """Carries out the command; changes nothing if the campaign is so already. Raises Conflict.

        A second delivery is harmless: the consumer delivers in order, so it arrives before the next command and finds
        what the first one did. After a conflict the command is not decided again here; it is delivered again.
        """
        stored = await load_campaign(self._log, command.campaign_id)
        decision = self._refusal(command) or decide_campaign(command, stored.campaign, self._now())
        if isinstance(decision, CampaignChanged) and not _is_version(command, stored.sequence):
            decision = _OTHER_VERSION
        if isinstance(decision, Refused):
            return CommandOutcome(accepted=False, campaign_id=command.campaign_id, reasons=(decision.reason,))
        if decision:
            guard = Guard(campaign_state_filter(command.campaign_id), stored.sequence)
            await self._log.append(decision, cause=cause, guard=guard)
            logger.info("campaign_decided", event_name=decision.event_name)
        return CommandOutcome(accepted=True, campaign_id=command.campaign_id)

    def _refusal(self, command: CampaignCommand) -> Refused | None:
        """Returns why the terms of a command are refused in this installation."""
        if not isinstance(command, CampaignCreateRequested | CampaignChangeRequested):
            return None
        try:
            check_caller_id(command.terms.caller_id, self._caller_ids)
            check_destinations(command.terms.stored().tools, self._allowed_countries)
        except UnacceptableTerms as error:
            return Refused(str(error))
        return None


def _is_version(command: CampaignCommand, sequence: int) -> bool:
    """Whether a change is about the campaign as its event with this sequence has left it.

    It is asked only if the terms differ: a change that is delivered again finds its own event, and is accepted.
    """
    version = command.campaign_version if isinstance(command, CampaignChangeRequested) else None
    return version is None or version == sequence


def decide_campaign(command: CampaignCommand, campaign: Campaign, now: datetime) -> CampaignDecision | Refused | None:
    """Returns the event that follows from a command, why it is refused, or None if the campaign is so already."""
    if isinstance(command, CampaignFinishRequested):
        return _finish(campaign, now)
    if campaign.finished_at:
        return _FINISHED
    match command:
        case CampaignPauseRequested() if not campaign.is_paused:
            return CampaignPaused(campaign=campaign.paused(now, command.reason), occurred_at=now)
        case CampaignResumeRequested() if campaign.is_paused:
            return CampaignResumed(campaign=campaign.resumed(now), occurred_at=now)
        case CampaignCreateRequested():
            return _create(campaign, command.terms, now)
        case CampaignChangeRequested():
            return _change(campaign, command.terms, now)
        case CampaignStartRequested():
            return _start(campaign, now)
        case _:
            return None


def _create(campaign: Campaign, requested: RequestedTerms, now: datetime) -> CampaignDecision | Refused | None:
    terms = requested.stored()
    if campaign.terms is None:
        return CampaignCreated(campaign=campaign.created(now, terms), occurred_at=now)
    if campaign.terms == terms:
        return None
    return Refused("campaign_id: the campaign exists with other terms; change it, or choose another id")


def _change(campaign: Campaign, requested: RequestedTerms, now: datetime) -> CampaignDecision | Refused | None:
    terms = requested.stored()
    if campaign.terms is None:
        return _UNDECLARED
    if campaign.terms == terms:
        return None
    return CampaignChanged(campaign=campaign.changed(terms), occurred_at=now)


def _start(campaign: Campaign, now: datetime) -> CampaignDecision | Refused | None:
    if campaign.terms is None:
        return _UNDECLARED
    if campaign.started_at:
        return None
    if campaign.ends_at and campaign.ends_at <= now:
        return Refused("ends_at: the period of the campaign is over; change it first")
    return CampaignStarted(campaign=campaign.started(now), occurred_at=now)


def _finish(campaign: Campaign, now: datetime) -> CampaignDecision | Refused | None:
    if campaign.terms is None:
        return _UNDECLARED
    if campaign.finished_at:
        return None
    return CampaignFinished(campaign=campaign.finished(now), occurred_at=now)
