"""A machine answers: what the network is told to play, what is stored, and when a person is recognized."""

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import httpx
import pytest

from chassis.event_log import EventLog
from contracts import (
    AudioFailed,
    Call,
    Event,
    HangupReason,
    MessageReported,
    PersonRecognized,
    SpeechHeard,
    VoicemailDelivery,
    VoicemailPolicy,
)
from contracts.filters import call_filters
from contracts.vocabulary import MESSAGE_TURN

if TYPE_CHECKING:
    from tests.integration.edge.conftest import Orchestrator, Twilio

MESSAGE = VoicemailPolicy(message="Hola {{name}}, le llamaremos mañana.")
GREETING = "Ha llamado al buzón de voz. Deje su mensaje después de la señal."


def verbs(answer: httpx.Response) -> list[str]:
    """Returns the names of the verbs in the answer, those inside a Gather with its name in front."""
    assert answer.status_code == 200, answer.text
    root = ET.fromstring(answer.text)  # noqa: S314  our own answer
    nested = [(verb, [f"{verb.tag}/{inner.tag}" for inner in verb]) for verb in root]
    return [name for verb, inner in nested for name in (inner or [verb.tag])]


async def facts(calls: EventLog, call: Call) -> list[Event]:
    """Returns the events of the call without the orchestrator's."""
    stored = [one.event for one in await calls.read(call_filters(call.call_id))]
    return [event for event in stored if not event.event_name.startswith("call.")]


async def machine(orchestrator: "Orchestrator", call: Call, *, is_after_beep: bool) -> str:
    """Has the orchestrator request the message. Returns the target of its webhook."""
    changes = {"voicemail": MESSAGE, "voicemail_delivery": VoicemailDelivery.NONE, "is_after_beep": is_after_beep}
    await orchestrator.move(call.call_id, **changes)
    return f"/twilio/message/{call.call_id}/1"


def reported(call: Call, sid: str, *, is_finished: bool) -> MessageReported:
    return MessageReported(call_id=call.call_id, attempt=1, provider_call_id=sid, is_finished=is_finished)


async def test_after_the_beep_the_message_is_played_once_and_the_line_is_closed(
    twilio: "Twilio", talking: Call, orchestrator: "Orchestrator", calls: EventLog
) -> None:
    target = await machine(orchestrator, talking, is_after_beep=True)
    played = await twilio(target, CallSid="CA1")
    assert verbs(played) == ["Play", "Redirect"]
    assert f"/media/{talking.call_id}/1/{MESSAGE_TURN}?token=" in played.text
    assert verbs(await twilio(target, CallSid="CA1")) == ["Play", "Redirect"]
    assert verbs(await twilio(f"{target}?finished=true", CallSid="CA1")) == ["Hangup"]
    assert await facts(calls, talking) == [
        reported(talking, "CA1", is_finished=False),
        reported(talking, "CA1", is_finished=True),
    ]


async def test_a_message_that_was_not_synthesized_is_spoken_from_its_beginning(
    twilio: "Twilio", talking: Call, orchestrator: "Orchestrator", calls: EventLog
) -> None:
    target = await machine(orchestrator, talking, is_after_beep=True)
    await orchestrator.move(talking.call_id, company="Acme", message_disclosure="Una IA de Acme.")
    assert verbs(await twilio(target)) == ["Play", "Redirect"]
    failed = AudioFailed(
        call_id=talking.call_id, attempt=1, turn=MESSAGE_TURN, sentence=0, reason="cut off", fallback="say"
    )
    await calls.append(failed)
    spoken = await twilio(f"{target}?finished=true")
    assert verbs(spoken) == ["Say", "Redirect"]
    assert ">Una IA de Acme. Hola Ana, le llamaremos mañana.<" in spoken.text
    assert [one.is_finished for one in await facts(calls, talking) if isinstance(one, MessageReported)] == [False]
    assert verbs(await twilio(f"{target}?finished=true&said=true")) == ["Hangup"]
    assert [one.is_finished for one in await facts(calls, talking) if isinstance(one, MessageReported)] == [False, True]


async def test_without_a_beep_a_person_may_interrupt_the_message_and_is_answered(
    twilio: "Twilio", talking: Call, orchestrator: "Orchestrator", calls: EventLog
) -> None:
    target = await machine(orchestrator, talking, is_after_beep=False)
    assert verbs(await twilio(target)) == ["Gather/Play", "Redirect"]
    utterance = f"/twilio/gather/{talking.call_id}/1/1?said=true"
    for _ in range(2):  # every webhook may come twice
        answer = await twilio(utterance, SpeechResult="¿Hola? Soy yo.", Confidence="0.9")
        assert verbs(answer) == ["Gather/Play"]
        assert f"/media/{talking.call_id}/1/1?" in answer.text
    begun, heard, person = await facts(calls, talking)
    assert isinstance(begun, MessageReported)
    assert isinstance(heard, SpeechHeard)
    assert (heard.turn, heard.text) == (1, "¿Hola? Soy yo.")
    assert person == PersonRecognized(call_id=talking.call_id, attempt=1, turn=1)


async def test_a_message_that_was_withdrawn_is_not_played_to_the_person(
    twilio: "Twilio", talking: Call, orchestrator: "Orchestrator", calls: EventLog
) -> None:
    target = await machine(orchestrator, talking, is_after_beep=False)
    await twilio(f"/twilio/gather/{talking.call_id}/1/1", SpeechResult="¿Hola? Soy yo.", Confidence="0.9")
    await orchestrator.move(talking.call_id, voicemail_delivery=None)
    answer = await twilio(target)
    assert verbs(answer) == ["Gather/Play"]
    assert f"/media/{talking.call_id}/1/1?" in answer.text, "the reply to what the person said"
    assert [type(fact) for fact in await facts(calls, talking)] == [SpeechHeard, PersonRecognized]


@pytest.mark.parametrize(("is_after_beep", "text"), [(True, "¿Hola? Soy yo."), (False, GREETING), (False, "")])
async def test_what_a_machine_says_is_no_turn_of_a_conversation(
    twilio: "Twilio", talking: Call, orchestrator: "Orchestrator", calls: EventLog, is_after_beep: bool, text: str
) -> None:
    target = await machine(orchestrator, talking, is_after_beep=is_after_beep)
    answer = await twilio(f"/twilio/gather/{talking.call_id}/1/1", SpeechResult=text, Confidence="0.9")
    assert verbs(answer) == ["Redirect"]
    assert target in answer.text
    assert await facts(calls, talking) == []


async def test_no_message_is_played_on_a_line_that_is_being_closed(
    twilio: "Twilio", talking: Call, orchestrator: "Orchestrator", calls: EventLog
) -> None:
    target = await machine(orchestrator, talking, is_after_beep=True)
    await orchestrator.move(talking.call_id, hangup_reason=HangupReason.CANCELED)
    assert verbs(await twilio(target)) == ["Hangup"]
    assert await facts(calls, talking) == []
