"""When the contacts of one group may first be called in a campaign: for a dry run, and before a contact is added."""

from collections.abc import Callable
from datetime import datetime

from call_orchestrator.application.call_terms import NO_TERMS, Policy
from call_orchestrator.application.decision_terms import met_requirements, weekly_hours_of
from call_orchestrator.application.stored import load_campaign
from call_orchestrator.domain.calling_policy import Forbidden, PutOff, Requirement
from call_orchestrator.ports import Log
from contracts import Campaign
from contracts.callees import Callee
from contracts.queries import CallingTimes, CallingTimesQuery


class CallingTimesService:
    """Answers queries for calling times."""

    def __init__(self, log: Log, policy: Policy, now: Callable[[], datetime]) -> None:
        self._log = log
        self._policy = policy
        self._now = now

    async def handle(self, query: CallingTimesQuery) -> CallingTimes:
        """Returns when the group may first be called. Only reads, so a repetition is harmless."""
        stored = await load_campaign(self._log, query.campaign_id)
        callee = Callee(country=query.country, regions=query.regions, zones=query.zones)
        return calling_times(stored.campaign, callee, self._policy, self._now())


def calling_times(campaign: Campaign, callee: Callee, policy: Policy, now: datetime) -> CallingTimes:
    """Returns when `callee` may first be called in the campaign, from its start on if that is later than `now`."""
    if callee.country and callee.number_country not in policy.allowed_countries:
        allowed = ", ".join(sorted(policy.allowed_countries))
        detail = f"numbers of the country {callee.number_country} are not called; allowed are {allowed}"
        return CallingTimes(first_at=None, rule="country_not_allowed", detail=f"{detail} (ALLOWED_COUNTRIES)")
    at = max(now, campaign.starts_at or now)
    if policy.calling_policy is None:
        return CallingTimes(first_at=at, rule="no_policy", detail="no calling policy applies")
    terms, purpose = campaign.terms or NO_TERMS, campaign.dial_terms.purpose
    met = met_requirements(None, terms.caller_id, terms.company, callee)
    unmet = policy.calling_policy.unmet(callee, purpose=purpose, met=met | {Requirement.CONSENT})
    if unmet:  # of no contact
        return CallingTimes(first_at=None, rule=unmet.reason.rule, detail=unmet.reason.detail)
    permission = policy.calling_policy.next_permitted(
        callee, purpose=purpose, at=at, hours=weekly_hours_of(campaign.dial_terms.weekly_hours)
    )
    if isinstance(permission, Forbidden):
        return CallingTimes(first_at=None, rule=permission.reason.rule, detail=permission.reason.detail)
    first_at = permission.until if isinstance(permission, PutOff) else at
    if campaign.ends_at and first_at >= campaign.ends_at:
        detail = f"the campaign ends before the first permitted time; {permission.reason.detail}"
        return CallingTimes(first_at=None, rule="campaign_period", detail=detail)
    return CallingTimes(
        first_at=first_at,
        rule=permission.reason.rule,
        detail=permission.reason.detail,
        requires_consent=policy.calling_policy.unmet(callee, purpose=purpose, met=met) is not None,
    )
