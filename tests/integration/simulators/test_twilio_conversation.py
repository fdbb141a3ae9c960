"""A conversation over TwiML: what is fetched, played and heard, what callees say, and how it ends."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import Response

if TYPE_CHECKING:
    from tests.integration.simulators.conftest import Telephone

pytestmark = pytest.mark.integration
LISTEN = '<Gather input="speech" action="/gather" language="en-US" timeout="3"{}>{}</Gather>'


def gather(nested: str = "", more: str = "") -> str:
    return LISTEN.format(more, nested)


def said_by(entry: Any, who: str) -> list[str]:
    return [one.text for one in entry.said if one.who == who]


async def test_a_play_is_really_downloaded_and_lasts_as_long_as_its_audio(telephone: "Telephone") -> None:
    telephone.ours.twiml("/voice", "<Play>clips/greeting</Play>")
    telephone.ours.audio("/clips/greeting", 20.0, pieces=4)
    entry = await telephone.ended((await telephone.call()).sid)
    (play,) = entry.plays
    assert (play.url, play.bytes, play.seconds) == (f"{telephone.ours.url}/clips/greeting", 160_000, 20.0)
    assert play.outcome == "played"
    assert play.first_byte_seconds is not None
    assert entry.duration is not None
    assert 20 <= entry.duration <= 24
    assert entry.ended_by == "twiml"


async def test_what_the_callee_says_is_posted_with_its_confidence(telephone: "Telephone") -> None:
    telephone.ours.twiml("/voice", gather("<Say>Good morning.</Say>"))
    telephone.ours.twiml("/gather", "<Hangup/>")
    entry = await telephone.ended((await telephone.call()).sid)
    (heard,) = telephone.ours.posts("/gather")
    assert heard["SpeechResult"] == said_by(entry, "callee")[0]
    assert 0 < float(heard["Confidence"]) <= 1
    assert (heard["CallStatus"], heard["CallSid"]) == ("in-progress", entry.sid)
    assert said_by(entry, "agent") == ["Good morning."]


async def test_callees_speak_the_language_of_the_gather(telephone: "Telephone") -> None:
    telephone.ours.twiml("/voice", gather().replace("en-US", "es-MX"))
    telephone.ours.twiml("/gather", "<Hangup/>")
    await telephone.ended((await telephone.call()).sid)
    heard = telephone.ours.posts("/gather")[0]["SpeechResult"]
    assert any(word in heard for word in ("Sí", "sí", "¿"))


async def test_silence_falls_through_to_the_next_verb(telephone: "Telephone") -> None:
    await telephone.meets("silent")
    telephone.ours.twiml("/voice", gather() + "<Say>Nobody there?</Say>")
    entry = await telephone.ended((await telephone.call()).sid)
    assert telephone.ours.posts("/gather") == []
    assert said_by(entry, "agent") == ["Nobody there?"]


async def test_silence_is_posted_when_empty_results_are_asked_for(telephone: "Telephone") -> None:
    await telephone.meets("silent")
    telephone.ours.twiml("/voice", gather(more=' actionOnEmptyResult="true"'))
    telephone.ours.twiml("/gather", "<Hangup/>")
    await telephone.ended((await telephone.call()).sid)
    (heard,) = telephone.ours.posts("/gather")
    assert "SpeechResult" not in heard


async def test_a_callee_who_says_nothing_hangs_up_in_the_end(telephone: "Telephone") -> None:
    await telephone.meets("silent")
    telephone.ours.twiml("/voice", gather() + "<Redirect/>")
    entry = await telephone.ended((await telephone.call()).sid)
    assert (entry.status, entry.ended_by) == ("completed", "callee")
    assert len(telephone.ours.posts("/voice")) == 4


async def test_a_human_says_goodbye_and_then_hangs_up(telephone: "Telephone") -> None:
    telephone.ours.twiml("/voice", gather())
    telephone.ours.twiml("/gather", gather())
    entry = await telephone.ended((await telephone.call()).sid)
    lines = said_by(entry, "callee")
    assert 2 <= len(lines) <= 4
    assert "bye" in lines[-1].lower()
    assert entry.ended_by == "callee"


async def test_a_long_talker_takes_many_turns(telephone: "Telephone") -> None:
    await telephone.meets("long_talker")
    telephone.ours.twiml("/voice", gather())
    telephone.ours.twiml("/gather", gather())
    entry = await telephone.ended((await telephone.call()).sid)
    assert 8 <= len(said_by(entry, "callee")) <= 12
    assert max(map(len, said_by(entry, "callee"))) > 120


async def test_a_machine_says_its_greeting_and_then_nothing(telephone: "Telephone") -> None:
    await telephone.meets("voicemail")
    telephone.ours.twiml("/voice", gather())
    telephone.ours.twiml("/gather", gather() + "<Hangup/>")
    entry = await telephone.ended((await telephone.call()).sid)
    assert "leave a message" in telephone.ours.posts("/gather")[0]["SpeechResult"]
    assert len(said_by(entry, "callee")) == 1


async def test_a_callee_hangs_up_in_the_middle_of_a_sentence(make_telephone: Callable[..., Any]) -> None:
    async with make_telephone(speed=20.0, behaviours={"hangs_up": 1.0}) as telephone:
        telephone.ours.twiml("/voice", "<Play>/endless</Play>")
        telephone.ours.audio("/endless", 600.0, pieces=600, every=0.05)
        entry = await telephone.ended((await telephone.call()).sid)
        assert (entry.status, entry.ended_by) == ("completed", "callee")
        assert entry.plays[0].outcome == "interrupted"
        assert 0 < entry.plays[0].bytes < 600 * 8000
        await telephone.until(lambda: telephone.ours.abandoned == ["/endless"])


@pytest.mark.usefixtures("speaks_over_the_prompt")
async def test_speaking_over_a_prompt_stops_it(telephone: "Telephone") -> None:
    telephone.ours.twiml("/voice", gather("<Play>/endless</Play>"))
    telephone.ours.audio("/endless", 600.0, pieces=600, every=0.02)
    telephone.ours.twiml("/gather", "<Hangup/>")
    entry = await telephone.ended((await telephone.call()).sid)
    assert telephone.ours.posts("/gather")[0]["SpeechResult"] == "Stop, please."
    assert entry.plays[0].outcome == "interrupted"
    await telephone.until(lambda: telephone.ours.abandoned == ["/endless"])


@pytest.mark.usefixtures("speaks_over_the_prompt")
async def test_a_prompt_that_takes_no_barge_in_is_heard_out(telephone: "Telephone") -> None:
    telephone.ours.twiml("/voice", gather("<Play>/clip</Play>", ' bargeIn="false"'))
    telephone.ours.audio("/clip", 10.0)
    telephone.ours.twiml("/gather", "<Hangup/>")
    entry = await telephone.ended((await telephone.call()).sid)
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
async def test_a_document_that_cannot_be_carried_out_ends_the_call(
    telephone: "Telephone", answer: Response, code: int
) -> None:
    telephone.ours.answers("/voice", answer)
    entry = await telephone.ended((await telephone.call()).sid)
    assert (entry.status, entry.ended_by) == ("completed", "application_error")
    assert [error.code for error in entry.errors] == [code]
    assert len(telephone.ours.posts("/voice")) == 1


async def test_the_fallback_is_told_the_error_and_carries_on(telephone: "Telephone") -> None:
    telephone.ours.answers("/voice", Response(status_code=500))
    telephone.ours.twiml("/fallback", "<Say>Please call later.</Say>")
    entry = await telephone.ended((await telephone.call(fallback_url=f"{telephone.ours.url}/fallback")).sid)
    (told,) = telephone.ours.posts("/fallback")
    assert (told["ErrorCode"], told["ErrorUrl"]) == ("11200", f"{telephone.ours.url}/voice")
    assert said_by(entry, "agent") == ["Please call later."]


@pytest.mark.parametrize("status", [404, 503])
async def test_audio_that_cannot_be_had_is_noted_and_passed_over(telephone: "Telephone", status: int) -> None:
    telephone.ours.twiml("/voice", "<Play>/missing</Play><Say>Still here.</Say>")
    telephone.ours.answers("/missing", Response(status_code=status))
    entry = await telephone.ended((await telephone.call()).sid)
    assert [error.code for error in entry.errors] == [11200]
    assert entry.plays[0].outcome == "failed"
    assert "Still here." in said_by(entry, "agent")


async def test_a_redirect_goes_to_another_document(telephone: "Telephone") -> None:
    telephone.ours.twiml("/voice", '<Redirect method="GET">next?turn=1</Redirect>')
    telephone.ours.twiml("/next", "<Hangup/>")
    await telephone.ended((await telephone.call()).sid)
    (redirected,) = [one for one in telephone.ours.received if one.path == "/next"]
    assert redirected.method == "GET"
    assert redirected.query.startswith("turn=1&CallSid=CA")
    assert redirected.signed


async def test_an_update_redirects_a_call_in_progress(telephone: "Telephone") -> None:
    telephone.ours.twiml("/voice", '<Pause length="200"/>')
    call = await telephone.call()
    await telephone.until(lambda: bool(telephone.ours.posts("/voice")))
    await telephone.api.calls(call.sid).update_async(twiml="<Response><Say>Goodbye.</Say></Response>")
    entry = await telephone.ended(call.sid)
    assert said_by(entry, "agent") == ["Goodbye."]


async def test_a_call_lasts_no_longer_than_its_limit(telephone: "Telephone") -> None:
    telephone.ours.twiml("/voice", '<Pause length="100"/>')
    entry = await telephone.ended((await telephone.call(time_limit=10)).sid)
    assert (entry.ended_by, entry.duration) == ("time_limit", 10)


async def test_an_endless_document_ends_with_the_callees_patience(telephone: "Telephone") -> None:
    telephone.ours.twiml("/voice", '<Pause length="20"/><Redirect/>')
    entry = await telephone.ended((await telephone.call()).sid)
    assert entry.ended_by == "callee"


async def test_the_same_seed_gives_the_same_calls_in_any_order(make_telephone: Callable[..., Any]) -> None:
    numbers = [f"+121255501{n:02}" for n in range(20, 32)]
    population = {"human": 1.0, "busy": 1.0, "voicemail": 1.0, "hangs_up": 1.0, "silent": 1.0}
    runs = []
    for order in (numbers, numbers[::-1]):
        async with make_telephone(seed=7, behaviours=population) as telephone:
            telephone.ours.twiml("/voice", gather("<Say>Good morning, how are you?</Say>"))
            telephone.ours.twiml("/gather", gather())
            entries = [await telephone.ended((await telephone.call(number)).sid) for number in order]
            runs.append({one.to: (one.sid, one.behaviour, one.status, said_by(one, "callee")) for one in entries})
    assert runs[0] == runs[1]
    assert len({behaviour for _, behaviour, _, _ in runs[0].values()}) > 2
