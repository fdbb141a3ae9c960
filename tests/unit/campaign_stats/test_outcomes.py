"""How far a call came, why it ended, and when: from its events, in batches of any size."""

import itertools
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign_stats.documents import outcome_updates, read, written
from campaign_stats.outcomes import FUNNEL, OF_FUNNEL, OF_REASONS, UNDIALLED_ATTEMPTS, Stage
from campaign_stats.projection import ALL, COMPLETED_WITHOUT_DURATION, CallDocument, project
from contracts import (
    CallChanged,
    CallConcluded,
    CallCreated,
    CallHangupRequested,
    CallMessageStarted,
    CallMessageWithdrawn,
    CallStatus,
    CallStatusChanged,
    ConversationEnded,
    Disposition,
    Event,
    HangupReason,
    ReplyGenerated,
    ReplySource,
    VoicemailDelivery,
)
from contracts.call import Permission
from contracts.examples import CALL, CALL_ID, EXAMPLES
from contracts.outcomes import EndReason, Funnel, Interval, OutcomeCounts
from contracts.vocabulary import CAMPAIGN_FINISHED, OUTCOME_UNKNOWN

MINUTE = CALL.created_at.replace(second=0, microsecond=0)
TERMS = CALL.model_copy(update={"goal": Disposition.CONFIRMED, "disposition": None, "permission": None})


class History:
    """The events of one call, each a minute after the one before."""

    def __init__(self, **terms: Any) -> None:
        self.call = TERMS.model_copy(update={"status": CallStatus.PENDING, "attempt": 0, **terms})
        self.events: list[Event] = []
        self.decide(CallCreated)

    def decide(self, kind: type, *, fields: dict[str, Any] | None = None, **changes: Any) -> "History":
        """Adds a decision after which the call has these values."""
        self.call = self.call.model_copy(update={"permission": None, **changes})
        at = MINUTE + timedelta(minutes=len(self.events))
        self.events.append(kind(call=self.call, occurred_at=at, **fields or {}))
        return self

    def move(self, status: CallStatus, *, reason: str | None = None, **changes: Any) -> "History":
        """Adds a change of the status; a new attempt begins with dialing."""
        previous, attempt = self.call.status, self.call.attempt + (status is CallStatus.DIALING)
        fields = {"previous": previous, "status": status, "attempt": attempt, "reason": reason}
        return self.decide(CallStatusChanged, fields=fields, status=status, attempt=attempt, reason=reason, **changes)

    def answer(self) -> "History":
        """Adds an attempt that is answered."""
        return self.move(CallStatus.DIALING).move(CallStatus.RINGING).move(CallStatus.IN_PROGRESS)

    def reply(self, turn: int = 1, source: ReplySource = ReplySource.MODEL) -> "History":
        """Adds the reply to an utterance of the present attempt."""
        example = EXAMPLES["reply.generated"]
        assert isinstance(example, ReplyGenerated)
        update = {"turn": turn, "attempt": self.call.attempt, "source": source}
        self.events.append(example.model_copy(update=update))
        return self

    def end(self, disposition: Disposition) -> "History":
        """Adds the end of the conversation and of the call."""
        example = EXAMPLES["conversation.ended"]
        assert isinstance(example, ConversationEnded)
        self.events.append(example.model_copy(update={"attempt": self.call.attempt, "disposition": disposition}))
        self.decide(CallConcluded, disposition=disposition)
        failed = disposition is Disposition.TECHNICAL_FAILURE
        return self.move(CallStatus.FAILED if failed else CallStatus.COMPLETED, disposition=disposition)


class Counted:
    """The documents and the sums that a store has after events, applied in batches that end at `cuts`."""

    def __init__(self, events: Sequence[Event], cuts: Sequence[int] = ()) -> None:
        log = list(enumerate(events, start=1))
        self.documents: dict[str, CallDocument] = {}
        self.campaigns: dict[str, Counter[str]] = {}
        self.hours: dict[str, Counter[str]] = {}
        bounds = [0, *sorted(cuts), len(log)]
        for start, end in itertools.pairwise(bounds):
            projected = project(self.documents, log[start:end])
            self.documents |= {key: read(written(call)) for key, call in projected.documents.items()}
            for campaign, counts in projected.increments.items():
                self.campaigns.setdefault(campaign, Counter()).update(counts)
            for update in outcome_updates(projected):
                document: Any = update._doc
                self.hours.setdefault(update._filter["_id"], Counter()).update(document["$inc"])

    @property
    def stage(self) -> Stage:
        sums = self.campaigns["reminders"]
        return max((stage for stage, name in FUNNEL.items() if sums[name]), default=Stage.REQUESTED)

    @property
    def reasons(self) -> dict[str, int]:
        return {name: count for name, count in self.campaigns["reminders"].items() if count and name in OF_REASONS}


def stage_of(history: History) -> Stage:
    return Counted(history.events).stage


def test_each_status_reaches_a_stage_and_a_stage_includes_those_before_it() -> None:
    history = History()
    assert stage_of(history) is Stage.REQUESTED
    for status, stage in (
        (CallStatus.DIALING, Stage.DIALLED),
        (CallStatus.RINGING, Stage.RANG),
        (CallStatus.IN_PROGRESS, Stage.ANSWERED),
    ):
        assert stage_of(history.move(status)) is stage
    assert stage_of(history.reply()) is Stage.PERSON
    counted = Counted(history.end(Disposition.CONFIRMED).events)
    assert [counted.campaigns["reminders"][name] for name in FUNNEL.values()] == [1, 1, 1, 1, 1]
    assert counted.campaigns["reminders"] == counted.campaigns[ALL]


@pytest.mark.parametrize(
    ("ended", "stage"),
    [
        (CallStatus.BUSY, Stage.DIALLED),
        (CallStatus.NO_ANSWER, Stage.RANG),
        (CallStatus.FAILED, Stage.DIALLED),
        (CallStatus.COMPLETED, Stage.ANSWERED),
        (CallStatus.VOICEMAIL, Stage.ANSWERED),
    ],
)
def test_an_end_shows_how_far_the_attempt_came_if_a_report_before_it_is_missing(
    ended: CallStatus, stage: Stage
) -> None:
    assert stage_of(History().move(CallStatus.DIALING).move(ended)) is stage


@pytest.mark.parametrize(
    ("disposition", "stage"),
    [
        (Disposition.CONFIRMED, Stage.GOAL),
        (Disposition.DECLINED, Stage.PERSON),
        (Disposition.OPT_OUT, Stage.PERSON),
        (Disposition.UNRESPONSIVE, Stage.ANSWERED),
        (Disposition.TECHNICAL_FAILURE, Stage.ANSWERED),
    ],
)
def test_a_disposition_shows_whether_a_person_was_reached(disposition: Disposition, stage: Stage) -> None:
    assert stage_of(History().answer().end(disposition)) is stage
    assert stage_of(History(goal=None).answer().end(disposition)) is min(stage, Stage.PERSON)


@pytest.mark.parametrize("source", [ReplySource.STOCK_PHRASE, ReplySource.SCREENING_ANSWER])
def test_a_reply_to_silence_or_to_an_assistant_is_no_person(source: ReplySource) -> None:
    assert stage_of(History().answer().reply(source=source)) is Stage.ANSWERED


@pytest.mark.parametrize("status", [CallStatus.VOICEMAIL, CallStatus.FAILED])
def test_a_machine_whose_words_were_answered_is_no_person_after_all(status: CallStatus) -> None:
    history = History().answer().reply()
    fax = status is CallStatus.FAILED
    history.decide(CallHangupRequested, hangup_reason=HangupReason.FAX if fax else HangupReason.VOICEMAIL).reply(2)
    counted = Counted(history.move(status).reply(3).events)
    assert counted.stage is Stage.ANSWERED
    assert counted.reasons == {"reason_fax" if fax else "reason_voicemail": 1}


def test_a_person_after_a_withdrawn_message_counts() -> None:
    history = History().answer().decide(CallMessageStarted, voicemail_delivery=VoicemailDelivery.CUT)
    assert stage_of(history) is Stage.ANSWERED
    assert stage_of(history.decide(CallMessageWithdrawn, voicemail_delivery=None).reply()) is Stage.PERSON


def test_an_opt_out_during_the_goodbye_takes_the_goal_back() -> None:
    history = History().answer().decide(CallConcluded, disposition=Disposition.CONFIRMED)
    assert stage_of(history) is Stage.GOAL
    assert stage_of(history.decide(CallConcluded, disposition=Disposition.OPT_OUT)) is Stage.PERSON


def test_an_undialled_attempt_takes_its_stage_back_and_keeps_that_of_an_earlier_one() -> None:
    history = History().move(CallStatus.DIALING).move(CallStatus.PENDING, undialled_attempts=1)
    counted = Counted(history.events)
    assert (counted.stage, counted.campaigns["reminders"][UNDIALLED_ATTEMPTS]) == (Stage.REQUESTED, 1)
    assert stage_of(history.decide(CallChanged, fields={"changed": ("metadata",)})) is Stage.REQUESTED
    history = History().answer().move(CallStatus.PENDING).move(CallStatus.DIALING)
    assert stage_of(history.move(CallStatus.PENDING, undialled_attempts=1)) is Stage.ANSWERED


def forbidden(rule: str) -> Permission:
    return Permission(rule=rule, detail="", policy_version="1")


REFUSED_RULES = {
    "do_not_call": EndReason.DO_NOT_CALL,
    "erased": EndReason.ERASED,
    "unknown_country": EndReason.UNKNOWN_COUNTRY,
    "unknown_zone": EndReason.UNKNOWN_ZONE,
    "no_permitted_time": EndReason.NO_PERMITTED_TIME,
    "consent": EndReason.NO_CONSENT,
    "disclosure": EndReason.NO_DISCLOSURE,
    "local_caller_id": EndReason.NO_LOCAL_CALLER_ID,
    "$where.a\0<img src=x>" * 50: EndReason.NOT_PERMITTED,
}


@pytest.mark.parametrize(("rule", "reason"), REFUSED_RULES.items())
def test_a_call_that_the_policy_forbids_is_counted_by_the_rule(rule: str, reason: EndReason) -> None:
    waiting = History().move(CallStatus.FAILED, permission=forbidden(rule))
    undialled = History().move(CallStatus.DIALING)
    undialled.move(CallStatus.FAILED, permission=forbidden(rule), undialled_attempts=1)
    for history in (waiting, undialled):
        assert Counted(history.events).reasons == {f"reason_{reason}": 1}


@pytest.mark.parametrize(
    ("reason", "changes", "counted"),
    [
        ("SIP 503", {}, EndReason.NETWORK_FAILURE),
        ("SIP 503", {"permission": forbidden("calling_hours")}, EndReason.NETWORK_FAILURE),
        (OUTCOME_UNKNOWN, {}, EndReason.UNKNOWN_OUTCOME),
        ("21211: no such number", {"undialled_attempts": 1}, EndReason.DIAL_REFUSED),
        ("x", {"disposition": Disposition.TECHNICAL_FAILURE}, EndReason.TECHNICAL_FAILURE),
    ],
)
def test_a_failed_attempt_is_counted_by_its_cause(reason: str, changes: dict[str, Any], counted: EndReason) -> None:
    history = History().move(CallStatus.DIALING).move(CallStatus.FAILED, reason=reason, **changes)
    assert Counted(history.events).reasons == {f"reason_{counted}": 1}


@pytest.mark.parametrize(
    ("reason", "counted"),
    [(CAMPAIGN_FINISHED, EndReason.CAMPAIGN_FINISHED), ("it was late: SIP 503", EndReason.NOT_DIALLED_IN_TIME)],
)
def test_an_expired_call_is_counted_by_what_it_missed(reason: str, counted: EndReason) -> None:
    assert Counted(History().move(CallStatus.EXPIRED, reason=reason).events).reasons == {f"reason_{counted}": 1}


def test_a_completed_call_is_counted_by_its_disposition_also_if_it_is_known_later() -> None:
    history = History().answer().move(CallStatus.COMPLETED)
    assert Counted(history.events).reasons == {"reason_no_result": 1}
    late = EXAMPLES["conversation.ended"].model_copy(update={"attempt": 1, "disposition": Disposition.DECLINED})
    assert Counted([*history.events, late]).reasons == {"reason_declined": 1}


def test_a_call_that_is_dialled_again_after_its_end_has_no_reason_until_it_ends_again() -> None:
    history = History().move(CallStatus.DIALING).move(CallStatus.BUSY).move(CallStatus.PENDING)
    assert Counted(history.events).reasons == {}
    assert Counted(history.answer().end(Disposition.DECLINED).events).reasons == {"reason_declined": 1}


def test_outcomes_are_counted_in_the_minute_of_their_event_and_never_taken_back() -> None:
    history = History().move(CallStatus.DIALING).move(CallStatus.PENDING).move(CallStatus.DIALING)
    history.move(CallStatus.BUSY).move(CallStatus.PENDING).move(CallStatus.DIALING).move(CallStatus.BUSY)
    hours = Counted(history.events).hours
    day, hour = f"{MINUTE:%Y-%m-%d}", f"{MINUTE:%Y-%m-%dT%H}"
    assert set(hours) == {f"{campaign}/{span}" for campaign in ("reminders", ALL) for span in (day, hour)}
    assert hours[f"reminders/{day}"] == {f"{MINUTE:%H}.attempts": 3, f"{MINUTE:%H}.retried": 1, f"{MINUTE:%H}.busy": 2}
    minutes = {name: count for name, count in hours[f"reminders/{hour}"].items() if name.endswith(".busy")}
    assert minutes == {f"{MINUTE + timedelta(minutes=number):%M}.busy": 1 for number in (4, 7)}


MOVES = st.lists(
    st.tuples(st.sampled_from([*CallStatus, "reply", "confirmed", "declined", "machine", "undialled"]), st.booleans()),
    max_size=14,
)


def random_history(moves: Sequence[tuple[Any, bool]]) -> History:
    history = History()
    for move, permission in moves:
        match move:
            case CallStatus():
                history.move(move, permission=forbidden("do_not_call") if permission else None)
            case "reply":
                history.reply(len(history.events))
            case "machine":
                history.decide(CallHangupRequested, hangup_reason=HangupReason.VOICEMAIL)
            case "undialled":
                history.move(CallStatus.PENDING, undialled_attempts=history.call.undialled_attempts + 1)
            case _:
                history.decide(CallConcluded, disposition=Disposition(move))
    return history


@settings(deadline=None)
@given(moves=MOVES, cuts=st.sets(st.integers(0, 14)))
def test_what_is_stored_does_not_depend_on_the_batches(moves: list[tuple[Any, bool]], cuts: set[int]) -> None:
    events = random_history(moves).events
    whole, parts = Counted(events), Counted(events, [cut for cut in cuts if cut <= len(events)])
    assert parts.documents == whole.documents
    assert parts.hours == whole.hours
    assert parts.campaigns == whole.campaigns
    for campaign, sums in whole.campaigns.items():
        present = set(parts.campaigns[campaign]) ^ set(sums)
        assert present <= {COMPLETED_WITHOUT_DURATION}, "a completed call is never dialled again, but here"
        assert min(sums.values()) >= 0
        assert [sums[name] for name in FUNNEL.values()] == sorted(
            (sums[name] for name in FUNNEL.values()), reverse=True
        )
        is_ended = whole.documents[str(CALL_ID)].status.is_final
        assert sum(sums[name] for name in OF_REASONS) == int(is_ended)


@settings(deadline=None)
@given(moves=MOVES, start=st.integers(0, 14))
def test_a_batch_that_is_applied_again_counts_nothing(moves: list[tuple[Any, bool]], start: int) -> None:
    log = list(enumerate(random_history(moves).events, start=1))
    again = project(project({}, log).documents, log[start:])
    assert (again.increments, again.outcomes) == ({}, {})


def test_a_call_that_only_older_builds_have_seen_adds_nothing_until_its_next_decision() -> None:
    history = History().move(CallStatus.DIALING)
    document = project({}, list(enumerate(history.events, start=1))).documents[str(CALL_ID)]
    older = document.model_copy(update={"stage": None, "earlier_stage": None, "cause": None})
    assert {"stage", "earlier_stage", "cause"}.isdisjoint(written(older))
    increments = project({str(CALL_ID): older}, [(3, history.move(CallStatus.BUSY).events[-1])]).increments["reminders"]
    assert (increments["funnel_dialled"], increments["reason_busy"]) == (1, 1)
    undialled = history.move(CallStatus.PENDING, undialled_attempts=1).events[-1]
    counts = project({str(CALL_ID): older}, [(3, undialled)]).increments["reminders"]
    assert min(counts[name] for name in OF_FUNNEL) >= 0


def test_every_counter_has_a_field_in_the_answer() -> None:
    names = {name.removeprefix("funnel_") for name in FUNNEL.values()} | {"requested"}
    assert names == set(Funnel.model_fields)
    assert set(OutcomeCounts.model_fields) == {"attempts", "retried", *(s for s in CallStatus if s.is_final)}


@pytest.mark.parametrize("interval", Interval)
def test_an_interval_begins_at_a_multiple_of_its_length_in_utc(interval: Interval) -> None:
    begin = interval.begin(CALL.created_at)
    assert begin <= CALL.created_at < begin + interval.length
    assert begin.timestamp() % interval.length.total_seconds() == 0


def test_each_disposition_is_a_reason_of_its_own() -> None:
    assert {disposition.value for disposition in Disposition} <= {reason.value for reason in EndReason}
