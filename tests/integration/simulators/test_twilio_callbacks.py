"""Status callbacks and detection callbacks, and their faults."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import Response

if TYPE_CHECKING:
    from tests.integration.simulators.conftest import SimulatedTwilio

pytestmark = pytest.mark.integration
PAUSE = '<Pause length="12"/>'


def statuses(simulator: "SimulatedTwilio") -> list[tuple[str, str]]:
    return [(form["CallStatus"], form["SequenceNumber"]) for form in simulator.application.forms("/status")]


async def test_an_answered_call_reports_its_four_events_in_order(simulator: "SimulatedTwilio") -> None:
    simulator.application.set_twiml("/voice", PAUSE)
    call = await simulator.create_call()
    entry = await simulator.wait_for_end(call.sid)
    assert statuses(simulator) == [("initiated", "0"), ("ringing", "1"), ("in-progress", "2"), ("completed", "3")]
    assert entry.duration is not None
    assert 12 <= entry.duration <= 16
    last = simulator.application.forms("/status")[-1]
    assert (last["CallDuration"], last["Duration"]) == (str(entry.duration), "1")
    fetched = await simulator.api.calls(call.sid).fetch_async()
    assert (fetched.status, fetched.duration) == ("completed", str(entry.duration))


async def test_every_request_is_signed_and_names_its_call_and_account(simulator: "SimulatedTwilio") -> None:
    simulator.application.set_twiml("/voice", "<Play>sound</Play>")
    simulator.application.set_audio("/sound", 1.0)
    call = await simulator.create_call(
        status_callback=f"{simulator.application.url}/status?call_id=a%20b&attempt=1",
        machine_detection="Enable",
        async_amd="true",
        async_amd_status_callback=f"{simulator.application.url}/amd",
    )
    await simulator.wait_for_end(call.sid)
    assert {request.path for request in simulator.application.received} >= {"/voice", "/sound", "/status"}
    assert all(request.has_valid_signature for request in simulator.application.received)
    forms = [form for path in ("/voice", "/status") for form in simulator.application.forms(path)]
    assert {(form["CallSid"], form["AccountSid"]) for form in forms} == {(call.sid, simulator.api.account_sid)}
    assert {form["Direction"] for form in forms} == {"outbound-api"}


async def test_without_requested_events_only_the_end_is_reported(simulator: "SimulatedTwilio") -> None:
    call = await simulator.create_call(status_callback_event=[])
    await simulator.wait_for_end(call.sid)
    assert statuses(simulator) == [("completed", "0")]


async def test_an_unknown_event_is_accepted_and_never_sent(simulator: "SimulatedTwilio") -> None:
    call = await simulator.create_call(status_callback_event=["answerd", "completed"])
    entry = await simulator.wait_for_end(call.sid)
    assert statuses(simulator) == [("completed", "0")]
    assert 21626 in [error.code for error in entry.errors]


@pytest.mark.parametrize(
    ("behaviour", "status", "sip", "before"),
    [
        ("busy", "busy", "486", ["initiated", "ringing"]),
        ("no_answer", "no-answer", "487", ["initiated", "ringing"]),
        ("invalid", "failed", "404", ["initiated"]),
    ],
)
async def test_a_call_without_an_answer_reports_the_reason(
    simulator: "SimulatedTwilio", behaviour: str, status: str, sip: str, before: list[str]
) -> None:
    await simulator.set_behaviours(behaviour)
    entry = await simulator.wait_for_end((await simulator.create_call()).sid)
    assert [name for name, _ in statuses(simulator)] == [*before, status]
    last = simulator.application.forms("/status")[-1]
    assert (last["SipResponseCode"], last["CallDuration"]) == (sip, "0")
    assert simulator.application.forms("/voice") == []
    assert entry.status == status


async def test_a_phone_rings_no_longer_than_the_timeout(simulator: "SimulatedTwilio") -> None:
    entry = await simulator.wait_for_end((await simulator.create_call(timeout=1)).sid)
    assert entry.status == "no-answer"


async def test_a_busy_number_may_answer_the_second_time(simulator: "SimulatedTwilio") -> None:
    await simulator.set_behaviours("busy", "human")
    first, second = [await simulator.wait_for_end((await simulator.create_call()).sid) for _ in range(2)]
    assert (first.status, second.status) == ("busy", "completed")
    assert first.sid != second.sid


@pytest.mark.parametrize(
    ("behaviour", "mode", "answered_by"),
    [
        ("human", "Enable", "human"),
        ("voicemail", "Enable", "machine_start"),
        ("voicemail", "DetectMessageEnd", "machine_end_beep"),
        ("silent", "Enable", "unknown"),
        ("fax", "DetectMessageEnd", "fax"),
        ("screened", "DetectMessageEnd", "human"),
        ("mistaken_human", "DetectMessageEnd", "machine_end_silence"),
    ],
)
async def test_asynchronous_detection_reports_who_answered(
    simulator: "SimulatedTwilio", behaviour: str, mode: str, answered_by: str
) -> None:
    simulator.application.set_twiml("/voice", PAUSE)
    await simulator.set_behaviours(behaviour)
    call = await simulator.create_call(
        machine_detection=mode, async_amd="true", async_amd_status_callback=f"{simulator.application.url}/amd"
    )
    entry = await simulator.wait_for_end(call.sid)
    (form,) = simulator.application.forms("/amd")
    assert form.pop("MachineDetectionDuration").isdigit()
    assert form == {"CallSid": call.sid, "AccountSid": simulator.api.account_sid, "AnsweredBy": answered_by}
    assert entry.answered_by == answered_by
    assert all("AnsweredBy" not in form for form in simulator.application.forms("/status"))
    assert "AnsweredBy" not in simulator.application.forms("/voice")[0]


async def test_synchronous_detection_is_reported_with_the_first_request(simulator: "SimulatedTwilio") -> None:
    await simulator.set_behaviours("voicemail")
    await simulator.wait_for_end((await simulator.create_call(machine_detection="Enable")).sid)
    assert simulator.application.forms("/voice")[0]["AnsweredBy"] == "machine_start"
    assert simulator.application.forms("/status")[-1]["AnsweredBy"] == "machine_start"


async def test_send_digits_disables_detection(simulator: "SimulatedTwilio") -> None:
    entry = await simulator.wait_for_end((await simulator.create_call(machine_detection="Enable", send_digits="1")).sid)
    assert entry.answered_by is None


async def test_a_callback_answered_with_500_is_not_retried(simulator: "SimulatedTwilio") -> None:
    simulator.application.set_answers("/status", Response(status_code=500))
    entry = await simulator.wait_for_end((await simulator.create_call(status_callback_event=["completed"])).sid)
    assert len(simulator.application.forms("/status")) == 1
    assert [error.code for error in entry.errors if error.url and "/status" in error.url] == [15003]


async def test_a_url_fragment_requests_retries_and_is_neither_sent_nor_signed(simulator: "SimulatedTwilio") -> None:
    simulator.application.set_answers("/status", *(Response(status_code=code) for code in (500, 503, 204)))
    url = f"{simulator.application.url}/status#rc=3&rp=ct,rt,5xx"
    await simulator.create_call(status_callback=url, status_callback_event=["completed"])
    await simulator.wait_until(lambda: len(simulator.application.forms("/status")) == 3)
    hook = next(entry for entry in simulator.ledger.calls[0].webhooks if entry.kind == "status")
    await simulator.wait_until(lambda: hook.seconds is not None)
    assert (hook.attempts, hook.status) == (3, 204)
    assert all(request.has_valid_signature for request in simulator.application.received)
    attempts = [request for request in simulator.application.received if request.path == "/status"]
    assert len({request.idempotency_token for request in attempts}) == 1


async def test_a_slow_answer_is_a_timeout_without_retry(simulator: "SimulatedTwilio") -> None:
    simulator.application.set_answers("/voice", Response("<Response/>", media_type="text/xml"), delay=1.0)
    entry = await simulator.wait_for_end(
        (await simulator.create_call(url=f"{simulator.application.url}/voice#rt=100")).sid
    )
    voice = next(hook for hook in entry.webhooks if hook.kind == "voice")
    assert (voice.attempts, voice.status, voice.error) == (1, None, "rt")
    assert entry.ended_by == "application_error"


async def test_a_refused_connection_is_retried_once(simulator: "SimulatedTwilio", unused_tcp_port: int) -> None:
    entry = await simulator.wait_for_end(
        (await simulator.create_call(url=f"http://127.0.0.1:{unused_tcp_port}/voice")).sid
    )
    voice = next(hook for hook in entry.webhooks if hook.kind == "voice")
    assert (voice.attempts, voice.error) == (2, "ct")
    assert 11205 in [error.code for error in entry.errors]


async def test_duplicated_callbacks_carry_the_same_sequence_number(simulator: "SimulatedTwilio") -> None:
    await simulator.put_control("callbacks", {"duplicate": 1})
    await simulator.create_call()
    await simulator.wait_until(lambda: len(simulator.application.forms("/status")) == 8)
    assert [number for _, number in statuses(simulator)] == list("00112233")


async def test_reordered_callbacks_arrive_after_the_final_one(simulator: "SimulatedTwilio") -> None:
    await simulator.put_control("callbacks", {"reorder": 1})
    await simulator.create_call()
    await simulator.wait_until(lambda: len(simulator.application.forms("/status")) == 4)
    assert [number for _, number in statuses(simulator)] == list("3012")


async def test_dropped_callbacks_do_not_arrive(simulator: "SimulatedTwilio") -> None:
    await simulator.put_control("callbacks", {"drop": 1})
    call = await simulator.create_call()
    await simulator.wait_until(lambda: simulator.entry(call.sid).status == "completed")
    assert simulator.application.forms("/status") == []
    assert [entry.sequence for entry in simulator.entry(call.sid).statuses] == [0, 1, 2, 3]


async def test_delayed_callbacks_arrive_after_the_call(simulator: "SimulatedTwilio") -> None:
    await simulator.put_control("callbacks", {"delay": 1, "delay_seconds": 60})
    call = await simulator.create_call()
    await simulator.wait_until(lambda: simulator.entry(call.sid).status == "completed")
    assert simulator.application.forms("/status") == []
    await simulator.wait_until(lambda: len(simulator.application.forms("/status")) == 4)


async def test_equal_seeds_affect_the_same_callbacks(make_simulator: Callable[..., Any]) -> None:
    runs = []
    for _ in range(2):
        async with make_simulator(seed=5) as simulator:
            await simulator.put_control("callbacks", {"duplicate": 0.5, "reorder": 0.5})
            await simulator.wait_for_end((await simulator.create_call()).sid)
            numbers = [form["SequenceNumber"] for form in simulator.application.forms("/status")]
            runs.append(numbers[: numbers.index("3")])
    assert runs[0] == runs[1] != ["0", "1", "2"]
