"""A conversation in turns: what Twilio is told to play and to listen for, and what is taken down of it."""

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from chassis.event_log import EventLog, StoredEvent
from contracts import (
    AudioFailed,
    AudioReady,
    AudioRequested,
    Call,
    CallStatus,
    ConversationEnded,
    Disposition,
    HangupReason,
    ReplyGenerated,
    SpeechHeard,
    TelephonyStatus,
    TelephonyStatusReported,
)
from contracts.streams import call_state_filter
from telephony.media import verify

if TYPE_CHECKING:
    from tests.integration.edge.conftest import Orchestrator, Twilio

AUTH_TOKEN = "0123456789abcdef0123456789abcdef"
HANG_UP = '<?xml version="1.0" encoding="UTF-8"?><Response><Hangup /></Response>'


def gather_of(answer: httpx.Response) -> ET.Element:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/xml"
    root = ET.fromstring(answer.text)  # noqa: S314  our own answer
    assert [child.tag for child in root] == ["Gather"]
    return root[0]


def played(answer: httpx.Response) -> str:
    """The path of what is played, once its token is found to be good."""
    [play] = gather_of(answer)
    assert play.tag == "Play"
    url = urlsplit(play.text or "")
    assert f"{url.scheme}://{url.netloc}" == "https://calls.example.com"
    assert verify(AUTH_TOKEN, url.path, parse_qs(url.query)["token"][0])
    return url.path


async def heard(calls: EventLog, call: Call) -> list[StoredEvent]:
    return await calls.read([f"speech.heard.{call.call_id}"])


async def test_who_picks_up_hears_the_greeting_and_is_listened_to(
    twilio: "Twilio", talking: Call, calls: EventLog
) -> None:
    target = f"/twilio/voice/{talking.call_id}/1"

    answer = await twilio(target, CallStatus="in-progress")

    assert played(answer) == f"/media/{talking.call_id}/1/0"
    assert gather_of(answer).attrib == {
        "input": "speech",
        "action": f"https://calls.example.com/twilio/gather/{talking.call_id}/1/1#rc=2&rp=ct,rt,5xx",
        "method": "POST",
        "timeout": "5",
        "speechTimeout": "auto",
        "language": "es-ES",
        "bargeIn": "true",
        "actionOnEmptyResult": "true",
    }
    await twilio(target, CallStatus="in-progress")
    [stored] = await calls.read([f"telephony.status_reported.{talking.call_id}"])
    assert isinstance(stored.event, TelephonyStatusReported)
    assert (stored.event.status, stored.event.sequence_number) == (TelephonyStatus.IN_PROGRESS, None)


@pytest.mark.parametrize(("language", "recognised"), [("es", "es-ES"), ("en", "en-US"), ("es-MX", "es-MX")])
async def test_the_recogniser_is_told_the_language_with_its_region(
    twilio: "Twilio", talking: Call, orchestrator: "Orchestrator", language: str, recognised: str
) -> None:
    await orchestrator.move(talking.call_id, language=language)

    answer = await twilio(f"/twilio/voice/{talking.call_id}/1")

    assert gather_of(answer).attrib["language"] == recognised


@pytest.mark.parametrize(
    "over",
    [
        {"status": CallStatus.CANCELED},
        {"status": CallStatus.VOICEMAIL},
        {"hangup_reason": HangupReason.CANCELED},
        {"attempt": 2},
    ],
)
@pytest.mark.parametrize("path", ["voice/{}/1", "gather/{}/1/1", "say/{}/1/0"])
async def test_the_line_of_a_call_that_is_over_is_closed(
    twilio: "Twilio", talking: Call, orchestrator: "Orchestrator", over: dict[str, object], path: str
) -> None:
    await orchestrator.move(talking.call_id, **over)

    answer = await twilio("/twilio/" + path.format(talking.call_id), SpeechResult="hola")

    assert answer.text == HANG_UP


async def test_what_was_heard_is_taken_down_and_its_reply_is_played(
    twilio: "Twilio", talking: Call, calls: EventLog
) -> None:
    answer = await twilio(f"/twilio/gather/{talking.call_id}/1/1", SpeechResult=" Sí, claro. ", Confidence="0.91")

    assert played(answer) == f"/media/{talking.call_id}/1/1"
    assert gather_of(answer).attrib["action"].split("#")[0].endswith(f"/{talking.call_id}/1/2")
    [stored] = await heard(calls, talking)
    assert stored.event == SpeechHeard(
        call_id=talking.call_id, attempt=1, turn=1, text="Sí, claro.", confidence=0.91, language="es"
    )


async def test_a_silence_is_taken_down_as_one(twilio: "Twilio", talking: Call, calls: EventLog) -> None:
    await twilio(f"/twilio/gather/{talking.call_id}/1/1", Confidence="0.0")

    [stored] = await heard(calls, talking)
    assert isinstance(stored.event, SpeechHeard)
    assert (stored.event.text, stored.event.confidence) == ("", None)


async def test_a_turn_that_is_told_again_is_taken_once_and_answered_alike(
    twilio: "Twilio", talking: Call, calls: EventLog
) -> None:
    target = f"/twilio/gather/{talking.call_id}/1/1"

    at_once = await asyncio.gather(*(twilio(target, SpeechResult="hola") for _ in range(4)))
    await twilio(f"/twilio/gather/{talking.call_id}/1/2", SpeechResult="adiós")
    late = await twilio(target, SpeechResult="hola")

    assert {answer.text for answer in (*at_once, late)} == {late.text}
    assert played(late).endswith("/1/1")
    assert [stored.envelope.id[-7:] for stored in await heard(calls, talking)] == ["heard/1", "heard/2"]


async def test_a_turn_that_another_voice_has_taken_is_not_lost(
    twilio: "Twilio", talking: Call, calls: EventLog
) -> None:
    await calls.append(SpeechHeard(call_id=talking.call_id, attempt=1, turn=1, text="desde fuera", language="es"))

    answer = await twilio(f"/twilio/gather/{talking.call_id}/1/1", SpeechResult="hola")

    assert played(answer) == f"/media/{talking.call_id}/1/2"
    assert [stored.event.turn for stored in await heard(calls, talking) if isinstance(stored.event, SpeechHeard)] == [
        1,
        2,
    ]


async def test_a_second_attempt_begins_at_its_first_turn(
    twilio: "Twilio", talking: Call, orchestrator: "Orchestrator", calls: EventLog
) -> None:
    await twilio(f"/twilio/gather/{talking.call_id}/1/1", SpeechResult="hola")
    await orchestrator.move(talking.call_id, attempt=2)

    answer = await twilio(f"/twilio/gather/{talking.call_id}/2/1", CallSid="CA2", SpeechResult="hola")

    assert played(answer) == f"/media/{talking.call_id}/2/1"
    assert len(await heard(calls, talking)) == 2


@pytest.mark.parametrize(("attempt", "closed"), [(1, True), (0, False)])
async def test_the_line_is_closed_once_its_own_conversation_has_ended(
    twilio: "Twilio", talking: Call, calls: EventLog, attempt: int, closed: bool
) -> None:
    ended = ConversationEnded(
        call_id=talking.call_id, attempt=attempt, turn=1, disposition=Disposition.CONFIRMED, summary=""
    )
    await calls.append(ended)

    answer = await twilio(f"/twilio/gather/{talking.call_id}/1/2", SpeechResult="adiós")

    assert (answer.text == HANG_UP) == closed
    assert len(await heard(calls, talking)) == (0 if closed else 1)


async def test_a_goodbye_is_played_though_its_webhook_is_told_again(
    twilio: "Twilio", talking: Call, calls: EventLog
) -> None:
    target = f"/twilio/gather/{talking.call_id}/1/1"
    first = await twilio(target, SpeechResult="no, gracias")
    await calls.append(
        ConversationEnded(call_id=talking.call_id, attempt=1, turn=1, disposition=Disposition.DECLINED, summary="")
    )

    again = await twilio(target, SpeechResult="no, gracias")

    assert again.text == first.text
    assert (await twilio(f"/twilio/gather/{talking.call_id}/1/2")).text == HANG_UP


def failed(call: Call, attempt: int, turn: int, sentence: int) -> AudioFailed:
    """Voice has given up the turn from this sentence on."""
    return AudioFailed(
        call_id=call.call_id, attempt=attempt, turn=turn, sentence=sentence, reason="no credit", fallback="say"
    )


Reply = Callable[..., Awaitable[None]]


@pytest.fixture
def reply(calls: EventLog, talking: Call) -> Reply:
    """Conversation's reply in a turn of the first attempt; `given_up`: the sentence that voice cannot speak."""

    async def reply(turn: int, *sentences: str, given_up: int | None = None) -> None:
        told: dict[str, Any] = {"call_id": talking.call_id, "attempt": 1, "turn": turn}
        for number, text in enumerate(sentences):
            await calls.append(AudioRequested(**told, sentence=number, text=text, language="es"))
        if given_up is not None:
            await calls.append(failed(talking, 1, turn, given_up))
        text, count = " ".join(sentences), len(sentences)
        await calls.append(ReplyGenerated(**told, text=text, sentences=count, model="m", latency_seconds=1))

    return reply


def said(answer: httpx.Response) -> str | None:
    """What is said, in Spanish and in Twilio's own voice."""
    [say] = gather_of(answer)
    assert (say.tag, say.attrib) == ("Say", {"language": "es-ES"})
    return say.text


@pytest.mark.parametrize(("given_up", "rest"), [(0, "Hola <Ana> & compañía. ¿Puede venir?"), (1, "¿Puede venir?")])
async def test_what_nobody_could_hear_of_a_reply_is_said_by_twilio_once_after_the_silence(
    twilio: "Twilio", talking: Call, calls: EventLog, reply: Reply, given_up: int, rest: str
) -> None:
    await twilio(f"/twilio/gather/{talking.call_id}/1/1", SpeechResult="hola")
    await reply(1, "Hola <Ana> & compañía.", "¿Puede venir?", given_up=given_up)

    answers = [await twilio(f"/twilio/gather/{talking.call_id}/1/2") for _ in range(2)]

    assert [said(answer) for answer in answers] == [rest, rest], "asked again, it is answered alike"
    action = gather_of(answers[0]).attrib["action"]
    assert action.endswith(f"/{talking.call_id}/1/2?said=true#rc=2&rp=ct,rt,5xx")
    assert len(await heard(calls, talking)) == 1, "the silence was ours"
    again = await twilio(f"/twilio/gather/{talking.call_id}/1/2?said=true")
    assert played(again) == f"/media/{talking.call_id}/1/2"
    assert len(await heard(calls, talking)) == 2


async def test_last_words_that_nobody_could_hear_are_said_before_the_line_is_closed(
    twilio: "Twilio", talking: Call, calls: EventLog, reply: Reply
) -> None:
    await twilio(f"/twilio/gather/{talking.call_id}/1/1", SpeechResult="no, gracias")
    await reply(1, "De acuerdo.", "Adiós.", given_up=1)
    await calls.append(
        ConversationEnded(call_id=talking.call_id, attempt=1, turn=1, disposition=Disposition.DECLINED, summary="")
    )

    assert said(await twilio(f"/twilio/gather/{talking.call_id}/1/2")) == "Adiós."
    assert (await twilio(f"/twilio/gather/{talking.call_id}/1/2?said=true")).text == HANG_UP


async def test_a_failure_in_another_turn_does_not_hide_what_is_unsaid(
    twilio: "Twilio", talking: Call, calls: EventLog, reply: Reply
) -> None:
    await twilio(f"/twilio/gather/{talking.call_id}/1/1", SpeechResult="hola")
    await reply(1, "Hola.", "¿Puede venir?", given_up=1)
    await calls.append(failed(talking, 1, 7, 0))

    assert said(await twilio(f"/twilio/gather/{talking.call_id}/1/2")) == "¿Puede venir?"


async def test_a_greeting_that_could_not_be_made_ready_is_said_by_twilio_at_once_and_after_a_silence(
    twilio: "Twilio", talking: Call, calls: EventLog
) -> None:
    await calls.append(failed(talking, 0, 0, 0))

    answer = await twilio(f"/twilio/voice/{talking.call_id}/1")

    assert said(answer) == "Hola Ana."
    assert "/1/1?said=true" in gather_of(answer).attrib["action"]
    assert said(await twilio(f"/twilio/gather/{talking.call_id}/1/1")) == "Hola Ana."


@pytest.mark.parametrize(("query", "rest"), [("", "Hola. ¿Puede venir?"), ("?from=1", "¿Puede venir?")])
async def test_a_turn_that_voice_has_given_up_is_said_by_twilio_from_there_on(
    twilio: "Twilio", talking: Call, reply: Reply, query: str, rest: str
) -> None:
    await twilio(f"/twilio/gather/{talking.call_id}/1/1", SpeechResult="hola")
    asked = asyncio.create_task(twilio(f"/twilio/say/{talking.call_id}/1/1{query}"))
    await asyncio.sleep(0.2)
    assert not asked.done(), "the reply is waited for while it is being made"
    await reply(1, "Hola.", "¿Puede venir?")

    answer = await asked

    assert said(answer) == rest
    assert gather_of(answer).attrib["action"].endswith(f"/{talking.call_id}/1/2?said=true#rc=2&rp=ct,rt,5xx")


async def test_what_was_heard_meanwhile_goes_before_a_turn_that_voice_has_given_up(
    twilio: "Twilio", talking: Call, reply: Reply
) -> None:
    await twilio(f"/twilio/gather/{talking.call_id}/1/1", SpeechResult="hola")
    await reply(1, "Hola.", "¿Puede venir?", given_up=1)
    await twilio(f"/twilio/gather/{talking.call_id}/1/2", SpeechResult="¿quién es?")

    answer = await twilio(f"/twilio/say/{talking.call_id}/1/1?from=1")

    assert played(answer) == f"/media/{talking.call_id}/1/2"


async def test_a_greeting_that_voice_has_given_up_is_said_by_twilio(twilio: "Twilio", talking: Call) -> None:
    assert said(await twilio(f"/twilio/say/{talking.call_id}/1/0?from=0")) == "Hola Ana."


async def test_who_speaks_is_answered_even_if_the_audio_before_failed(
    twilio: "Twilio", talking: Call, calls: EventLog
) -> None:
    await calls.append(failed(talking, 0, 0, 0))

    answer = await twilio(f"/twilio/gather/{talking.call_id}/1/1", SpeechResult="¿Diga?")

    assert played(answer) == f"/media/{talking.call_id}/1/1"


async def test_what_was_heard_stands_behind_the_state_that_it_followed(
    twilio: "Twilio", talking: Call, calls: EventLog
) -> None:
    await twilio(f"/twilio/gather/{talking.call_id}/1/1", SpeechResult="hola")

    state = await calls.last(call_state_filter(talking.call_id))
    [stored] = await heard(calls, talking)
    assert state
    assert stored.envelope.causation_id == state.envelope.id


async def test_a_greeting_made_at_the_second_try_was_heard(twilio: "Twilio", talking: Call, calls: EventLog) -> None:
    await calls.append(failed(talking, 0, 0, 0))
    ready = AudioReady(
        call_id=talking.call_id,
        attempt=0,
        turn=0,
        sentence=0,
        digest="d",
        duration_seconds=1,
        is_cached=False,
        provider="p",
    )
    await calls.append(ready)

    answer = await twilio(f"/twilio/gather/{talking.call_id}/1/1")

    assert played(answer) == f"/media/{talking.call_id}/1/1"
