"""The pure fold of events into call documents and counters."""

import itertools
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders.calls import NOW
from tests.builders.events import campaign_paused

from campaign_stats.documents import read, written
from campaign_stats.projection import (
    ALL,
    COMPLETED_WITHOUT_DURATION,
    COUNTERS,
    CallDocument,
    contribution,
    project,
    statistics,
)
from contracts import (
    CallCreated,
    CallDecision,
    CallStatus,
    CallStatusChanged,
    ConversationEnded,
    ConversationMode,
    DialPlaced,
    Disposition,
    Event,
    ReplyGenerated,
    VoicemailDelivery,
)
from contracts.events.campaigns import CampaignFinished, CampaignPaused, CampaignStarted
from contracts.examples import CALL, CALL_ID, EXAMPLES

Log = Sequence[tuple[int, Event]]
PERSONAL = ("+12125550123", "Ana", "clínica", "Perfecto")


def created(call_id: UUID = CALL_ID, campaign: str = "reminders") -> Event:
    call = CALL.model_copy(update={"call_id": call_id, "campaign_id": campaign})
    return CallCreated(call=call, occurred_at=CALL.created_at)


def moved(
    to: CallStatus,
    attempt: int = 1,
    *,
    call_id: UUID = CALL_ID,
    campaign: str = "reminders",
    seconds: int | None = None,
    disposition: Disposition | None = None,
    undialled_attempts: int = 0,
) -> Event:
    changes = {
        "call_id": call_id,
        "campaign_id": campaign,
        "status": to,
        "attempt": attempt,
        "undialled_attempts": undialled_attempts,
        "duration_seconds": seconds,
        "disposition": disposition,
    }
    return CallStatusChanged(
        call=CALL.model_copy(update=changes),
        occurred_at=CALL.created_at,
        previous=CallStatus.PENDING,
        status=to,
        attempt=attempt,
    )


def replied(turn: int, attempt: int = 1, call_id: UUID = CALL_ID) -> Event:
    return EXAMPLES["reply.generated"].model_copy(update={"turn": turn, "attempt": attempt, "call_id": call_id})


def numbered(*events: Event) -> Log:
    return list(enumerate(events, start=1))


def counted(log: Log, cuts: Sequence[int] = ()) -> tuple[dict[str, CallDocument], dict[str, dict[str, int]]]:
    """Returns the documents and counters that a store has after the log, applied in batches that end at `cuts`."""
    documents: dict[str, CallDocument] = {}
    sums: dict[str, Counter[str]] = {}
    bounds = [0, *sorted(cuts), len(log)]
    for start, end in itertools.pairwise(bounds):
        projected = project(documents, log[start:end])
        documents.update(projected.documents)
        for campaign, increments in projected.increments.items():
            sums.setdefault(campaign, Counter()).update(increments)
    return documents, {campaign: _stored(counts) for campaign, counts in sums.items()}


def _stored(counts: Counter[str]) -> dict[str, int]:
    """Drops the optional counter if it is zero: whether a document contains a zero depends on the batches."""
    return {name: count for name, count in counts.items() if count or name in COUNTERS}


@pytest.mark.parametrize(
    ("status", "counter"),
    [
        (CallStatus.PENDING, "pending"),
        (CallStatus.DIALING, "in_progress"),
        (CallStatus.RINGING, "in_progress"),
        (CallStatus.IN_PROGRESS, "in_progress"),
        (CallStatus.COMPLETED, "completed"),
        (CallStatus.FAILED, "failed"),
        (CallStatus.NO_ANSWER, "no_answer"),
        (CallStatus.BUSY, "busy"),
        (CallStatus.VOICEMAIL, "voicemail"),
        (CallStatus.CANCELED, "canceled"),
        (CallStatus.EXPIRED, "expired"),
    ],
)
def test_a_call_is_counted_under_its_present_status_only(status: CallStatus, counter: str) -> None:
    _, sums = counted(numbered(created(), moved(CallStatus.DIALING), moved(status)), cuts=[1, 2])
    assert {name for name in COUNTERS if sums["reminders"][name]} == {"total", counter}
    assert sums["reminders"] == sums[ALL]


def test_dials_after_the_first_are_retries() -> None:
    log = numbered(created(), moved(CallStatus.DIALING, 1), moved(CallStatus.PENDING, 1), moved(CallStatus.DIALING, 2))
    _, sums = counted(log, cuts=[3])
    assert (sums["reminders"]["retries"], sums["reminders"]["total"]) == (1, 1)


def test_an_undialled_attempt_is_not_a_dial_so_the_next_one_is_not_a_retry() -> None:
    again = moved(CallStatus.DIALING, 2, undialled_attempts=1)
    log = numbered(created(), moved(CallStatus.DIALING, 1), moved(CallStatus.PENDING, 1, undialled_attempts=1), again)
    _, sums = counted(log, cuts=[3])
    assert sums["reminders"]["retries"] == 0


def test_talk_time_is_averaged_over_completed_calls_and_summed_over_all() -> None:
    first, second, third = (UUID(int=number) for number in range(3))
    log = numbered(
        *(created(call) for call in (first, second, third)),
        moved(CallStatus.COMPLETED, seconds=30, call_id=first),
        moved(CallStatus.COMPLETED, seconds=60, call_id=second),
        moved(CallStatus.VOICEMAIL, seconds=12, call_id=third),
    )
    answer = statistics("reminders", counted(log)[1]["reminders"])
    assert (answer.duration_seconds, answer.average_duration_seconds, answer.completed) == (102, 45.0, 2)


def test_a_completed_call_without_a_duration_is_ignored_by_the_average() -> None:
    first, second = (UUID(int=number) for number in range(2))
    log = numbered(
        *(created(call) for call in (first, second)),
        moved(CallStatus.COMPLETED, seconds=30, call_id=first),
        moved(CallStatus.COMPLETED, seconds=None, call_id=second),
    )
    sums = counted(log, cuts=[3])[1]["reminders"]
    answer = statistics("reminders", sums)
    assert (answer.completed, answer.average_duration_seconds) == (2, 30.0)
    assert sums[COMPLETED_WITHOUT_DURATION] == 1


def test_a_campaign_whose_completed_calls_have_no_duration_has_no_average() -> None:
    sums = counted(numbered(created(), moved(CallStatus.COMPLETED)))[1]["reminders"]
    assert statistics("reminders", sums).average_duration_seconds == 0.0


def test_documents_have_the_counter_of_missing_durations_only_if_one_is_missing() -> None:
    sums = counted(numbered(created(), moved(CallStatus.COMPLETED, seconds=30)))[1]["reminders"]
    assert COMPLETED_WITHOUT_DURATION not in sums


def test_an_unknown_campaign_has_counters_of_zero() -> None:
    answer = statistics("unknown", {})
    assert set(answer.model_dump(exclude={"campaign_id"}).values()) == {0}


def test_a_turn_with_a_repeated_reply_counts_once_and_the_greeting_is_not_counted() -> None:
    log = numbered(created(), moved(CallStatus.IN_PROGRESS), replied(0), replied(1), replied(1), replied(2))
    _, sums = counted(log, cuts=[4])
    assert sums["reminders"]["turns"] == 2


def test_turns_of_different_attempts_are_different_turns() -> None:
    log = numbered(
        created(), moved(CallStatus.IN_PROGRESS), replied(1, 1), moved(CallStatus.IN_PROGRESS, 2), replied(1, 2)
    )
    assert counted(log)[1]["reminders"]["turns"] == 2


def test_the_disposition_of_the_conversation_is_kept_until_the_orchestrator_decides() -> None:
    ended = EXAMPLES["conversation.ended"]
    assert isinstance(ended, ConversationEnded)
    log = numbered(created(), moved(CallStatus.IN_PROGRESS), ended, moved(CallStatus.COMPLETED, seconds=20))
    assert counted(log)[0][str(CALL_ID)].disposition is Disposition.CONFIRMED
    decided = (5, moved(CallStatus.COMPLETED, seconds=20, disposition=Disposition.DECLINED))
    assert counted([*log, decided])[0][str(CALL_ID)].disposition is Disposition.DECLINED


def test_a_new_attempt_has_no_disposition() -> None:
    log = numbered(
        created(), moved(CallStatus.IN_PROGRESS), EXAMPLES["conversation.ended"], moved(CallStatus.DIALING, 2)
    )
    assert counted(log)[0][str(CALL_ID)].disposition is None


def test_a_stale_event_changes_nothing() -> None:
    documents, _ = counted(numbered(created(), moved(CallStatus.COMPLETED, seconds=9)))
    again = project(documents, [(1, created()), (2, moved(CallStatus.BUSY))])
    assert (again.documents, again.increments) == ({}, {})


def test_events_of_an_unknown_call_change_nothing() -> None:
    projected = project({}, numbered(replied(1), EXAMPLES["conversation.ended"], EXAMPLES["timer.due"]))
    assert (projected.documents, projected.increments) == ({}, {})


def test_the_state_of_a_campaign_is_that_of_its_last_event() -> None:
    paused, resumed = EXAMPLES["campaign.paused"], EXAMPLES["campaign.resumed"]
    assert isinstance(paused, CampaignPaused)
    elsewhere = campaign_paused("elsewhere", reason="public holiday", at=paused.occurred_at)
    campaigns = project({}, numbered(paused, created(), elsewhere, resumed)).campaigns
    assert {name: state.paused for name, state in campaigns.items()} == {"reminders": False, "elsewhere": True}
    assert campaigns["elsewhere"].reason == "public holiday"
    assert campaigns["reminders"].reason is None
    since, earlier = campaigns["reminders"].since, campaigns["elsewhere"].since
    assert since
    assert earlier
    assert since - earlier == timedelta(days=1)
    assert project({}, numbered(created())).campaigns == {}


def test_other_events_of_campaigns_keep_a_pause_and_the_finish_ends_it() -> None:
    paused = campaign_paused("reminders").campaign
    started = CampaignStarted(campaign=paused.started(NOW), occurred_at=NOW)
    finished = CampaignFinished(campaign=started.campaign.finished(NOW), occurred_at=NOW)
    assert project({}, numbered(started)).campaigns["reminders"].paused
    assert not project({}, numbered(started, finished)).campaigns["reminders"].paused


def test_a_created_campaign_has_its_name_and_its_status_also_without_calls() -> None:
    names, campaigns = ("created", "changed", "started", "finished"), []
    for count in range(1, len(names) + 1):
        events = [EXAMPLES[f"campaign.{name}"] for name in names[:count]]
        campaigns.append(project({}, numbered(*events)).campaigns["reminders"])
    assert {one.name for one in campaigns} == {"Appointment reminders"}
    assert [one.status for one in campaigns] == ["draft", "running", "running", "finished"]
    assert {(one.paused, one.since, one.reason) for one in campaigns} == {(False, None, None)}


def test_an_event_that_changes_no_counter_increments_no_campaign() -> None:
    documents, _ = counted(numbered(created(), moved(CallStatus.DIALING), moved(CallStatus.IN_PROGRESS)))
    projected = project(documents, [(4, moved(CallStatus.RINGING))])
    assert projected.increments == {}
    assert projected.documents[str(CALL_ID)].status is CallStatus.RINGING


def test_no_phone_number_script_or_transcript_is_kept() -> None:
    log = numbered(created(), moved(CallStatus.IN_PROGRESS), replied(1), EXAMPLES["conversation.ended"])
    stored_text = counted(log)[0][str(CALL_ID)].model_dump_json()
    assert not [word for word in PERSONAL if word in stored_text]


CAMPAIGN_OF = {UUID(int=number): campaign for number, campaign in enumerate(["a", "b", "a"])}
STEPS = st.lists(
    st.tuples(
        st.sampled_from(sorted(CAMPAIGN_OF)),
        st.sampled_from(["move", "move", "reply", "dial", "end"]),
        st.integers(1, 3),
        st.integers(0, 4),
        st.sampled_from(CallStatus),
        st.none() | st.integers(0, 600),
        st.none() | st.sampled_from(Disposition),
    ),
    max_size=25,
)
"""Interleaved steps of a few calls of two campaigns, as plain values: events are slow to generate."""

Step = tuple[UUID, str, int, int, CallStatus, int | None, Disposition | None]


def log_of(steps: Sequence[Step]) -> Log:
    """Returns the log of these steps. A call is created at its first move; events before it are of an unknown call."""
    events: list[Event] = []
    created_ids: set[UUID] = set()
    for call_id, kind, attempt, turn, status, seconds, disposition in steps:
        campaign = CAMPAIGN_OF[call_id]
        if kind == "reply":
            events.append(replied(turn, attempt, call_id))
        elif kind == "dial":
            events.append(DialPlaced(call_id=call_id, attempt=attempt, provider_call_id="CA"))
        elif kind == "end":
            changes = {"call_id": call_id, "attempt": attempt, "disposition": disposition or Disposition.ANSWERED}
            events.append(EXAMPLES["conversation.ended"].model_copy(update=changes))
        elif call_id not in created_ids:
            created_ids.add(call_id)
            events.append(created(call_id, campaign))
        else:
            events.append(
                moved(status, attempt, call_id=call_id, campaign=campaign, seconds=seconds, disposition=disposition)
            )
    return numbered(*events)


@settings(deadline=None)
@given(steps=STEPS, cuts=st.sets(st.integers(0, 25)))
def test_documents_and_counters_do_not_depend_on_the_batches(steps: list[Step], cuts: set[int]) -> None:
    log = log_of(steps)
    assert counted(log, [cut for cut in cuts if cut <= len(log)]) == counted(log)


@settings(deadline=None)
@given(steps=STEPS, start=st.integers(0, 25))
def test_batches_that_overlap_change_nothing(steps: list[Step], start: int) -> None:
    log = log_of(steps)
    documents, _ = counted(log)
    again = project(documents, log[start:])
    assert (again.documents, again.increments) == ({}, {})


@settings(deadline=None)
@given(steps=STEPS)
def test_the_counters_are_the_sums_over_the_calls(steps: list[Step]) -> None:
    log = log_of(steps)
    documents, sums = counted(log)
    created_calls = {event.call_id for _, event in log if isinstance(event, CallDecision)}
    totals = sums.get(ALL, dict.fromkeys(COUNTERS, 0))
    statuses = set(COUNTERS) & {*CallStatus}
    assert totals["total"] == len(created_calls) == sum(totals[status] for status in statuses)
    for name in COUNTERS:
        assert totals[name] == sum(contribution(document)[name] for document in documents.values())
        assert totals[name] == sum(counts[name] for campaign, counts in sums.items() if campaign != ALL)
    answered = {
        (event.call_id, event.attempt, event.turn)
        for sequence, event in log
        if isinstance(event, ReplyGenerated) and event.turn and _exists(event.call_id, sequence, log)
    }
    assert totals["turns"] == len(answered)


def _exists(call_id: UUID, position: int, log: Log) -> bool:
    return any(isinstance(event, CallDecision) and event.call_id == call_id for at, event in log if at < position)


def test_contacts_without_a_call_are_counted_also_in_a_campaign_without_calls() -> None:
    refused, expired = EXAMPLES["contact.refused"], EXAMPLES["campaign.contacts_expired"]
    increments = project({}, numbered(refused, expired, refused)).increments
    assert set(increments) == {"reminders", ALL}
    for counts in increments.values():
        assert (counts["contacts_refused"], counts["contacts_expired"], counts["total"]) == (2, 188, 0)
        assert set(COUNTERS) < set(counts)
    both = project({}, numbered(refused, created())).increments["reminders"]
    assert (both["contacts_refused"], both["total"]) == (1, 1)
    assert "contacts_refused" not in project({}, numbered(created())).increments["reminders"]
    shown = statistics("reminders", increments["reminders"])
    assert (shown.contacts_refused, shown.contacts_expired) == (2, 188)


def with_message(event_name: str, delivery: VoicemailDelivery | None, attempt: int = 1) -> Event:
    event = EXAMPLES[event_name]
    assert isinstance(event, CallDecision)
    return event.model_copy(
        update={"call": event.call.model_copy(update={"voicemail_delivery": delivery, "attempt": attempt})}
    )


REQUESTED = with_message("call.message_requested", VoicemailDelivery.NONE)
CUT = with_message("call.message_started", VoicemailDelivery.CUT)
WHOLE = with_message("call.hangup_requested", VoicemailDelivery.WHOLE)
PERSON = with_message("call.message_withdrawn", None)
AGAIN = with_message("call.status_changed", None, attempt=2)


@pytest.mark.parametrize(
    ("events", "result"),
    [
        ([REQUESTED], "none"),
        ([REQUESTED, CUT], "cut"),
        ([REQUESTED, CUT, WHOLE], "whole"),
        ([REQUESTED, PERSON], "withdrawn"),
        ([REQUESTED, CUT, WHOLE, AGAIN], "whole"),
        ([REQUESTED, CUT, AGAIN, REQUESTED, CUT, WHOLE], "whole"),
        ([created()], None),
    ],
)
def test_the_result_of_the_last_message_to_a_machine_is_counted_with_any_batches(
    events: list[Event], result: str | None
) -> None:
    log = numbered(created(), *events)
    whole = project({}, log)
    for cut in range(len(log) + 1):
        documents, sums = dict[str, CallDocument](), Counter[str]()
        for batch in (log[:cut], log[cut:]):
            projected = project(documents, batch)
            documents.update(projected.documents)
            sums.update(projected.increments.get("reminders", {}))
        assert documents == whole.documents
        assert dict(sums) == dict(whole.increments["reminders"]), "the same counters are present"
    shown = statistics("reminders", whole.increments["reminders"]).model_dump()
    counts = {name: shown[f"messages_{name}"] for name in ("whole", "cut", "none", "withdrawn")}
    assert counts == {name: int(name == result) for name in counts}
    assert ("message_result" in written(whole.documents[str(CALL_ID)])) is (result is not None)


def test_only_the_document_of_a_live_call_has_a_mode() -> None:
    live = CALL.model_copy(update={"mode": ConversationMode.LIVE})
    document = project({}, numbered(CallCreated(call=live, occurred_at=live.created_at))).documents[str(CALL_ID)]
    in_turns = project({}, numbered(created())).documents[str(CALL_ID)]

    assert written(document)["mode"] == "live"
    assert read(written(document)) == document
    assert "mode" not in written(in_turns), "equal to those of older builds"
