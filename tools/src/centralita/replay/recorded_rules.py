"""What the decisions of a recorded log depend on beside their call and their input, as far as the record has it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from call_orchestrator.domain.calling_policy import CallingPolicy
from centralita.replay.call_history import Input
from centralita.replay.decisions import country_called, decide_again, policy_of, terms_in
from centralita.replay.record import Record
from centralita.replay.split_record import SplitRecord
from centralita.replay.waiting_calls import WaitingCalls
from chassis.event_log import StoredEvent
from contracts import (
    Call,
    CallCreated,
    CallDecision,
    CallStatus,
    Campaign,
    CampaignDecision,
    CampaignTerms,
    Disposition,
    Envelope,
    NumberBlockRequested,
    OptOutKeyPressed,
    PersonErased,
    RequestsErased,
)
from contracts.call import Permission
from contracts.personal import HIDDEN
from contracts.streams import CALLS, DUE_SOON, REQUESTS
from records.messages import Message

CLOCK_ERROR = timedelta(seconds=1)
"""The largest difference between the clocks of two replicas."""
Recorded = Record | SplitRecord
"""A recorded log, in memory or in files."""
_READ = (
    "call.",
    "campaign.",
    f"{OptOutKeyPressed.event_name}.",
    f"{PersonErased.event_name}.",
    RequestsErased.event_name,
)


@dataclass(frozen=True, slots=True)
class RecordedRules:
    """What a decision depends on beside the call and the input."""

    dial_within: timedelta
    countries: frozenset[str]
    caller_ids: frozenset[str]
    calling_policy: CallingPolicy
    campaign_events: Mapping[str, list[CampaignDecision]]
    may_lack_campaigns: bool
    """Whether events of campaigns may be missing."""
    waiting: WaitingCalls | None
    """None: the record lacks calls that may have waited."""
    listed_numbers: frozenset[str]
    """The numbers that were on a do-not-call list at some time; of sealed ones it is only known that there were any."""
    listed_digests: frozenset[str]
    """The digests of the numbers that erased commands listed, or removed from a list."""
    erased: Mapping[str, datetime]
    """When the erasure of each person was requested last."""

    def decide(
        self,
        before: Call | None,
        stored: StoredEvent,
        call: Call | None,
        at: datetime,
        *,
        asks_policy: bool = True,
        permission: Permission | None = None,
        is_campaign_finished: bool = False,
        late_campaign: Campaign | None = None,
    ) -> CallDecision | None:
        """Returns the decision now, with the rules of the recorded one; `call`: the call after that one."""
        calling_policy = self.calling_policy if asks_policy else None
        if calling_policy and permission:
            calling_policy = calling_policy.of_version(permission.policy_version)
        policy = policy_of(call, self.dial_within, self.countries, calling_policy, self.caller_ids)
        campaign_events = self.campaign_events.get(call.campaign_id, []) if call else []
        return decide_again(
            before,
            stored,
            policy,
            at,
            campaign_events,
            terms_in(call),
            permission,
            is_campaign_finished=is_campaign_finished,
            late_campaign=late_campaign,
        )

    def may_know_finish(self, call: Call, at: datetime) -> bool:
        """Whether a replica may have known at this instant that the campaign of the call is finished."""
        finishes = (event.campaign.finished_at for event in self.campaign_events.get(call.campaign_id, []))
        return self.may_lack_campaigns or any(one and one <= at + CLOCK_ERROR for one in finishes)

    def late_campaigns(self, call: Call, grant: StoredEvent, at: datetime) -> list[Campaign]:
        """Returns what a replica may have read as the campaign of a call if it carried out the grant late, until `at`.

        If events of campaigns may be missing, that is a paused one, or an open one with the recorded terms.
        """
        if self.may_lack_campaigns:
            campaign = Campaign(campaign_id=call.campaign_id)
            return [campaign.paused(at, None), campaign.created(at, terms_in(call)).started(at)]
        campaign, found = Campaign(campaign_id=call.campaign_id), list[Campaign]()
        for event in self.campaign_events.get(call.campaign_id, []):
            if event.occurred_at > at + CLOCK_ERROR:
                break
            if event.occurred_at >= grant.envelope.time - CLOCK_ERROR:
                found.append(campaign)
            campaign = event.campaign
        return [*found, campaign]

    def is_uncertain(self, now: CallDecision | None) -> bool:
        """Whether a pause that the record lacks may have prevented this expiry."""
        return self.may_lack_campaigns and now is not None and now.call.status is CallStatus.EXPIRED

    def may_be_refused(self, now: CallDecision, request: Input) -> bool:
        """Whether a full backlog, a do-not-call list, a campaign or an erasure may have prevented this call.

        The log records no such refusal (ADR 33).
        """
        if not isinstance(now, CallCreated):
            return False
        campaign_events = self.campaign_events.get(now.call.campaign_id, [])
        if self.may_lack_campaigns or any(_may_refuse(event.campaign) for event in campaign_events):
            return True
        if not self.listed_numbers.isdisjoint({now.call.phone_number, HIDDEN}):
            return True
        person = request.stored.envelope.person  # a plain request shows no digest, so it may be about any listed number
        if self.listed_digests and (person is None or person in self.listed_digests):
            return True
        if self._may_be_erased(request.stored.envelope):
            return True
        is_due = now.call.due_at is None or now.call.due_at <= now.occurred_at + DUE_SOON
        return is_due and (self.waiting is None or self.waiting.may_be_full_after(request.message.time))

    def _may_be_erased(self, envelope: Envelope) -> bool:
        """Whether an erasure was requested after this request, which may be about the same person if it is plain."""
        erased = self.erased.values() if envelope.person is None else [self.erased.get(envelope.person)]
        return any(at and at >= envelope.time for at in erased)


def read_rules(record: Recorded, dial_within: timedelta, calling_policy: CallingPolicy) -> tuple[RecordedRules, int]:
    """Returns what decisions depend on beside their call, and the number of decisions on calls."""
    countries, caller_ids = set[str](), set[str]()
    campaign_events: dict[str, list[CampaignDecision]] = {}
    waiting, total, listed_numbers, listed_digests = WaitingCalls(), 0, set[str](), set[str]()
    opted_out, by_key, erased = set[UUID](), set[UUID](), dict[str, datetime]()
    for messages in record.parts():
        for message in messages:
            event = message.event() if _is_read(message) else None
            if isinstance(event, CallDecision):
                total += 1
                if event.call.disposition is Disposition.OPT_OUT:
                    listed_numbers.add(event.call.phone_number)
                    opted_out.add(event.call_id)
                countries.add(country_called(event.call) or "")
                caller_ids.add(event.call.caller_id or "")
                waiting.add(event.call_id, message.time, is_waiting=event.call.is_queued)
            elif isinstance(event, NumberBlockRequested):
                listed_numbers.add(event.phone_number)
            elif isinstance(event, RequestsErased):
                listed_digests |= {one.number_digest for one in event.requests if one.number_digest}
            elif isinstance(event, OptOutKeyPressed):
                by_key.add(event.call_id)
            elif isinstance(event, PersonErased):
                erased[event.number_digest] = event.requested_at
            elif isinstance(event, CampaignDecision):
                campaign_events.setdefault(event.campaign_id, []).append(event)
    if not by_key <= opted_out:  # the key was pressed after the end of the call, so no decision names the number
        listed_numbers.add(HIDDEN)
    has_all_calls = record.scope.call_id is None and record.scope.campaign_id is None
    rules = RecordedRules(
        dial_within,
        frozenset(countries),
        frozenset(caller_ids),
        calling_policy,
        campaign_events,
        may_lack_campaigns=record.scope.is_time_range or record.scope.call_id is not None,
        waiting=waiting if has_all_calls else None,
        listed_numbers=frozenset(listed_numbers),
        listed_digests=frozenset(listed_digests),
        erased=erased,
    )
    return rules, total


def _is_read(message: Message) -> bool:
    if message.stream == REQUESTS.name:
        return message.subject.startswith(f"{NumberBlockRequested.event_name}.")
    return message.stream == CALLS.name and message.subject.startswith(_READ)


def _may_refuse(campaign: Campaign) -> bool:
    return bool(campaign.finished_at) or campaign.terms not in (None, CampaignTerms())
