"""What webhooks read from the log: the requests of a conversation, and URLs that name a wrong sequence."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.integration.edge.test_turns import audio_failed, gather_of, next_target, played_path, spoken_text, utterances
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from chassis.event_log import EventLog
from contracts import AudioRequested, Call, ReplyGenerated, SpeechHeard
from contracts.filters import call_state_filter
from contracts.streams import CALLS

if TYPE_CHECKING:
    import httpx
    from tests.integration.edge.conftest import Orchestrator, Twilio

LEADER, NODE = f"$JS.API.STREAM.MSG.GET.{CALLS.name}", f"$JS.API.DIRECT.GET.{CALLS.name}"
SID = "CA00000000000000000000000000000001"


@asynccontextmanager
async def requests_of(client: Client) -> AsyncIterator[list[Msg]]:
    """Yields the requests for stored messages and the appends that the server receives meanwhile."""
    received: list[Msg] = []

    async def record(message: Msg) -> None:
        received.append(message)

    subscriptions = [
        await client.subscribe(subject, cb=record) for subject in (LEADER, NODE, "speech.heard.*", "telephony.*.*")
    ]
    await client.flush()
    yield received
    await client.flush()
    for subscription in subscriptions:
        await subscription.unsubscribe()


def counted(messages: list[Msg]) -> tuple[int, int, int]:
    """Returns how many reads went to the leader and to any node, and how many events were appended."""
    subjects = [message.subject for message in messages]
    leader, node = subjects.count(LEADER), subjects.count(NODE)
    return leader, node, len(subjects) - leader - node


async def test_a_conversation_costs_one_read_of_the_leader_for_each_instruction(
    twilio: "Twilio", talking: Call, bus_client: Client, calls: EventLog, orchestrator: "Orchestrator"
) -> None:
    status = f"/twilio/status/{talking.call_id}/1"
    last = await calls.last(call_state_filter(talking.call_id))
    assert last
    await orchestrator.move(talking.call_id, granted_sequence=last.sequence)
    async with requests_of(bus_client) as first:
        await twilio(status, CallStatus="ringing", SequenceNumber="1")
        answer = await twilio(f"/twilio/voice/{talking.call_id}/1")
        answer = await twilio(next_target(answer), SpeechResult="¿Quién es?")
    async with requests_of(bus_client) as later:
        for text in ("¿Cuándo?", "Sí."):
            answer = await twilio(next_target(answer), SpeechResult=text)
        await twilio(status, CallStatus="completed", SequenceNumber="3", CallDuration="40")

    assert played_path(answer) == f"/media/{talking.call_id}/1/3"
    assert counted(later) == (2, 2, 3)
    heard = [stored.event for stored in await utterances(calls, talking)]
    assert [event.granted_sequence for event in heard if isinstance(event, SpeechHeard)] == [last.sequence] * 3
    assert counted(first) == (2, 2, 3)


@pytest.fixture
async def third_turn(twilio: "Twilio", talking: Call) -> str:
    """Lets the callee speak twice; returns the target of the third utterance."""
    answer = await twilio(f"/twilio/voice/{talking.call_id}/1")
    for text in ("hola", "sí"):
        answer = await twilio(next_target(answer), SpeechResult=text)
    return next_target(answer)


async def test_a_changed_sequence_is_forged(
    anyone: "httpx.AsyncClient", third_turn: str, talking: Call, calls: EventLog
) -> None:
    form = {"CallSid": SID, "SpeechResult": "hola"}
    signature = RequestValidator("0123456789abcdef0123456789abcdef").compute_signature(
        "https://calls.example.com" + third_turn, form
    )
    path, _, sequence = third_turn.partition("?after=")

    for target in (path, f"{path}?after={int(sequence) - 1}", f"{third_turn}&after=1"):
        answer = await anyone.post(target, data=form, headers={"X-Twilio-Signature": signature})
        assert answer.status_code == 403
    assert len(await utterances(calls, talking)) == 2


@pytest.mark.parametrize("after", ["0", "1", "2", "999999", "9" * 18])
async def test_a_wrong_sequence_claims_the_turn_that_no_sequence_claims(
    twilio: "Twilio", third_turn: str, talking: Call, calls: EventLog, after: str
) -> None:
    path = third_turn.partition("?")[0]

    answer = await twilio(f"{path}?after={after}", SpeechResult="adiós")
    again = await twilio(third_turn, SpeechResult="adiós")

    assert played_path(answer) == f"/media/{talking.call_id}/1/3"
    assert again.text == answer.text
    heard = [stored.event for stored in await utterances(calls, talking)]
    assert [event.turn for event in heard if isinstance(event, SpeechHeard)] == [1, 2, 3]


@pytest.mark.parametrize("after", ["-1", "x", "", "9" * 19, "9" * 5_000])
async def test_what_is_no_sequence_is_refused(
    twilio: "Twilio", third_turn: str, talking: Call, calls: EventLog, after: str
) -> None:
    answer = await twilio(f"{third_turn.partition('?')[0]}?after={after}", SpeechResult="adiós")

    assert answer.status_code == 422
    assert len(await utterances(calls, talking)) == 2


async def test_a_sequence_of_another_call_is_not_that_of_the_turn(
    twilio: "Twilio", third_turn: str, talking: Call, calls: EventLog
) -> None:
    foreign = await calls.append(SpeechHeard(call_id=uuid4(), attempt=1, turn=2, text="", language="es"))

    answer = await twilio(f"{third_turn.partition('?')[0]}?after={foreign.sequence}", SpeechResult="adiós")

    assert played_path(answer) == f"/media/{talking.call_id}/1/3"
    assert len(await utterances(calls, talking)) == 3


async def test_the_remainder_of_a_reply_is_read_from_the_turns_sequence(
    twilio: "Twilio", third_turn: str, talking: Call, calls: EventLog, bus_client: Client
) -> None:
    sequence = third_turn.partition("?after=")[2]
    fields = {"call_id": talking.call_id, "attempt": 1, "turn": 2}
    for number, text in enumerate(("Hola.", "¿Puede venir?")):
        await calls.append(
            AudioRequested.model_validate({**fields, "sentence": number, "text": text, "language": "es"})
        )
    await calls.append(audio_failed(talking, 1, 2, 1))
    reply = {"text": "Hola. ¿Puede venir?", "sentences": 2, "model": "m", "latency_seconds": 1}
    await calls.append(ReplyGenerated.model_validate({**fields, **reply}))

    async with requests_of(bus_client) as reads:
        silence = await twilio(third_turn)
    async with requests_of(bus_client) as later_reads:
        redirected = await twilio(f"/twilio/say/{talking.call_id}/1/2?from=0&after={sequence}")

    assert (spoken_text(silence), spoken_text(redirected)) == ("¿Puede venir?", "Hola. ¿Puede venir?")
    assert gather_of(silence).attrib["action"].partition("#")[0].endswith(f"?said=true&after={sequence}")
    # The call; the turn, its outcomes and its sentences. The newest reply is a direct get of a subject.
    assert (counted(reads)[0], counted(later_reads)[0]) == (1, 1)
    assert counted(reads)[2] == counted(later_reads)[2] == 0
