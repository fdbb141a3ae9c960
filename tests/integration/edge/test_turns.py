"""A turn-based conversation: the TwiML that each webhook is answered with, and the utterances that are stored."""

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
from contracts.filters import call_state_filter
from telephony.media import derive_media_key, verify

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


def played_path(answer: httpx.Response) -> str:
    """Returns the path of the played audio, after a check of its token."""
    [play] = gather_of(answer)
    assert play.tag == "Play"
    url = urlsplit(play.text or "")
    assert f"{url.scheme}://{url.netloc}" == "https://calls.example.com"
    query = parse_qs(url.query)
    after_sequence = int(query.get("after", ["0"])[0])
    assert verify(derive_media_key(AUTH_TOKEN), url.path, query["token"][0], after_sequence)
    return url.path


def next_target(answer: httpx.Response) -> str:
    """Returns the path and query to which Twilio posts the next utterance."""
    url = urlsplit(gather_of(answer).attrib["action"])
    return url.path + (f"?{url.query}" if url.query else "")


async def utterances(calls: EventLog, call: Call) -> list[StoredEvent]:
    return await calls.read([f"speech.heard.{call.call_id}"])


async def test_an_answered_call_plays_the_greeting_and_awaits_an_utterance(
    twilio: "Twilio", talking: Call, calls: EventLog
) -> None:
    target = f"/twilio/voice/{talking.call_id}/1"

    answer = await twilio(target, CallStatus="in-progress")

    assert played_path(answer) == f"/media/{talking.call_id}/1/0"
    assert gather_of(answer).attrib == {
        "input": "dtmf speech",
        "numDigits": "1",
        "finishOnKey": "",
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


@pytest.mark.parametrize(("language", "recognized"), [("es", "es-ES"), ("en", "en-US"), ("es-MX", "es-MX")])
async def test_speech_recognition_gets_the_language_with_a_region(
    twilio: "Twilio", talking: Call, orchestrator: "Orchestrator", language: str, recognized: str
) -> None:
    await orchestrator.move(talking.call_id, language=language)

    answer = await twilio(f"/twilio/voice/{talking.call_id}/1")

    assert gather_of(answer).attrib["language"] == recognized


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
async def test_the_line_of_a_call_that_is_over_is_hung_up(
    twilio: "Twilio", talking: Call, orchestrator: "Orchestrator", over: dict[str, object], path: str
) -> None:
    await orchestrator.move(talking.call_id, **over)

    answer = await twilio("/twilio/" + path.format(talking.call_id), SpeechResult="hola")

    assert answer.text == HANG_UP


async def test_an_utterance_is_stored_and_its_reply_is_played(twilio: "Twilio", talking: Call, calls: EventLog) -> None:
    answer = await twilio(f"/twilio/gather/{talking.call_id}/1/1", SpeechResult=" Sí, claro. ", Confidence="0.91")

    assert played_path(answer) == f"/media/{talking.call_id}/1/1"
    [stored] = await utterances(calls, talking)
    assert next_target(answer) == f"/twilio/gather/{talking.call_id}/1/2?after={stored.sequence}"
    [play] = gather_of(answer)
    assert (play.text or "").endswith(f"&after={stored.sequence}")
    assert stored.event == SpeechHeard(
        call_id=talking.call_id, attempt=1, turn=1, text="Sí, claro.", confidence=0.91, language="es"
    )


async def test_an_opt_out_during_the_goodbye_is_stored_and_answered_without_a_reply_of_the_model(
    twilio: "Twilio", talking: Call, calls: EventLog
) -> None:
    await twilio(f"/twilio/gather/{talking.call_id}/1/1", SpeechResult="Sí")
    ended = ConversationEnded(
        call_id=talking.call_id, attempt=1, turn=1, disposition=Disposition.ANSWERED, summary="", goodbye_seconds=3
    )
    await calls.append(ended)
    [first] = await utterances(calls, talking)

    target = f"/twilio/gather/{talking.call_id}/1/2?after={first.sequence}"
    answers = [await twilio(target, SpeechResult="No me llamen más") for _ in range(2)]

    for answer in answers:
        root = ET.fromstring(answer.text)  # noqa: S314  our own answer
        assert [child.tag for child in root] == ["Say", "Hangup"]
    assert [
        stored.event.text for stored in await utterances(calls, talking) if isinstance(stored.event, SpeechHeard)
    ] == [
        "Sí",
        "No me llamen más",
    ]


async def test_a_silence_is_stored_as_an_utterance_without_text(
    twilio: "Twilio", talking: Call, calls: EventLog
) -> None:
    await twilio(f"/twilio/gather/{talking.call_id}/1/1", Confidence="0.0")

    [stored] = await utterances(calls, talking)
    assert isinstance(stored.event, SpeechHeard)
    assert (stored.event.text, stored.event.confidence) == ("", None)


async def test_a_repeated_webhook_claims_one_turn_and_is_answered_alike(
    twilio: "Twilio", talking: Call, calls: EventLog
) -> None:
    target = f"/twilio/gather/{talking.call_id}/1/1"

    simultaneous = await asyncio.gather(*(twilio(target, SpeechResult="hola") for _ in range(4)))
    await twilio(f"/twilio/gather/{talking.call_id}/1/2", SpeechResult="adiós")
    late = await twilio(target, SpeechResult="hola")

    assert {answer.text for answer in (*simultaneous, late)} == {late.text}
    assert played_path(late).endswith("/1/1")
    assert [stored.envelope.id[-7:] for stored in await utterances(calls, talking)] == ["heard/1", "heard/2"]


async def test_an_utterance_whose_turn_is_claimed_claims_the_next_one(
    twilio: "Twilio", talking: Call, calls: EventLog
) -> None:
    await calls.append(SpeechHeard(call_id=talking.call_id, attempt=1, turn=1, text="desde fuera", language="es"))

    answer = await twilio(f"/twilio/gather/{talking.call_id}/1/1", SpeechResult="hola")

    assert played_path(answer) == f"/media/{talking.call_id}/1/2"
    assert [
        stored.event.turn for stored in await utterances(calls, talking) if isinstance(stored.event, SpeechHeard)
    ] == [
        1,
        2,
    ]


async def test_a_second_attempt_begins_at_its_first_turn(
    twilio: "Twilio", talking: Call, orchestrator: "Orchestrator", calls: EventLog
) -> None:
    await twilio(f"/twilio/gather/{talking.call_id}/1/1", SpeechResult="hola")
    await orchestrator.move(talking.call_id, attempt=2)

    answer = await twilio(f"/twilio/gather/{talking.call_id}/2/1", CallSid="CA2", SpeechResult="hola")

    assert played_path(answer) == f"/media/{talking.call_id}/2/1"
    assert len(await utterances(calls, talking)) == 2


@pytest.mark.parametrize(("attempt", "closed"), [(1, True), (0, False)])
async def test_the_line_is_hung_up_after_the_conversation_of_its_own_attempt_has_ended(
    twilio: "Twilio", talking: Call, calls: EventLog, attempt: int, closed: bool
) -> None:
    ended = ConversationEnded(
        call_id=talking.call_id, attempt=attempt, turn=1, disposition=Disposition.CONFIRMED, summary=""
    )
    await calls.append(ended)

    answer = await twilio(f"/twilio/gather/{talking.call_id}/1/2", SpeechResult="adiós")

    assert (answer.text == HANG_UP) == closed
    assert len(await utterances(calls, talking)) == (0 if closed else 1)


async def test_a_goodbye_is_played_again_when_its_webhook_is_repeated(
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


def audio_failed(call: Call, attempt: int, turn: int, sentence: int) -> AudioFailed:
    """Returns the event by which voice leaves the turn to Twilio's voice, from this sentence on."""
    return AudioFailed(
        call_id=call.call_id, attempt=attempt, turn=turn, sentence=sentence, reason="no credit", fallback="say"
    )


StoreReply = Callable[..., Awaitable[None]]


@pytest.fixture
def store_reply(calls: EventLog, talking: Call) -> StoreReply:
    """Stores a reply of the first attempt; voice cannot synthesize it from the sentence `unplayed_from` on."""

    async def store_reply(turn: int, *sentences: str, unplayed_from: int | None = None) -> None:
        fields: dict[str, Any] = {"call_id": talking.call_id, "attempt": 1, "turn": turn}
        for number, text in enumerate(sentences):
            await calls.append(AudioRequested(**fields, sentence=number, text=text, language="es"))
        if unplayed_from is not None:
            await calls.append(audio_failed(talking, 1, turn, unplayed_from))
        text, count = " ".join(sentences), len(sentences)
        await calls.append(ReplyGenerated(**fields, text=text, sentences=count, model="m", latency_seconds=1))

    return store_reply


def spoken_text(answer: httpx.Response) -> str | None:
    """Returns the text that Twilio's own voice speaks, in Spanish."""
    [spoken] = gather_of(answer)
    assert (spoken.tag, spoken.attrib) == ("Say", {"language": "es-ES"})
    return spoken.text


@pytest.mark.parametrize(("unplayed_from", "rest"), [(0, "Hola <Ana> & compañía. ¿Puede venir?"), (1, "¿Puede venir?")])
async def test_twilio_speaks_an_unplayed_remainder_once_after_the_silence(
    twilio: "Twilio", talking: Call, calls: EventLog, store_reply: StoreReply, unplayed_from: int, rest: str
) -> None:
    await twilio(f"/twilio/gather/{talking.call_id}/1/1", SpeechResult="hola")
    await store_reply(1, "Hola <Ana> & compañía.", "¿Puede venir?", unplayed_from=unplayed_from)

    answers = [await twilio(f"/twilio/gather/{talking.call_id}/1/2") for _ in range(2)]

    assert [spoken_text(answer) for answer in answers] == [rest, rest], "a repeated webhook is answered alike"
    [heard] = await utterances(calls, talking)  # this silence is no utterance
    target = f"/twilio/gather/{talking.call_id}/1/2?said=true&after={heard.sequence}"
    assert next_target(answers[0]) == target
    again = await twilio(target)
    assert played_path(again) == f"/media/{talking.call_id}/1/2"
    assert len(await utterances(calls, talking)) == 2


async def test_twilio_speaks_an_unplayed_goodbye_before_the_line_is_hung_up(
    twilio: "Twilio", talking: Call, calls: EventLog, store_reply: StoreReply
) -> None:
    await twilio(f"/twilio/gather/{talking.call_id}/1/1", SpeechResult="no, gracias")
    await store_reply(1, "De acuerdo.", "Adiós.", unplayed_from=1)
    await calls.append(
        ConversationEnded(call_id=talking.call_id, attempt=1, turn=1, disposition=Disposition.DECLINED, summary="")
    )

    assert spoken_text(await twilio(f"/twilio/gather/{talking.call_id}/1/2")) == "Adiós."
    assert (await twilio(f"/twilio/gather/{talking.call_id}/1/2?said=true")).text == HANG_UP


async def test_a_failure_in_another_turn_does_not_hide_an_unplayed_remainder(
    twilio: "Twilio", talking: Call, calls: EventLog, store_reply: StoreReply
) -> None:
    await twilio(f"/twilio/gather/{talking.call_id}/1/1", SpeechResult="hola")
    await store_reply(1, "Hola.", "¿Puede venir?", unplayed_from=1)
    await calls.append(audio_failed(talking, 1, 7, 0))

    assert spoken_text(await twilio(f"/twilio/gather/{talking.call_id}/1/2")) == "¿Puede venir?"


async def test_twilio_speaks_a_failed_greeting_at_once_and_after_a_silence(
    twilio: "Twilio", talking: Call, calls: EventLog
) -> None:
    await calls.append(audio_failed(talking, 0, 0, 0))

    answer = await twilio(f"/twilio/voice/{talking.call_id}/1")

    assert spoken_text(answer) == "Hola Ana."
    assert "/1/1?said=true" in gather_of(answer).attrib["action"]
    assert spoken_text(await twilio(f"/twilio/gather/{talking.call_id}/1/1")) == "Hola Ana."


@pytest.mark.parametrize(("query", "rest"), [("", "Hola. ¿Puede venir?"), ("?from=1", "¿Puede venir?")])
async def test_twilio_speaks_a_redirected_turn_from_the_reported_sentence_on(
    twilio: "Twilio", talking: Call, calls: EventLog, store_reply: StoreReply, query: str, rest: str
) -> None:
    await twilio(f"/twilio/gather/{talking.call_id}/1/1", SpeechResult="hola")
    pending = asyncio.create_task(twilio(f"/twilio/say/{talking.call_id}/1/1{query}"))
    await asyncio.sleep(0.2)
    assert not pending.done(), "the answer waits for the rest of the reply"
    await store_reply(1, "Hola.", "¿Puede venir?")

    answer = await pending

    assert spoken_text(answer) == rest
    [heard] = await utterances(calls, talking)
    assert next_target(answer) == f"/twilio/gather/{talking.call_id}/1/2?said=true&after={heard.sequence}"


async def test_a_later_utterance_takes_precedence_over_a_redirected_turn(
    twilio: "Twilio", talking: Call, store_reply: StoreReply
) -> None:
    await twilio(f"/twilio/gather/{talking.call_id}/1/1", SpeechResult="hola")
    await store_reply(1, "Hola.", "¿Puede venir?", unplayed_from=1)
    await twilio(f"/twilio/gather/{talking.call_id}/1/2", SpeechResult="¿quién es?")

    answer = await twilio(f"/twilio/say/{talking.call_id}/1/1?from=1")

    assert played_path(answer) == f"/media/{talking.call_id}/1/2"


async def test_twilio_speaks_a_redirected_greeting(twilio: "Twilio", talking: Call) -> None:
    assert spoken_text(await twilio(f"/twilio/say/{talking.call_id}/1/0?from=0")) == "Hola Ana."


async def test_an_utterance_with_text_is_answered_even_if_the_audio_before_it_failed(
    twilio: "Twilio", talking: Call, calls: EventLog
) -> None:
    await calls.append(audio_failed(talking, 0, 0, 0))

    answer = await twilio(f"/twilio/gather/{talking.call_id}/1/1", SpeechResult="¿Diga?")

    assert played_path(answer) == f"/media/{talking.call_id}/1/1"


async def test_an_utterance_names_the_state_that_it_followed_as_its_cause(
    twilio: "Twilio", talking: Call, calls: EventLog
) -> None:
    await twilio(f"/twilio/gather/{talking.call_id}/1/1", SpeechResult="hola")

    state = await calls.last(call_state_filter(talking.call_id))
    [stored] = await utterances(calls, talking)
    assert state
    assert stored.envelope.causation_id == state.envelope.id


async def test_a_greeting_that_succeeded_when_repeated_is_not_spoken_by_twilio(
    twilio: "Twilio", talking: Call, calls: EventLog
) -> None:
    await calls.append(audio_failed(talking, 0, 0, 0))
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

    assert played_path(answer) == f"/media/{talking.call_id}/1/1"
