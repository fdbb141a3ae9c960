"""When a callee who asks for it may be called again: for the agent, which says it in the conversation.

What the answer says is decided again when the call is dialled; then it may be refused or put off.
"""

from collections.abc import Callable
from datetime import datetime

from call_orchestrator.application.call_terms import NO_TERMS, Policy
from call_orchestrator.application.decision_terms import terms_of
from call_orchestrator.application.snapshots import state_of
from call_orchestrator.application.stored import load_call, load_campaign
from call_orchestrator.domain.callbacks import callback_at, callback_refusal
from call_orchestrator.domain.calling_policy import Forbidden, PutOff
from call_orchestrator.ports import Log
from contracts import Call, Campaign
from contracts.callback_times import CallbackTime, CallbackTimeQuery

UNKNOWN = CallbackTime(at=None, detail="there is no such call")


class CallbackTimesService:
    """Answers queries for the time of a callback."""

    def __init__(self, log: Log, policy: Policy, now: Callable[[], datetime]) -> None:
        self._log = log
        self._policy = policy
        self._now = now

    async def handle(self, query: CallbackTimeQuery) -> CallbackTime:
        """Returns when the call may be dialled once more. Only reads, so a repetition is harmless."""
        stored = await load_call(self._log, query.call_id)
        if stored is None:
            return UNKNOWN
        campaign = (await load_campaign(self._log, stored.call.campaign_id)).campaign
        return callback_time(stored.call, campaign, self._policy, max(query.at, self._now()))


def callback_time(call: Call, campaign: Campaign, policy: Policy, at: datetime) -> CallbackTime:
    """Returns the first instant, not before `at`, at which the call may be dialled once more."""
    dial_terms = (campaign.terms or NO_TERMS).dial_terms
    terms = terms_of(
        call,
        policy.dial_within,
        policy.calling_policy,
        dial_terms,
        is_campaign_finished=campaign.finished_at is not None,
    )
    if refusal := callback_refusal(state_of(call), terms):
        return CallbackTime(at=None, detail=refusal)
    permitted_at, permission = callback_at(at, terms, call.dialed_at if call.status.is_live else None)
    if isinstance(permission, Forbidden):
        return CallbackTime(at=None, detail=permission.reason.detail)
    if campaign.ends_at and permitted_at >= campaign.ends_at:
        return CallbackTime(at=None, detail=f"the campaign ends at {campaign.ends_at:%Y-%m-%d %H:%M} UTC")
    detail = permission.reason.detail if isinstance(permission, PutOff) else ""
    return CallbackTime(at=permitted_at, detail=detail)
