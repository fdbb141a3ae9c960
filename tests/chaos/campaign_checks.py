"""What must be true of the contacts and the dials of campaigns after a chaos run.

The checks read the recorded log and the terms of the campaigns in it. They import nothing of the calling policy. The
log has the digests of numbers.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from tests.chaos.campaigns import Contact
from tests.chaos.checks import Log

from contracts import (
    AdmissionGranted,
    Call,
    CallCreated,
    CallDecision,
    CallEvent,
    CallPutOff,
    CallStatus,
    CallStatusChanged,
    Campaign,
    CampaignContactsExpired,
    CampaignDecision,
    ContactAdded,
    ContactRefused,
    ConversationEnded,
    Disposition,
    OptOutKeyPressed,
)
from contracts.streams import CALLS
from records.messages import Message

GRANT_TOLERANCE = timedelta(seconds=1)
"""A pause, a change and the end of a period take effect within this time (docs/campaigns.md)."""


@dataclass(frozen=True, slots=True)
class Cap:
    """At most so many dials of a number of this region, during the whole run."""

    region: str
    max_dials: int


@dataclass(frozen=True, slots=True)
class Dial:
    """The begin of an attempt, its grant, and the states of its campaign in the second before the grant."""

    call: Call
    granted_at: datetime
    campaigns: tuple[Campaign, ...]
    earlier_dials: int
    """How often the number was dialled before, without undialled attempts."""

    def __str__(self) -> str:
        return f"{self.call.call_id}: attempt {self.call.attempt}, granted at {self.granted_at:%H:%M:%S.%f}"


def dials(log: Log) -> Iterator[Dial]:
    """Yields each dial of the log in its order."""
    states: dict[str, list[tuple[datetime, Campaign]]] = {}
    grants: dict[int, tuple[datetime, tuple[Campaign, ...]]] = {}
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for message in _of_calls(log):
        event = message.event()
        if isinstance(event, CampaignDecision):
            states.setdefault(event.campaign_id, []).append((message.time, event.campaign))
        elif isinstance(event, AdmissionGranted):
            grants[message.sequence] = message.time, _in_force(states.get(event.campaign_id, []), message.time)
        elif isinstance(event, CallDecision):
            of_number = counts[event.call.number_digest or ""]
            if isinstance(event, CallStatusChanged) and event.status is CallStatus.DIALING:
                granted_at, campaigns = grants[event.call.granted_sequence or 0]
                yield Dial(event.call, granted_at, campaigns, sum(of_number.values()))
            of_number[str(event.call_id)] = event.call.attempt - event.call.undialled_attempts


def lost_contacts(log: Log, added: Iterable[Contact], waiting: Collection[ContactAdded]) -> Iterator[str]:
    """Yields each added contact without a call, a refusal and a place in a campaign that goes on.

    The end of a campaign counts its contacts that expire and does not name them, so it may explain as many.
    """
    over, expired = _over(log), _expired(log)
    refused = {
        (event.campaign_id, event.contact_id)
        for message in _of_calls(log)
        if isinstance(event := message.event(), ContactRefused)
    }
    waits = {(one.campaign_id, one.contact_id) for one in waiting if one.campaign_id not in over}
    missing: dict[str, list[str]] = defaultdict(list)
    for contact in added:
        known = (contact.campaign_id, contact.contact_id)
        if not log.decisions(contact.call_id) and known not in refused and known not in waits:
            missing[contact.campaign_id].append(contact.contact_id)
    for campaign_id, contact_ids in missing.items():
        if len(contact_ids) > expired[campaign_id]:
            counted = f"{expired[campaign_id]} expired" if campaign_id in over else "the campaign is not over"
            yield f"{campaign_id}: {counted}, but these have neither a call nor a refusal: {', '.join(contact_ids)}"
    for one in waiting:
        if one.campaign_id in over:
            yield f"{one.campaign_id}: {one.contact_id} waits, but the campaign is over"


def contacts_called_twice(log: Log) -> Iterator[str]:
    """Yields each number with two calls in one campaign of contacts, and each with two live calls at once."""
    of_contact: dict[tuple[str, str], set[str]] = defaultdict(set)
    live: dict[str, str] = {}
    for message in _of_calls(log):
        event = message.event()
        if not isinstance(event, CallDecision):
            continue
        call, call_id, digest = event.call, str(event.call_id), event.call.number_digest or ""
        if isinstance(event, CallCreated) and call.request_id == f"{call.campaign_id}:{call.contact_id}":
            of_contact[call.campaign_id, digest].add(call_id)
        other = live.get(digest, call_id)
        if call.status.is_live and other != call_id:
            yield f"{call_id}: {call.status} at {message.sequence}, while {other} to the same number is live"
        elif call.status.is_live:
            live[digest] = call_id
        elif other == call_id:
            live.pop(digest, None)
    for (campaign_id, _), call_ids in of_contact.items():
        if len(call_ids) > 1:
            yield f"{campaign_id}: one number has the calls {', '.join(sorted(call_ids))}"


def dials_while_paused(log: Log) -> Iterator[str]:
    """Yields each dial that was granted more than a second after a pause, before the resume."""
    for dial in dials(log):
        if dial.campaigns and all(campaign.is_paused for campaign in dial.campaigns):
            yield f"{dial}: the campaign was paused at {dial.campaigns[0].changed_at:%H:%M:%S.%f}"


def dials_against_the_policy(log: Log, listed_at: Mapping[str, datetime], cap: Cap) -> Iterator[str]:
    """Yields each dial that a list, the period or the hours of its campaign, or the cap forbade at its grant."""
    for dial in dials(log):
        call = dial.call
        listed = listed_at.get(call.number_digest or "")
        if listed and dial.granted_at > listed:
            yield f"{dial}: the number was listed at {listed:%H:%M:%S.%f}"
        if call.callee and call.callee.regions == (cap.region,) and dial.earlier_dials >= cap.max_dials:
            yield f"{dial}: the number was dialled {dial.earlier_dials} times before"
        if dial.campaigns and not any(_is_in_period(one, dial.granted_at) for one in dial.campaigns):
            yield f"{dial}: {call.campaign_id} was not started, or its period was over"
        if dial.campaigns and not any(_is_in_hours(one, call, dial.granted_at) for one in dial.campaigns):
            yield f"{dial}: the hours of {call.campaign_id} were closed in {call.time_zone}"


def opt_outs_without_an_entry(log: Log, listed_at: Mapping[str, datetime]) -> Iterator[str]:
    """Yields each call in which the person opted out although no list has the number."""
    for message in _of_calls(log):
        event = message.event()
        is_said = isinstance(event, ConversationEnded) and event.disposition is Disposition.OPT_OUT
        if isinstance(event, CallEvent) and (is_said or isinstance(event, OptOutKeyPressed)):
            call = log.last(event.call_id)
            if call and call.number_digest not in listed_at:
                yield f"{event.call_id}: the person opted out at {message.sequence}, and no list has the number"


def counts(
    log: Log, added: Collection[Contact], waiting: Collection[ContactAdded], listed_at: Mapping[str, datetime]
) -> Counter[str]:
    """Returns what became of the contacts."""
    put_off = Counter(
        event.call.permission.rule
        for message in _of_calls(log)
        if isinstance(event := message.event(), CallPutOff) and event.call.permission
    )
    return Counter(
        {
            "added": len(added),
            "with a call": sum(1 for contact in added if log.decisions(contact.call_id)),
            "expired": sum(_expired(log).values()),
            "waiting in closed hours": len(waiting),
            "numbers listed by an opt-out": len(listed_at),
            "calls put off by the cap": put_off["frequency"],
            "calls put off by another live call": put_off["number_in_use"],
        }
    )


def _of_calls(log: Log) -> Iterator[Message]:
    return (message for message in log.record.messages if message.stream == CALLS.name)


def _in_force(states: list[tuple[datetime, Campaign]], granted_at: datetime) -> tuple[Campaign, ...]:
    """Returns the states of a campaign that a grant at this instant may have used, oldest first.

    There is none if the campaign had no event a second before the grant.
    """
    since = granted_at - GRANT_TOLERANCE
    first = max((index for index, (stored_at, _) in enumerate(states) if stored_at < since), default=None)
    return () if first is None else tuple(campaign for _, campaign in states[first:])


def _is_in_period(campaign: Campaign, at: datetime) -> bool:
    """Whether the campaign runs at this instant. Undeclared campaigns have no period."""
    if (terms := campaign.terms) is None:
        return True
    if campaign.started_at is None or campaign.finished_at is not None:
        return False
    has_begun = terms.starts_at is None or terms.starts_at <= at
    return has_begun and (terms.ends_at is None or at < terms.ends_at + GRANT_TOLERANCE)


def _is_in_hours(campaign: Campaign, call: Call, at: datetime) -> bool:
    """Whether a window of the campaign is open where the call says that the person is."""
    if campaign.terms is None or not campaign.terms.weekly_hours or call.time_zone is None:
        return True
    local = at.astimezone(ZoneInfo(call.time_zone))
    weekday = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[local.weekday()]
    return any(
        weekday in window.days and window.opens_at <= f"{local:%H:%M}" < window.closes_at
        for window in campaign.terms.weekly_hours
    )


def _over(log: Log) -> set[str]:
    """Returns the campaigns that are over at the end of the log."""
    newest: dict[str, Campaign] = {}
    end = max((message.time for message in log.record.messages), default=None)
    for message in _of_calls(log):
        if isinstance(event := message.event(), CampaignDecision):
            newest[event.campaign_id] = event.campaign
    return {name for name, one in newest.items() if one.finished_at or (end and one.ends_at and one.ends_at <= end)}


def _expired(log: Log) -> Mapping[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for message in _of_calls(log):
        if isinstance(event := message.event(), CampaignContactsExpired):
            counts[event.campaign_id] += event.count
    return counts
