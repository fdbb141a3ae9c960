"""Calls that execute TwiML: documents, audio, utterances of the callee, and the end of the call."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import Response
from tests.integration.simulators.conftest import CALLEE

if TYPE_CHECKING:
    from tests.integration.simulators.conftest import SimulatedTwilio

pytestmark = pytest.mark.integration
LISTEN = '<Gather input="speech" action="/gather" language="en-US" timeout="3"{}>{}</Gather>'


def gather(nested: str = "", more: str = "") -> str:
    return LISTEN.format(more, nested)


def texts_of(entry: Any, speaker: str) -> list[str]:
    return [utterance.text for utterance in entry.utterances if utterance.speaker == speaker]


async def test_a_play_downloads_the_audio_and_takes_as_long_as_it(simulator: "SimulatedTwilio") -> None:
    simulator.application.set_twiml("/voice", "<Play>clips/greeting</Play>")
    simulator.application.set_audio("/clips/greeting", 20.0, pieces=4)
    entry = await simulator.wait_for_end((await simulator.create_call()).sid)
    (play,) = entry.plays
    assert (play.url, play.bytes, play.seconds) == (f"{simulator.application.url}/clips/greeting", 160_000, 20.0)
    assert play.outcome == "played"
    assert play.first_byte_seconds is not None
    assert entry.duration is not None
    assert 20 <= entry.duration <= 24
    assert entry.ended_by == "twiml"


async def test_an_utterance_is_posted_with_its_confidence(simulator: "SimulatedTwilio") -> None:
    simulator.application.set_twiml("/voice", gather("<Say>Good morning.</Say>"))
    simulator.application.set_twiml("/gather", "<Hangup/>")
    entry = await simulator.wait_for_end((await simulator.create_call()).sid)
    (form,) = simulator.application.forms("/gather")
    assert form["SpeechResult"] == texts_of(entry, "callee")[0]
    assert 0 < float(form["Confidence"]) <= 1
    assert (form["CallStatus"], form["CallSid"]) == ("in-progress", entry.sid)
    assert texts_of(entry, "agent") == ["Good morning."]


async def test_callees_speak_the_language_of_the_gather(simulator: "SimulatedTwilio") -> None:
    simulator.application.set_twiml("/voice", gather().replace("en-US", "es-MX"))
    simulator.application.set_twiml("/gather", "<Hangup/>")
    await simulator.wait_for_end((await simulator.create_call()).sid)
    text = simulator.application.forms("/gather")[0]["SpeechResult"]
    assert any(word in text for word in ("Sí", "sí", "¿"))


async def test_after_silence_the_next_verb_is_executed(simulator: "SimulatedTwilio") -> None:
    await simulator.set_behaviours("silent")
    simulator.application.set_twiml("/voice", gather() + "<Say>Are you there?</Say>")
    entry = await simulator.wait_for_end((await simulator.create_call()).sid)
    assert simulator.application.forms("/gather") == []
    assert texts_of(entry, "agent") == ["Are you there?"]


async def test_silence_is_posted_with_action_on_empty_result(simulator: "SimulatedTwilio") -> None:
    await simulator.set_behaviours("silent")
    simulator.application.set_twiml("/voice", gather(more=' actionOnEmptyResult="true"'))
    simulator.application.set_twiml("/gather", "<Hangup/>")
    await simulator.wait_for_end((await simulator.create_call()).sid)
    (form,) = simulator.application.forms("/gather")
    assert "SpeechResult" not in form


async def test_a_silent_callee_hangs_up_after_four_silent_turns(simulator: "SimulatedTwilio") -> None:
    await simulator.set_behaviours("silent")
    simulator.application.set_twiml("/voice", gather() + "<Redirect/>")
    entry = await simulator.wait_for_end((await simulator.create_call()).sid)
    assert (entry.status, entry.ended_by) == ("completed", "callee")
    assert len(simulator.application.forms("/voice")) == 4


async def test_a_human_says_goodbye_and_then_hangs_up(simulator: "SimulatedTwilio") -> None:
    simulator.application.set_twiml("/voice", gather())
    simulator.application.set_twiml("/gather", gather())
    entry = await simulator.wait_for_end((await simulator.create_call()).sid)
    texts = texts_of(entry, "callee")
    assert 2 <= len(texts) <= 4
    assert "bye" in texts[-1].lower()
    assert entry.ended_by == "callee"


async def test_a_callee_who_wants_no_more_calls_says_so_once_and_hangs_up(simulator: "SimulatedTwilio") -> None:
    await simulator.set_behaviours("opts_out")
    for path in ("/voice", "/gather"):
        simulator.application.set_twiml(path, gather())
    entry = await simulator.wait_for_end((await simulator.create_call()).sid)
    assert texts_of(entry, "callee") == ["No, thank you. Please take me off your list."]
    assert entry.ended_by == "callee"


async def test_a_callee_presses_a_key_only_if_keys_are_collected(simulator: "SimulatedTwilio") -> None:
    await simulator.set_behaviours("presses_key")
    simulator.application.set_twiml("/voice", gather("<Say>Good morning.</Say>") + "<Redirect>/keys</Redirect>")
    simulator.application.set_twiml("/keys", gather().replace("speech", "dtmf speech"))
    simulator.application.set_twiml("/gather", "<Hangup/>")
    await simulator.wait_for_end((await simulator.create_call()).sid)
    (form,) = simulator.application.forms("/gather")
    assert form["Digits"] == "9"
    assert "SpeechResult" not in form


async def test_a_long_talker_speaks_in_many_turns(simulator: "SimulatedTwilio") -> None:
    await simulator.set_behaviours("long_talker")
    simulator.application.set_twiml("/voice", gather())
    simulator.application.set_twiml("/gather", gather())
    entry = await simulator.wait_for_end((await simulator.create_call()).sid)
    assert 8 <= len(texts_of(entry, "callee")) <= 12
    assert max(map(len, texts_of(entry, "callee"))) > 120


async def test_a_voicemail_speaks_its_greeting_and_is_silent_afterwards(simulator: "SimulatedTwilio") -> None:
    await simulator.set_behaviours("voicemail")
    simulator.application.set_twiml("/voice", gather())
    simulator.application.set_twiml("/gather", gather() + "<Hangup/>")
    entry = await simulator.wait_for_end((await simulator.create_call()).sid)
    assert "leave a message" in simulator.application.forms("/gather")[0]["SpeechResult"]
    assert len(texts_of(entry, "callee")) == 1


async def test_a_callee_hangs_up_in_the_middle_of_a_sentence(make_simulator: Callable[..., Any]) -> None:
    async with make_simulator(speed=20.0, behaviours={"hangs_up": 1.0}) as simulator:
        simulator.application.set_twiml("/voice", "<Play>/endless</Play>")
        simulator.application.set_audio("/endless", 600.0, pieces=600, interval=0.05)
        entry = await simulator.wait_for_end((await simulator.create_call()).sid)
        assert (entry.status, entry.ended_by) == ("completed", "callee")
        assert entry.plays[0].outcome == "interrupted"
        assert 0 < entry.plays[0].bytes < 600 * 8000
        await simulator.wait_until(lambda: simulator.application.abandoned == ["/endless"])


@pytest.mark.usefixtures("interrupting_callees")
async def test_barge_in_stops_the_prompt(simulator: "SimulatedTwilio") -> None:
    simulator.application.set_twiml("/voice", gather("<Play>/endless</Play>"))
    simulator.application.set_audio("/endless", 600.0, pieces=600, interval=0.02)
    simulator.application.set_twiml("/gather", "<Hangup/>")
    entry = await simulator.wait_for_end((await simulator.create_call()).sid)
    assert simulator.application.forms("/gather")[0]["SpeechResult"] == "Stop, please."
    assert entry.plays[0].outcome == "interrupted"
    await simulator.wait_until(lambda: simulator.application.abandoned == ["/endless"])


@pytest.mark.usefixtures("interrupting_callees")
async def test_a_prompt_without_barge_in_is_played_to_its_end(simulator: "SimulatedTwilio") -> None:
    simulator.application.set_twiml("/voice", gather("<Play>/clip</Play>", ' bargeIn="false"'))
    simulator.application.set_audio("/clip", 10.0)
    simulator.application.set_twiml("/gather", "<Hangup/>")
    entry = await simulator.wait_for_end((await simulator.create_call()).sid)
    assert (entry.plays[0].outcome, entry.plays[0].seconds) == ("played", 10.0)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Response(status_code=500), 11200),
        (Response("<Response><Say>", media_type="text/xml"), 12100),
        (Response("<Answer/>", media_type="text/xml"), 12100),
        (Response("{}", media_type="application/json"), 12300),
        (Response(f"<Response>{' ' * 65536}</Response>", media_type="text/xml"), 11750),
    ],
)
async def test_an_invalid_document_ends_the_call(simulator: "SimulatedTwilio", answer: Response, code: int) -> None:
    simulator.application.set_answers("/voice", answer)
    entry = await simulator.wait_for_end((await simulator.create_call()).sid)
    assert (entry.status, entry.ended_by) == ("completed", "application_error")
    assert [error.code for error in entry.errors] == [code]
    assert len(simulator.application.forms("/voice")) == 1


async def test_the_fallback_url_receives_the_error_and_continues_the_call(simulator: "SimulatedTwilio") -> None:
    simulator.application.set_answers("/voice", Response(status_code=500))
    simulator.application.set_twiml("/fallback", "<Say>Please call later.</Say>")
    entry = await simulator.wait_for_end(
        (await simulator.create_call(fallback_url=f"{simulator.application.url}/fallback")).sid
    )
    (form,) = simulator.application.forms("/fallback")
    assert (form["ErrorCode"], form["ErrorUrl"]) == ("11200", f"{simulator.application.url}/voice")
    assert texts_of(entry, "agent") == ["Please call later."]


@pytest.mark.parametrize("status", [404, 503])
async def test_audio_that_cannot_be_downloaded_is_recorded_and_skipped(
    simulator: "SimulatedTwilio", status: int
) -> None:
    simulator.application.set_twiml("/voice", "<Play>/missing</Play><Say>Still here.</Say>")
    simulator.application.set_answers("/missing", Response(status_code=status))
    entry = await simulator.wait_for_end((await simulator.create_call()).sid)
    assert [error.code for error in entry.errors] == [11200]
    assert entry.plays[0].outcome == "failed"
    assert "Still here." in texts_of(entry, "agent")


async def test_a_redirect_fetches_another_document(simulator: "SimulatedTwilio") -> None:
    simulator.application.set_twiml("/voice", '<Redirect method="GET">next?turn=1</Redirect>')
    simulator.application.set_twiml("/next", "<Hangup/>")
    await simulator.wait_for_end((await simulator.create_call()).sid)
    (redirected,) = [request for request in simulator.application.received if request.path == "/next"]
    assert redirected.method == "GET"
    assert redirected.query.startswith("turn=1&CallSid=CA")
    assert redirected.has_valid_signature


async def test_an_update_redirects_a_call_in_progress(simulator: "SimulatedTwilio") -> None:
    simulator.application.set_twiml("/voice", '<Pause length="200"/>')
    call = await simulator.create_call()
    await simulator.wait_until(lambda: bool(simulator.application.forms("/voice")))
    await simulator.api.calls(call.sid).update_async(twiml="<Response><Say>Goodbye.</Say></Response>")
    entry = await simulator.wait_for_end(call.sid)
    assert texts_of(entry, "agent") == ["Goodbye."]


def _is_answered(simulator: "SimulatedTwilio", sid: str) -> bool:
    calls = [call for call in simulator.ledger.calls if call.sid == sid]
    return any(hook.kind == "voice" and hook.status for call in calls for hook in call.webhooks)


async def test_an_update_during_a_prompt_does_not_lose_what_the_callee_is_about_to_say(
    simulator: "SimulatedTwilio",
) -> None:
    callee = {"behaviours": ["human"], "settings": {"phrases": ["Yes, speaking."], "delay_seconds": 1.0}}
    await simulator.put_control(f"callees/{CALLEE}", callee)
    simulator.application.set_twiml("/voice", gather('<Pause length="200"/>'))
    simulator.application.set_twiml("/gather", "<Hangup/>")
    call = await simulator.create_call()
    await simulator.wait_until(lambda: _is_answered(simulator, call.sid))
    document = f"<Response>{gather('<Say>Are you there?</Say>')}</Response>"
    document = document.replace("/gather", f"{simulator.application.url}/gather")
    await simulator.api.calls(call.sid).update_async(twiml=document)
    entry = await simulator.wait_for_end(call.sid)
    assert texts_of(entry, "callee") == ["Yes, speaking."]


async def test_a_call_ends_at_its_time_limit(simulator: "SimulatedTwilio") -> None:
    simulator.application.set_twiml("/voice", '<Pause length="100"/>')
    entry = await simulator.wait_for_end((await simulator.create_call(time_limit=10)).sid)
    assert (entry.ended_by, entry.duration) == ("time_limit", 10)


async def test_in_an_endless_document_the_callee_hangs_up(simulator: "SimulatedTwilio") -> None:
    simulator.application.set_twiml("/voice", '<Pause length="20"/><Redirect/>')
    entry = await simulator.wait_for_end((await simulator.create_call()).sid)
    assert entry.ended_by == "callee"


async def test_the_same_seed_gives_the_same_calls_in_any_order(make_simulator: Callable[..., Any]) -> None:
    numbers = [f"+121255501{n:02}" for n in range(20, 32)]
    population = {"human": 1.0, "busy": 1.0, "voicemail": 1.0, "hangs_up": 1.0, "silent": 1.0}
    runs = []
    for order in (numbers, numbers[::-1]):
        async with make_simulator(seed=7, behaviours=population) as simulator:
            simulator.application.set_twiml("/voice", gather("<Say>Good morning, how are you?</Say>"))
            simulator.application.set_twiml("/gather", gather())
            entries = [await simulator.wait_for_end((await simulator.create_call(number)).sid) for number in order]
            runs.append(
                {entry.to: (entry.sid, entry.behaviour, entry.status, texts_of(entry, "callee")) for entry in entries}
            )
    assert runs[0] == runs[1]
    assert len({behaviour for _, behaviour, _, _ in runs[0].values()}) > 2
