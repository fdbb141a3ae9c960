"""The life of a call as our side hears of it: status callbacks, detection callbacks, and their faults."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import Response

if TYPE_CHECKING:
    from tests.integration.simulators.conftest import Telephone

pytestmark = pytest.mark.integration
SHORT_TALK = '<Pause length="12"/>'


def statuses(telephone: "Telephone") -> list[tuple[str, str]]:
    return [(form["CallStatus"], form["SequenceNumber"]) for form in telephone.ours.posts("/status")]


async def test_an_answered_call_reports_its_four_events_in_order(telephone: "Telephone") -> None:
    telephone.ours.twiml("/voice", SHORT_TALK)
    call = await telephone.call()
    entry = await telephone.ended(call.sid)
    assert statuses(telephone) == [("initiated", "0"), ("ringing", "1"), ("in-progress", "2"), ("completed", "3")]
    assert entry.duration is not None
    assert 12 <= entry.duration <= 16
    last = telephone.ours.posts("/status")[-1]
    assert (last["CallDuration"], last["Duration"]) == (str(entry.duration), "1")
    fetched = await telephone.api.calls(call.sid).fetch_async()
    assert (fetched.status, fetched.duration) == ("completed", str(entry.duration))


async def test_every_request_to_our_side_is_signed_and_says_whose_call_it_is(telephone: "Telephone") -> None:
    telephone.ours.twiml("/voice", "<Play>sound</Play>")
    telephone.ours.audio("/sound", 1.0)
    call = await telephone.call(
        status_callback=f"{telephone.ours.url}/status?call_id=a%20b&attempt=1",
        machine_detection="Enable",
        async_amd="true",
        async_amd_status_callback=f"{telephone.ours.url}/amd",
    )
    await telephone.ended(call.sid)
    assert {one.path for one in telephone.ours.received} >= {"/voice", "/sound", "/status"}
    assert all(one.signed for one in telephone.ours.received)
    told = [form for path in ("/voice", "/status") for form in telephone.ours.posts(path)]
    assert {(form["CallSid"], form["AccountSid"]) for form in told} == {(call.sid, telephone.api.account_sid)}
    assert {form["Direction"] for form in told} == {"outbound-api"}


async def test_without_events_only_the_end_is_reported(telephone: "Telephone") -> None:
    call = await telephone.call(status_callback_event=[])
    await telephone.ended(call.sid)
    assert statuses(telephone) == [("completed", "0")]


async def test_an_unknown_event_is_accepted_and_never_sent(telephone: "Telephone") -> None:
    call = await telephone.call(status_callback_event=["answerd", "completed"])
    entry = await telephone.ended(call.sid)
    assert statuses(telephone) == [("completed", "0")]
    assert 21626 in [error.code for error in entry.errors]


@pytest.mark.parametrize(
    ("behaviour", "status", "sip", "before"),
    [
        ("busy", "busy", "486", ["initiated", "ringing"]),
        ("no_answer", "no-answer", "487", ["initiated", "ringing"]),
        ("invalid", "failed", "404", ["initiated"]),
    ],
)
async def test_a_call_that_nobody_answers_says_why(
    telephone: "Telephone", behaviour: str, status: str, sip: str, before: list[str]
) -> None:
    await telephone.meets(behaviour)
    entry = await telephone.ended((await telephone.call()).sid)
    assert [name for name, _ in statuses(telephone)] == [*before, status]
    last = telephone.ours.posts("/status")[-1]
    assert (last["SipResponseCode"], last["CallDuration"]) == (sip, "0")
    assert telephone.ours.posts("/voice") == []
    assert entry.status == status


async def test_a_phone_rings_no_longer_than_the_timeout(telephone: "Telephone") -> None:
    entry = await telephone.ended((await telephone.call(timeout=1)).sid)
    assert entry.status == "no-answer"


async def test_a_busy_number_may_answer_the_second_time(telephone: "Telephone") -> None:
    await telephone.meets("busy", "human")
    first, second = [await telephone.ended((await telephone.call()).sid) for _ in range(2)]
    assert (first.status, second.status) == ("busy", "completed")
    assert first.sid != second.sid


@pytest.mark.parametrize(
    ("behaviour", "mode", "answered_by"),
    [
        ("human", "Enable", "human"),
        ("voicemail", "Enable", "machine_start"),
        ("voicemail", "DetectMessageEnd", "machine_end_beep"),
        ("silent", "Enable", "unknown"),
    ],
)
async def test_detection_in_the_background_tells_who_answered(
    telephone: "Telephone", behaviour: str, mode: str, answered_by: str
) -> None:
    telephone.ours.twiml("/voice", SHORT_TALK)
    await telephone.meets(behaviour)
    call = await telephone.call(
        machine_detection=mode, async_amd="true", async_amd_status_callback=f"{telephone.ours.url}/amd"
    )
    entry = await telephone.ended(call.sid)
    (told,) = telephone.ours.posts("/amd")
    assert told.pop("MachineDetectionDuration").isdigit()
    assert told == {"CallSid": call.sid, "AccountSid": telephone.api.account_sid, "AnsweredBy": answered_by}
    assert entry.answered_by == answered_by
    assert all("AnsweredBy" not in form for form in telephone.ours.posts("/status"))
    assert "AnsweredBy" not in telephone.ours.posts("/voice")[0]


async def test_detection_in_the_foreground_is_known_before_the_first_document(telephone: "Telephone") -> None:
    await telephone.meets("voicemail")
    await telephone.ended((await telephone.call(machine_detection="Enable")).sid)
    assert telephone.ours.posts("/voice")[0]["AnsweredBy"] == "machine_start"
    assert telephone.ours.posts("/status")[-1]["AnsweredBy"] == "machine_start"


async def test_send_digits_switches_detection_off(telephone: "Telephone") -> None:
    entry = await telephone.ended((await telephone.call(machine_detection="Enable", send_digits="1")).sid)
    assert entry.answered_by is None


async def test_a_callback_answered_with_500_is_not_sent_again(telephone: "Telephone") -> None:
    telephone.ours.answers("/status", Response(status_code=500))
    entry = await telephone.ended((await telephone.call(status_callback_event=["completed"])).sid)
    assert len(telephone.ours.posts("/status")) == 1
    assert [error.code for error in entry.errors if error.url and "/status" in error.url] == [15003]


async def test_a_fragment_asks_for_retries_and_is_neither_sent_nor_signed(telephone: "Telephone") -> None:
    telephone.ours.answers("/status", *(Response(status_code=code) for code in (500, 503, 204)))
    url = f"{telephone.ours.url}/status#rc=3&rp=ct,rt,5xx"
    await telephone.call(status_callback=url, status_callback_event=["completed"])
    await telephone.until(lambda: len(telephone.ours.posts("/status")) == 3)
    hook = next(one for one in telephone.ledger.calls[0].webhooks if one.kind == "status")
    await telephone.until(lambda: hook.seconds is not None)
    assert (hook.attempts, hook.status) == (3, 204)
    assert all(one.signed for one in telephone.ours.received)


async def test_a_slow_answer_is_given_up_and_not_asked_for_again(telephone: "Telephone") -> None:
    telephone.ours.answers("/voice", Response("<Response/>", media_type="text/xml"), after=1.0)
    entry = await telephone.ended((await telephone.call(url=f"{telephone.ours.url}/voice#rt=100")).sid)
    voice = next(hook for hook in entry.webhooks if hook.kind == "voice")
    assert (voice.attempts, voice.status, voice.error) == (1, None, "rt")
    assert entry.ended_by == "application_error"


async def test_nobody_listening_is_tried_twice(telephone: "Telephone", unused_tcp_port: int) -> None:
    entry = await telephone.ended((await telephone.call(url=f"http://127.0.0.1:{unused_tcp_port}/voice")).sid)
    voice = next(hook for hook in entry.webhooks if hook.kind == "voice")
    assert (voice.attempts, voice.error) == (2, "ct")
    assert 11205 in [error.code for error in entry.errors]


async def test_duplicated_callbacks_carry_the_same_sequence_number(telephone: "Telephone") -> None:
    await telephone.put("callbacks", {"duplicate": 1})
    await telephone.call()
    await telephone.until(lambda: len(telephone.ours.posts("/status")) == 8)
    assert [number for _, number in statuses(telephone)] == list("00112233")


async def test_reordered_callbacks_all_come_with_the_end_before_them(telephone: "Telephone") -> None:
    await telephone.put("callbacks", {"reorder": 1})
    await telephone.call()
    await telephone.until(lambda: len(telephone.ours.posts("/status")) == 4)
    assert [number for _, number in statuses(telephone)] == list("3012")


async def test_dropped_callbacks_never_come(telephone: "Telephone") -> None:
    await telephone.put("callbacks", {"drop": 1})
    call = await telephone.call()
    await telephone.until(lambda: telephone.entry(call.sid).status == "completed")
    assert telephone.ours.posts("/status") == []
    assert [one.sequence for one in telephone.entry(call.sid).statuses] == [0, 1, 2, 3]


async def test_delayed_callbacks_come_after_the_call(telephone: "Telephone") -> None:
    await telephone.put("callbacks", {"delay": 1, "delay_seconds": 60})
    call = await telephone.call()
    await telephone.until(lambda: telephone.entry(call.sid).status == "completed")
    assert telephone.ours.posts("/status") == []
    await telephone.until(lambda: len(telephone.ours.posts("/status")) == 4)


async def test_the_same_seed_disturbs_the_same_callbacks(make_telephone: Callable[..., Any]) -> None:
    heard = []
    for _ in range(2):
        async with make_telephone(seed=5) as telephone:
            await telephone.put("callbacks", {"duplicate": 0.5, "reorder": 0.5})
            await telephone.ended((await telephone.call()).sid)
            numbers = [form["SequenceNumber"] for form in telephone.ours.posts("/status")]
            heard.append(numbers[: numbers.index("3")])
    assert heard[0] == heard[1] != ["0", "1", "2"]
