"""<Dial><Number>: the second leg, who answers it, what is reported of it, and how it ends with the first one."""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.integration.simulators.conftest import SimulatedTwilio

pytestmark = pytest.mark.integration
PERSON = "+12125550145"
DIAL = '<Dial action="/ended" timeout="20" timeLimit="600" callerId="+12125550199"{}><Number{}>{}</Number></Dial>'


def dial(on_dial: str = "", on_number: str = "") -> str:
    return DIAL.format(on_dial, on_number, PERSON)


async def run(simulator: "SimulatedTwilio", behaviour: str, twiml: str, **settings: Any) -> Any:
    """Returns the entry of an ended call that dials a person."""
    await simulator.put_control(f"callees/{PERSON}", {"behaviours": [behaviour], "settings": settings})
    simulator.application.set_twiml("/voice", twiml)
    simulator.application.set_twiml("/ended", "<Hangup/>")
    return await simulator.wait_for_end((await simulator.create_call()).sid)


async def test_a_person_who_answers_talks_with_the_callee(simulator: "SimulatedTwilio") -> None:
    number = ' statusCallback="/answered" statusCallbackEvent="answered"'
    entry = await run(simulator, "human", dial(on_number=number), talk_seconds=40)
    (leg,) = entry.dials
    assert (leg.to, leg.from_, leg.status, leg.is_bridged) == (PERSON, "+12125550199", "completed", True)
    assert 40 <= leg.seconds <= 45
    (form,) = simulator.application.forms("/ended")
    assert (form["DialCallStatus"], form["DialBridged"], form["DialCallSid"]) == ("completed", "true", leg.sid)
    assert (form["CallSid"], form["DialCallDuration"]) == (entry.sid, str(leg.seconds))
    (answered,) = simulator.application.forms("/answered")
    assert (answered["CallSid"], answered["ParentCallSid"], answered["CallStatus"]) == (
        leg.sid,
        entry.sid,
        "in-progress",
    )
    assert all(request.has_valid_signature for request in simulator.application.received)


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [("busy", "busy"), ("no_answer", "no-answer"), ("invalid", "failed"), ("refused", "failed")],
)
async def test_a_person_who_cannot_be_reached(simulator: "SimulatedTwilio", behaviour: str, status: str) -> None:
    entry = await run(simulator, behaviour, dial())
    (form,) = simulator.application.forms("/ended")
    assert form["DialCallStatus"] == entry.dials[0].status == status
    assert "DialBridged" not in form


@pytest.mark.parametrize(
    ("behaviour", "keys", "is_bridged"), [("human", ["1"], True), ("declines", ["2"], False), ("silent", [], False)]
)
async def test_the_document_of_the_number_is_heard_before_both_are_connected(
    simulator: "SimulatedTwilio", behaviour: str, keys: list[str], is_bridged: bool
) -> None:
    offer = '<Gather input="dtmf" numDigits="1" action="/choice" timeout="3"><Say>Ana asks.</Say></Gather><Hangup/>'
    simulator.application.set_twiml("/offer", offer)
    simulator.application.set_twiml("/choice", "" if is_bridged else "<Hangup/>")
    entry = await run(simulator, behaviour, dial(on_number=' url="/offer"'), talk_seconds=30)
    (leg,) = entry.dials
    assert (leg.heard, leg.keys, leg.is_bridged) == (["Ana asks."], keys, is_bridged)
    assert [form["Digits"] for form in simulator.application.forms("/choice")] == keys
    (form,) = simulator.application.forms("/ended")
    assert (form["DialCallStatus"], form["DialBridged"]) == ("completed", str(is_bridged).lower())
    assert [form["ParentCallSid"] for form in simulator.application.forms("/offer")] == [entry.sid]


async def test_the_time_limit_ends_both_legs(simulator: "SimulatedTwilio") -> None:
    twiml = dial().replace('timeLimit="600"', 'timeLimit="60"')
    entry = await run(simulator, "human", twiml, talk_seconds=500)
    assert 60 <= entry.dials[0].seconds <= 70


async def test_the_end_of_the_call_ends_the_leg_of_the_person(simulator: "SimulatedTwilio") -> None:
    await simulator.put_control(f"callees/{PERSON}", {"behaviours": ["human"], "settings": {"talk_seconds": 100_000.0}})
    simulator.application.set_twiml("/voice", dial())
    call = await simulator.create_call()
    await simulator.wait_until(lambda: any(leg.is_bridged for leg in simulator.entry(call.sid).dials))
    await simulator.api.calls(call.sid).update_async(status="completed")
    entry = await simulator.wait_for_end(call.sid)
    assert (entry.dials[0].status, entry.ended_by) == ("completed", "api")
    assert simulator.application.forms("/ended") == []


async def test_a_document_without_a_number_and_one_with_a_dial_on_the_leg_are_errors(
    simulator: "SimulatedTwilio",
) -> None:
    entry = await run(simulator, "human", "<Dial action='/ended'/>")
    assert [error.code for error in entry.errors] == [13222]
    simulator.application.set_twiml("/offer", dial())
    entry = await run(simulator, "human", dial(on_number=' url="/offer"'))
    assert not entry.dials[0].is_bridged
    assert [error.code for error in entry.errors] == [13233]
