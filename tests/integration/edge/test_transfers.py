"""The webhooks of a transfer on a real log: who may send them, and what the network is told to do."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from tests.builders.turns import a_reply

from chassis.event_log import EventLog
from contracts import (
    Call,
    Event,
    SpeechHeard,
    TransferAnswered,
    TransferEnded,
    TransferKind,
    TransferRequested,
    TransferStarted,
    TransferStatus,
)

if TYPE_CHECKING:
    from tests.integration.edge.conftest import Orchestrator, Twilio

OWN, PERSON = "+12125550199", "+12125550145"


async def announced(
    calls: EventLog, orchestrator: "Orchestrator", call: Call, kind: TransferKind = TransferKind.COLD
) -> str:
    """The agent announces a transfer in its first reply. Returns the end of each path of this turn."""
    await orchestrator.move(call.call_id, has_tools=True)
    place = {"call_id": call.call_id, "attempt": 1, "turn": 1}
    await calls.append(SpeechHeard(**place, text="quiero hablar con alguien", language="es"))
    await calls.append(
        TransferRequested(**place, destination="sales", kind=kind, phone_number=PERSON, summary="Ana quiere comprar.")
    )
    return f"{call.call_id}/1"


async def stored(calls: EventLog, call: Call, kind: type[Event]) -> Sequence[Event]:
    return [one.event for one in await calls.read([f"{kind.event_name}.{call.call_id}"])]


async def test_a_person_is_dialled_from_the_number_of_the_line_and_the_end_closes_it(
    twilio: "Twilio", talking: Call, orchestrator: "Orchestrator", calls: EventLog
) -> None:
    path = await announced(calls, orchestrator, talking)
    for _ in range(2):  # every webhook may come twice
        dialled = await twilio(f"/twilio/gather/{path}/2", From=OWN, To=PERSON)
        assert f'callerId="{OWN}"' in dialled.text
        assert f">{PERSON}</Number>" in dialled.text
        assert 'timeLimit="3600"' in dialled.text
    answered = await twilio(f"/twilio/transfer_answered/{path}/1", CallStatus="in-progress", From=OWN)
    assert answered.status_code == 204
    for _ in range(2):
        ended = await twilio(f"/twilio/transfer/{path}/1", DialCallStatus="completed", DialCallDuration="61")
        assert "<Hangup" in ended.text
    assert len(await stored(calls, talking, TransferStarted)) == 1
    assert await stored(calls, talking, TransferAnswered) == [
        TransferAnswered(call_id=talking.call_id, attempt=1, turn=1)
    ]
    [event] = await stored(calls, talking, TransferEnded)
    assert isinstance(event, TransferEnded)
    assert (event.status, event.seconds) == (TransferStatus.COMPLETED, 61)


async def test_the_redirect_after_the_announcement_dials_the_person(
    twilio: "Twilio", talking: Call, orchestrator: "Orchestrator", calls: EventLog
) -> None:
    path = await announced(calls, orchestrator, talking)
    await calls.append(a_reply(talking.call_id, 1, "Le paso con ventas."))
    for _ in range(2):
        dialled = await twilio(f"/twilio/say/{path}/1?from=1", From=OWN)
        assert f">{PERSON}</Number>" in dialled.text
    assert (await twilio(f"/twilio/say/{path}/1?from=1", signature="bm8=", From=OWN)).status_code == 403
    [started] = await stored(calls, talking, TransferStarted)
    assert isinstance(started, TransferStarted)
    assert started.words == ""


async def test_words_that_come_first_begin_the_transfer_and_are_kept(
    twilio: "Twilio", talking: Call, orchestrator: "Orchestrator", calls: EventLog
) -> None:
    path = await announced(calls, orchestrator, talking)
    assert f">{PERSON}</Number>" in (await twilio(f"/twilio/gather/{path}/2", SpeechResult="Vale.", From=OWN)).text
    [started] = await stored(calls, talking, TransferStarted)
    assert isinstance(started, TransferStarted)
    assert started.words == "Vale."


async def test_a_person_hears_the_summary_and_a_refusal_returns_the_callee_to_the_agent(
    twilio: "Twilio", talking: Call, orchestrator: "Orchestrator", calls: EventLog
) -> None:
    path = await announced(calls, orchestrator, talking, TransferKind.WARM)
    assert 'answerOnBridge="true"' in (await twilio(f"/twilio/gather/{path}/2", From=OWN)).text
    offer = (await twilio(f"/twilio/transfer_offer/{path}/1", From=OWN)).text
    assert offer.count("Ana quiere comprar.") == 2
    assert "<Hangup" in (await twilio(f"/twilio/transfer_choice/{path}/1", Digits="3")).text
    back = await twilio(f"/twilio/transfer/{path}/1", DialCallStatus="completed", DialBridged="false")
    assert "/1/2?" in back.text, "the reply to the next turn is played"
    heard = await stored(calls, talking, SpeechHeard)
    assert [event.text for event in heard if isinstance(event, SpeechHeard)][1:] == ["[transfer sales: not accepted]"]


async def test_a_person_who_accepts_joins_the_callee(
    twilio: "Twilio", talking: Call, orchestrator: "Orchestrator", calls: EventLog
) -> None:
    path = await announced(calls, orchestrator, talking, TransferKind.WARM)
    await twilio(f"/twilio/gather/{path}/2", From=OWN)
    assert (await twilio(f"/twilio/transfer_choice/{path}/1", Digits="1")).text.endswith("<Response />")
    assert "<Hangup" in (await twilio(f"/twilio/transfer/{path}/1", DialCallStatus="completed")).text


@pytest.mark.parametrize("webhook", ["transfer", "transfer_answered", "transfer_offer", "transfer_choice"])
async def test_only_the_provider_reports_about_transfers(
    twilio: "Twilio", talking: Call, orchestrator: "Orchestrator", calls: EventLog, webhook: str
) -> None:
    path = await announced(calls, orchestrator, talking)
    form = {"DialCallStatus": "completed", "CallStatus": "in-progress", "Digits": "1"}
    assert (await twilio(f"/twilio/{webhook}/{path}/1", signature="bm8=", **form)).status_code == 403
    assert (await twilio(f"/twilio/{webhook}/{path}/0", **form)).status_code == 422
    assert (await twilio(f"/twilio/{webhook}/{path}/{'9' * 30}", **form)).status_code in (404, 422)
    for kind in (TransferAnswered, TransferEnded):
        assert await stored(calls, talking, kind) == []


async def test_a_report_that_cannot_be_used_is_refused_and_an_unexpected_one_connects_nothing(
    twilio: "Twilio", talking: Call, orchestrator: "Orchestrator", calls: EventLog
) -> None:
    path = await announced(calls, orchestrator, talking)
    assert (await twilio(f"/twilio/transfer/{path}/1", DialCallStatus="perhaps")).status_code == 422
    assert (await twilio(f"/twilio/transfer/{path}/1")).status_code == 422
    unknown = f"{uuid4()}/1/1"
    assert (await twilio(f"/twilio/transfer/{unknown}", DialCallStatus="busy")).status_code == 404
    assert (await twilio(f"/twilio/transfer_offer/{unknown}")).status_code == 404
    assert (await twilio(f"/twilio/transfer_choice/{unknown}", Digits="1")).status_code == 404
    assert "<Hangup" in (await twilio(f"/twilio/transfer_offer/{path}/7")).text, "no such transfer"
    assert (await twilio(f"/twilio/transfer/{path}/7", DialCallStatus="busy")).status_code == 200
    assert await stored(calls, talking, TransferEnded) == []
