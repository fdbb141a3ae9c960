"""The fault schedule and the checks of a chaos run, without any server."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from tests.chaos import checks
from tests.chaos.schedule import Kind, draw_faults
from tests.chaos.upstream import Sent

from centralita.replay.record import Record
from centralita.replay.scope import Scope
from contracts import (
    AdmissionGranted,
    AdmissionReleased,
    Call,
    CallCancelRequested,
    CallCommandRefused,
    CallCreated,
    CallRequested,
    CallStatus,
    CallStatusChanged,
    CommandOutcome,
    DialLookedUp,
    DialPlaced,
    Envelope,
    Event,
    TimerDue,
    call_id_of,
)
from contracts.examples import EXAMPLES
from contracts.streams import CALLS, REQUESTS
from records.messages import Message

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
SERVICES = ("call-orchestrator", "voice", "edge")
REQUEST = EXAMPLES["call.requested"]
CREATED = EXAMPLES["call.created"]
assert isinstance(REQUEST, CallRequested)
assert isinstance(CREATED, CallCreated)
CALL_ID = call_id_of(REQUEST.request_id or "")
CALL = CREATED.call.model_copy(update={"call_id": CALL_ID})


def message(stream: str, sequence: int, event: Event, *, id: str = "", cause: str | None = None) -> Message:
    at = NOW + timedelta(seconds=sequence)
    envelope = Envelope.of(id=id or f"{stream}/{sequence}", source="test", time=at)
    headers = replace(envelope, causation_id=cause).headers()
    return Message(stream, sequence, at, event.subject, headers, event.model_dump_json().encode())


def log(*messages: Message) -> checks.Log:
    return checks.Log(Record(Scope(), list(messages), {}, ()))


def created() -> CallCreated:
    return CallCreated(call=CALL, occurred_at=NOW)


def changed(status: CallStatus) -> CallStatusChanged:
    call = Call.model_validate({**CALL.model_dump(), "status": status})
    return CallStatusChanged(
        call=call,
        occurred_at=NOW,
        previous=CallStatus.PENDING,
        status=status,
        attempt=1,
        reason=None,
        next_attempt_at=None,
    )


def test_a_seed_always_gives_the_same_faults() -> None:
    assert draw_faults(7, 40, calls=300, services=SERVICES) == draw_faults(7, 40, calls=300, services=SERVICES)
    assert draw_faults(7, 40, calls=300, services=SERVICES) != draw_faults(8, 40, calls=300, services=SERVICES)


def test_each_kind_of_fault_occurs_and_all_begin_during_the_campaign() -> None:
    faults = draw_faults(7, len(Kind), calls=300, services=SERVICES)
    assert {fault.kind for fault in faults} == set(Kind)
    assert all(0 < fault.after_requests < 300 for fault in faults)
    assert all(len(set(fault.targets)) == 2 for fault in faults if fault.kind is Kind.KILL_TWO)


def test_a_lost_request_and_a_call_without_an_end_are_found() -> None:
    recorded = log(message(REQUESTS.name, 1, REQUEST, id="a"), message(CALLS.name, 1, created(), cause="a"))
    other = uuid4()
    assert list(checks.lost_requests(recorded, [CALL_ID, other])) == [
        f"{other}: requested and acknowledged, but the log has no such call"
    ]
    assert [line.split(":")[0] for line in checks.calls_without_end(recorded)] == [str(CALL_ID)]


def test_an_acknowledged_message_that_is_not_in_the_stream_is_found() -> None:
    cancel = CallCancelRequested(call_id=CALL_ID)
    sent = {
        "a": Sent(cancel, CALL_ID, sequence=1),
        "b": Sent(cancel, CALL_ID, sequence=2),
        "c": Sent(REQUEST, CALL_ID, is_abandoned=True),
        "erased": Sent(REQUEST, CALL_ID, sequence=3),
    }
    recorded = log(message(REQUESTS.name, 1, cancel, id="a"), message(CALLS.name, 1, created(), cause="a"))
    assert [line.split(":")[0] for line in checks.lost_messages(recorded, sent)] == ["b", "c"]


def test_a_request_that_is_still_in_clear_is_found() -> None:
    cancel = message(REQUESTS.name, 2, CallCancelRequested(call_id=CALL_ID))
    sealed = message(REQUESTS.name, 3, REQUEST)
    sealed.headers["ce-person"] = "ab" * 16
    found = list(checks.requests_in_clear(log(message(REQUESTS.name, 1, REQUEST, id="a"), cancel, sealed)))
    assert found == ["a: call.requested is in clear in REQUESTS/1"]


def test_a_call_that_leaves_its_final_status_without_a_retry_is_found() -> None:
    recorded = log(
        message(CALLS.name, 1, changed(CallStatus.BUSY)), message(CALLS.name, 2, changed(CallStatus.CANCELED))
    )
    assert list(checks.calls_without_end(recorded)) == []
    recorded = log(
        message(CALLS.name, 1, changed(CallStatus.BUSY)),
        message(CALLS.name, 2, changed(CallStatus.PENDING)),
        message(CALLS.name, 3, changed(CallStatus.CANCELED)),
    )
    assert list(checks.calls_without_end(recorded)) == [f"{CALL_ID}: busy became pending at 2"]


def test_a_slot_is_occupied_until_the_call_is_not_live_or_its_grant_is_released() -> None:
    grant = AdmissionGranted(call_id=CALL_ID, campaign_id="c", attempt=1, due_sequence=1, replay_from_sequence=1)
    granted = message(CALLS.name, 2, grant)
    dialing = message(CALLS.name, 3, changed(CallStatus.DIALING))
    released = message(CALLS.name, 4, AdmissionReleased(call_id=CALL_ID, attempt=1, grant_sequence=2))
    ended = message(CALLS.name, 4, changed(CallStatus.BUSY))
    assert checks.leaked_slots(log(granted, dialing)) == [f"{CALL_ID}: its slot, granted at 2, is occupied"]
    assert checks.leaked_slots(log(granted, released)) == checks.leaked_slots(log(granted, dialing, ended)) == []


def test_a_provider_call_that_two_attempts_have_is_found() -> None:
    placed = DialPlaced(call_id=CALL_ID, attempt=1, provider_call_id="CA1")
    again = DialLookedUp(call_id=CALL_ID, attempt=1, provider_call_id="CA1")
    adopted = DialLookedUp(call_id=CALL_ID, attempt=2, provider_call_id="CA1")
    recorded = log(message(CALLS.name, 1, placed), message(CALLS.name, 2, again))
    assert list(checks.shared_provider_calls(recorded)) == []
    recorded = log(message(CALLS.name, 1, placed), message(CALLS.name, 2, adopted))
    assert list(checks.shared_provider_calls(recorded)) == [f"CA1: {CALL_ID}/1, {CALL_ID}/2"]


def test_a_timer_that_is_obeyed_before_the_deadline_of_the_call_is_found() -> None:
    call = CALL.model_copy(update={"deadline_at": NOW + timedelta(seconds=60)})
    waiting = message(CALLS.name, 1, CallCreated(call=call, occurred_at=NOW))
    timer = message(CALLS.name, 2, TimerDue(call_id=CALL_ID, deadline_at=NOW + timedelta(seconds=90)), id="t")
    early = log(waiting, timer, message(CALLS.name, 3, created(), cause="t"))
    in_time = log(waiting, timer, message(CALLS.name, 60, created(), cause="t"))
    assert list(checks.early_timers(early)) == [f"{CALL_ID}: call.created at 3, 57.0 s too early"]
    assert list(checks.early_timers(in_time)) == []


def test_commands_that_are_lost_late_or_decided_twice_are_found() -> None:
    cancel = CallCancelRequested(call_id=CALL_ID)
    requested, canceled = message(REQUESTS.name, 1, REQUEST, id="a"), message(REQUESTS.name, 2, cancel, id="b")
    unknown = {"b": CommandOutcome(accepted=False, reasons=("there is no such call",))}
    sent = {"a": Sent(REQUEST, CALL_ID, sequence=1), "b": Sent(cancel, CALL_ID, sequence=2)}
    lost = log(requested, canceled, message(CALLS.name, 1, created(), cause="a"))
    assert [line.split(":")[0] for line in checks.lost_commands(lost, sent, unknown)] == ["b"]
    assert [line.split(":")[0] for line in checks.lost_commands(lost, sent, {})] == ["b"]
    assert list(checks.lost_commands(lost, {**sent, "a": Sent(REQUEST, CALL_ID, sequence=3)}, {})) == []
    refused = CallCommandRefused(
        call=changed(CallStatus.BUSY).call,
        occurred_at=NOW,
        command=cancel.event_name,
        reason="the call has ended: busy",
    )
    recorded = log(requested, canceled, message(CALLS.name, 1, refused, cause="b"))
    assert list(checks.lost_commands(recorded, sent, unknown)) == []
    assert len(list(checks.lost_commands(recorded, sent, {"b": CommandOutcome(accepted=True)}))) == 1

    obeyed = message(CALLS.name, 1, changed(CallStatus.CANCELED), cause="b")
    late = log(requested, canceled, obeyed, message(CALLS.name, 2, created(), cause="a"))
    assert list(checks.lost_commands(late, sent, {})) == []
    for positions in ({}, sent):  # a request that was erased has its position in what was sent only
        kept = late if not positions else log(*late.record.messages[1:])
        found = list(checks.commands_out_of_order(kept, positions))
        assert found == [f"{CALL_ID}: REQUESTS/1 was decided after 2"]
    twice = log(requested, canceled, obeyed, message(CALLS.name, 2, changed(CallStatus.CANCELED), cause="b"))
    assert list(checks.repeated_decisions(twice)) == [f"{CALL_ID}: 2 decisions on b"]
