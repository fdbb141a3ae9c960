"""The checks of contacts and of dials after a chaos run, each with a log that violates it, and the drawn contacts."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.chaos import campaign_checks
from tests.chaos.campaign_checks import Cap
from tests.chaos.campaigns import CAPPED_REGION, HOURS, MAX_CAPPED_DIALS, RULES, Contact, terms, zone_at
from tests.chaos.checks import Log
from tests.chaos.test_schedule import CALL, NOW, log, message
from tests.chaos.watching import Watcher

from centralita.replay.decisions import read_calling_policy
from contracts import (
    AdmissionGranted,
    Call,
    CallCreated,
    CallStatus,
    CallStatusChanged,
    Campaign,
    CampaignContactsExpired,
    CampaignDecision,
    CampaignPaused,
    CampaignResumed,
    CampaignStarted,
    CampaignTerms,
    ContactAdded,
    ContactRefused,
    ConversationEnded,
    Disposition,
    Event,
    OptOutKeyPressed,
    RequestedTerms,
)
from contracts.callees import callee_of
from contracts.number_state import DoNotCallEntry, NumberState
from contracts.streams import CALLS
from contracts.vocabulary import DoNotCallSource
from records.messages import Message

SPRING = "spring"
NUMBER = CALL.phone_number
DIGEST = NUMBER[1:]
NO_CAP = Cap("UT", 1)
STARTED = Campaign(campaign_id=SPRING, terms=CampaignTerms(), created_at=NOW, started_at=NOW)
CONTACT = Contact(SPRING, "c-1", NUMBER, "Etc/GMT")


def a_call(contact: Contact = CONTACT, **fields: Any) -> Call:
    own = {"call_id": contact.call_id, "campaign_id": contact.campaign_id, "contact_id": contact.contact_id}
    own |= {"request_id": f"{contact.campaign_id}:{contact.contact_id}", "phone_number": contact.phone_number}
    own |= {"number_digest": contact.phone_number[1:], "callee": asdict(callee_of(contact.phone_number))}
    return Call.model_validate({**CALL.model_dump(), **own, "time_zone": contact.time_zone, **fields})


def at(second: int, event: Event) -> Message:
    """Returns a message of the log, stored this long after `NOW`; its sequence is the same number."""
    return message(CALLS.name, second, event)


def became(second: int, status: CallStatus, contact: Contact = CONTACT, **fields: Any) -> Message:
    call = a_call(contact, status=status, **fields)
    return at(
        second,
        CallStatusChanged(call=call, occurred_at=NOW, previous=CallStatus.PENDING, status=status, attempt=call.attempt),
    )


def a_dial(second: int, contact: Contact = CONTACT, attempt: int = 1, **fields: Any) -> list[Message]:
    """Returns a grant, and the begin of an attempt a second later."""
    grant = AdmissionGranted(
        call_id=contact.call_id,
        campaign_id=contact.campaign_id,
        attempt=attempt,
        due_sequence=1,
        replay_from_sequence=1,
    )
    begun = became(second + 1, CallStatus.DIALING, contact, attempt=attempt, granted_sequence=second, **fields)
    return [at(second, grant), begun]


def campaign_event(second: int, event: type[CampaignDecision], campaign: Campaign, **fields: Any) -> Message:
    return at(second, event(campaign=campaign, occurred_at=NOW, **fields))


def with_terms(**fields: Any) -> Campaign:
    return STARTED.model_copy(update={"terms": CampaignTerms.model_validate(fields)})


def waiting(contact: Contact = CONTACT) -> ContactAdded:
    return ContactAdded(
        campaign_id=contact.campaign_id,
        zone_group="0" * 12,
        number_digest="0" * 32,
        contact_id=contact.contact_id,
        phone_number=contact.phone_number,
        created_at=NOW,
    )


def against_the_policy(recorded: Log, listed_at: dict[str, datetime] | None = None, cap: Cap = NO_CAP) -> list[str]:
    return [line.split(": ", 1)[1] for line in campaign_checks.dials_against_the_policy(recorded, listed_at or {}, cap)]


def test_a_contact_without_call_refusal_and_place_is_lost() -> None:
    started = campaign_event(1, CampaignStarted, STARTED)
    lost = "the campaign is not over, but these have neither a call nor a refusal: c-1"
    assert list(campaign_checks.lost_contacts(log(started), [CONTACT], [])) == [f"{SPRING}: {lost}"]
    refused = ContactRefused(
        call_id=CONTACT.call_id, campaign_id=SPRING, contact_id="c-1", reason="not callable", refused_at=NOW
    )
    created = CallCreated(call=a_call(), occurred_at=NOW)
    assert list(campaign_checks.lost_contacts(log(started, at(2, refused)), [CONTACT], [])) == []
    assert list(campaign_checks.lost_contacts(log(started, at(2, created)), [CONTACT], [])) == []
    assert list(campaign_checks.lost_contacts(log(started), [CONTACT], [waiting()])) == []


def test_the_end_of_a_campaign_explains_as_many_contacts_as_it_counted_and_leaves_none() -> None:
    ended = STARTED.model_copy(update={"finished_at": NOW})
    expired = campaign_event(2, CampaignContactsExpired, ended, count=1)
    other = Contact(SPRING, "c-2", "+12125550101", "Etc/GMT")
    assert list(campaign_checks.lost_contacts(log(expired), [CONTACT], [])) == []
    lost = "1 expired, but these have neither a call nor a refusal: c-1, c-2"
    assert list(campaign_checks.lost_contacts(log(expired), [CONTACT, other], [])) == [f"{SPRING}: {lost}"]
    left = f"{SPRING}: c-1 waits, but the campaign is over"
    assert list(campaign_checks.lost_contacts(log(expired), [], [waiting()])) == [left]


def test_a_number_with_two_calls_in_a_campaign_is_called_twice() -> None:
    again = Contact(SPRING, "c-2", NUMBER, "Etc/GMT")
    elsewhere = Contact("autumn", "c-1", NUMBER, "Etc/GMT")
    created = [
        at(sequence, CallCreated(call=a_call(one), occurred_at=NOW))
        for sequence, one in enumerate((CONTACT, elsewhere, again), start=1)
    ]
    assert list(campaign_checks.contacts_called_twice(log(*created[:2]))) == []
    assert [line.split(" has")[0] for line in campaign_checks.contacts_called_twice(log(*created))] == [
        f"{SPRING}: one number"
    ]


def test_a_number_with_two_live_calls_at_once_is_called_twice() -> None:
    other = Contact("autumn", "c-1", NUMBER, "Etc/GMT")
    first, ended, second = (
        became(1, CallStatus.DIALING),
        became(2, CallStatus.BUSY),
        became(3, CallStatus.DIALING, other),
    )
    assert list(campaign_checks.contacts_called_twice(log(first, ended, second))) == []
    assert list(campaign_checks.contacts_called_twice(log(first, second))) == [
        f"{other.call_id}: dialing at 3, while {CONTACT.call_id} to the same number is live"
    ]


def test_a_grant_during_a_pause_is_found_from_one_second_after_it() -> None:
    paused = STARTED.paused(NOW, None)
    during = log(campaign_event(1, CampaignStarted, STARTED), campaign_event(5, CampaignPaused, paused), *a_dial(7))
    assert [line.split(":")[0] for line in campaign_checks.dials_while_paused(during)] == [str(CONTACT.call_id)]
    crossing = log(campaign_event(1, CampaignStarted, STARTED), campaign_event(5, CampaignPaused, paused), *a_dial(6))
    resumed = campaign_event(9, CampaignResumed, STARTED)
    after = log(
        campaign_event(1, CampaignStarted, STARTED),
        campaign_event(5, CampaignPaused, paused),
        resumed,
        *a_dial(10),
    )
    assert list(campaign_checks.dials_while_paused(crossing)) == list(campaign_checks.dials_while_paused(after)) == []


def test_a_dial_of_a_listed_number_is_found_if_its_grant_is_later() -> None:
    started, dial = campaign_event(1, CampaignStarted, STARTED), a_dial(5)
    before, after = NOW + timedelta(seconds=4), NOW + timedelta(seconds=6)
    assert against_the_policy(log(started, *dial), {DIGEST: after}) == []
    assert [line.split("the number")[1] for line in against_the_policy(log(started, *dial), {DIGEST: before})] == [
        f" was listed at {before:%H:%M:%S.%f}"
    ]


def test_a_dial_above_the_cap_is_found_and_undialled_attempts_do_not_count() -> None:
    other = Contact("autumn", "c-1", NUMBER, "Etc/GMT")
    cap = Cap("NY", 2)
    first, second, third = a_dial(1), a_dial(4, other), a_dial(7, attempt=2)
    undialled = became(3, CallStatus.PENDING, attempt=1, undialled_attempts=1)
    recorded = log(*first, *second, *third)
    assert [line.split("the number")[1] for line in against_the_policy(recorded, cap=cap)] == [
        " was dialled 2 times before"
    ]
    third = a_dial(7, attempt=2, undialled_attempts=1)
    assert against_the_policy(log(*first, undialled, *second, *third), cap=cap) == []


@pytest.mark.parametrize(
    "campaign",
    [
        STARTED.model_copy(update={"started_at": None}),
        STARTED.model_copy(update={"finished_at": NOW}),
        with_terms(starts_at=NOW + timedelta(seconds=60)),
        with_terms(ends_at=NOW + timedelta(seconds=3)),
    ],
    ids=["draft", "finished", "not begun", "over"],
)
def test_a_dial_outside_the_period_of_its_campaign_is_found(campaign: Campaign) -> None:
    found = against_the_policy(log(campaign_event(1, CampaignStarted, campaign), *a_dial(5)))
    assert [line.split(", ")[1] for line in found] == [
        f"granted at {NOW + timedelta(seconds=5):%H:%M:%S.%f}: {SPRING} was not started"
    ]
    assert against_the_policy(log(campaign_event(1, CampaignStarted, STARTED), *a_dial(5))) == []


def test_a_dial_outside_the_hours_of_its_campaign_is_found() -> None:
    assert NOW.hour == 12
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    hours = with_terms(weekly_hours=[{"days": days, "opens_at": "06:00", "closes_at": "13:00"}])
    started = campaign_event(1, CampaignStarted, hours)
    assert against_the_policy(log(started, *a_dial(5))) == []
    later = Contact(SPRING, "c-1", NUMBER, "Etc/GMT-1")
    found = against_the_policy(log(started, *a_dial(5, later)))
    assert [line.split("the hours")[1] for line in found] == [f" of {SPRING} were closed in Etc/GMT-1"]


@pytest.mark.parametrize(
    "opt_out",
    [
        ConversationEnded(call_id=CONTACT.call_id, attempt=1, disposition=Disposition.OPT_OUT, summary="", turn=1),
        OptOutKeyPressed(call_id=CONTACT.call_id, attempt=1, key="9"),
    ],
    ids=["said", "by key"],
)
def test_an_opt_out_whose_number_no_list_has_is_found(opt_out: Event) -> None:
    recorded = log(became(1, CallStatus.IN_PROGRESS), at(3, opt_out))
    assert len(list(campaign_checks.opt_outs_without_an_entry(recorded, {}))) == 1
    assert list(campaign_checks.opt_outs_without_an_entry(recorded, {DIGEST: NOW})) == []


def test_a_number_is_listed_from_its_first_state_with_an_entry() -> None:
    watcher, entry = Watcher(), DoNotCallEntry(changed_at=NOW, source=DoNotCallSource.OPT_OUT)
    listed = NumberState(number_digest=DIGEST, phone_number=NUMBER, do_not_call=(entry,))
    watcher.add_number(NumberState(number_digest="0" * 32), NOW)
    watcher.add_number(listed, NOW + timedelta(seconds=1))
    watcher.add_number(listed, NOW + timedelta(seconds=2))
    assert watcher.listed_at == {DIGEST: NOW + timedelta(seconds=1)}


def test_the_terms_of_the_run_are_valid_and_its_zones_are_open_and_closed() -> None:
    now = datetime.now(UTC)
    for its_terms in terms(now).values():
        assert RequestedTerms.model_validate(its_terms).refusals(now) == []
    (window,) = terms(now)[HOURS]["weekly_hours"]
    for hour, is_open in ((9, True), (21, False)):
        local = f"{now.astimezone(ZoneInfo(zone_at(hour, now))):%H:%M}"
        assert (window["opens_at"] <= local < window["closes_at"]) is is_open


def test_the_rules_of_the_run_cap_only_its_own_numbers(tmp_path: Any) -> None:
    file = tmp_path / "rules.csv"
    file.write_text(RULES)
    policy, dialed_at = read_calling_policy(file), [NOW] * MAX_CAPPED_DIALS
    for number, is_capped in (("+18015550100", True), ("+12065550100", False)):
        assert (callee_of(number).regions == (CAPPED_REGION,)) is is_capped
        counted = policy.counted(callee_of(number), purpose=None, dialed_at=dialed_at, at=NOW)
        assert bool(counted) is is_capped
