"""One live call with fakes at all its ends, when something goes wrong: late ticks, noises, fillers, lost sessions."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from tests.builders.turns import a_reply, a_sentence, an_utterance
from tests.fakes.live import VOICE, Answer, LiveFixture
from tests.fakes.virtual_time import VirtualTimeLoop, run_in_virtual_time

from contracts import (
    InterruptionReason,
    KeysPressed,
    MediaClosedReason,
    SpeechHeard,
    SpeechInterrupted,
    SpeechPlayed,
)
from providers import Failure
from voice.application.live.pressed_keys import MAX_KEYS, PressedKeys

LONG = "This is a long answer that takes some seconds to say. "
COMPANY = {"company": "Clinic", "disclosure": "This is an automated call."}


def conduct(test: Callable[[LiveFixture], Awaitable[None]], live: LiveFixture | None = None) -> LiveFixture:
    """Runs a test on a live call, and returns the call after its end."""

    async def main() -> LiveFixture:
        async with live or LiveFixture() as running:
            await test(running)
        return running

    return run_in_virtual_time(main())


def heard(live: LiveFixture) -> list[tuple[int, str]]:
    return [(event.turn, event.text) for event in live.log.events(SpeechHeard) if isinstance(event, SpeechHeard)]


def reasons(live: LiveFixture) -> list[InterruptionReason]:
    found = live.log.events(SpeechInterrupted)
    return [event.reason for event in found if isinstance(event, SpeechInterrupted)]


async def greeting(live: LiveFixture) -> None:
    await live.until(SpeechPlayed)


async def replying(live: LiveFixture) -> None:
    """Returns in the middle of the reply to the first utterance."""
    await greeting(live)
    await live.talk("Who is this?")
    await live.until(SpeechHeard)
    await asyncio.sleep(1.5)


def test_a_failure_in_what_is_due_ends_the_stream_and_no_other() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)

        def fail(**_: object) -> None:
            raise RuntimeError("no decision")

        live.live._turns.check = fail  # type: ignore[method-assign]
        assert await live.end() is MediaClosedReason.DROPPED
        live.live.tick(0.0)  # the clock of the process goes on

    with structlog.testing.capture_logs() as logs:
        conduct(test)
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["live_call_failed"]


def test_a_process_that_stood_still_does_not_blame_the_line() -> None:
    async def test(live: LiveFixture) -> None:
        while not live.line.has_pending_marks:
            await asyncio.sleep(0.01)
        loop, receive = asyncio.get_running_loop(), live.live.receive_mark
        assert isinstance(loop, VirtualTimeLoop)
        live.live.receive_mark = lambda name: loop.call_later(0.05, receive, name)  # type: ignore[assignment,method-assign]
        loop.jump(6.0)
        await live.until(SpeechPlayed)

    assert conduct(test).reason is MediaClosedReason.HANG_UP


def test_a_stalled_line_is_reported_once() -> None:
    async def test(live: LiveFixture) -> None:
        assert await live.end() is MediaClosedReason.MALFORMED

    live = LiveFixture()
    live.line.is_playing = False
    live.transcriber.close_seconds = 1.0
    with structlog.testing.capture_logs() as logs:
        conduct(test, live)
    assert [log["event"] for log in logs].count("stream_stalled") == 1


def test_a_noise_that_interrupts_is_followed_by_a_silence() -> None:
    async def test(live: LiveFixture) -> None:
        await replying(live)
        await live.talk("", 1.0)
        await live.until(SpeechHeard, 2)

    live = conduct(test, LiveFixture(Answer([LONG])))
    assert reasons(live) == [InterruptionReason.WORDS]
    assert heard(live) == [(1, "Who is this?"), (2, "")]


def test_a_filler_that_cannot_be_synthesized_does_not_hold_up_the_reply() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        live.http.failures += [Failure.REFUSED]
        await live.talk("Who is this?")
        await live.until(SpeechPlayed, 2)

    live = conduct(test, LiveFixture(Answer(["This is Ana."], seconds=5)))
    assert "One moment, please." in [text for _, text in live.http.spoken]


def test_a_transcriber_that_is_lost_after_a_long_time_and_then_down_ends_the_stream() -> None:
    async def test(live: LiveFixture) -> None:
        await asyncio.sleep(40)
        live.transcriber.failures = 9
        live.transcriber.lose()
        assert await live.end() is MediaClosedReason.TRANSCRIPTION

    answers = [Answer(["Hello?"]) for _ in range(9)]
    assert len(conduct(test, LiveFixture(*answers)).transcriber.opened) == 2


def test_a_text_over_rest_during_a_pause_is_answered_to_its_end() -> None:
    async def test(live: LiveFixture) -> None:
        await replying(live)
        await live.talk("", 0.3)
        assert live.live._listening.barge_in.is_paused
        live.log.store(an_utterance(live.call.call_id, 2, "I typed this"))
        await live.until(SpeechPlayed, 3)

    live = conduct(test, LiveFixture(Answer([LONG]), Answer(["Thank you for the text."], seconds=0.1)))
    played = live.log.events(SpeechPlayed)[-1]
    assert isinstance(played, SpeechPlayed)
    assert (played.turn, played.is_complete, played.resumes) == (2, True, 0)


def test_a_key_during_a_pause_interrupts_the_reply_and_is_answered() -> None:
    async def test(live: LiveFixture) -> None:
        await replying(live)
        await live.talk("", 0.3)
        live.live.receive_key("1")
        await live.until(SpeechPlayed, 3)

    live = conduct(test, LiveFixture(Answer([LONG]), Answer(["You pressed one."])))
    assert reasons(live) == [InterruptionReason.KEYS]
    assert heard(live) == [(1, "Who is this?"), (2, "[keys: 1]")]
    played = live.log.events(SpeechPlayed)[-1]
    assert isinstance(played, SpeechPlayed)
    assert (played.turn, played.is_complete) == (2, True)


def test_keys_wait_for_the_end_of_a_disclosure() -> None:
    async def test(live: LiveFixture) -> None:
        await asyncio.sleep(0.3)
        live.live.receive_key("1")
        await live.until(SpeechHeard)

    live = conduct(test, LiveFixture(script_template=f"{LONG}{LONG}\n\nSell.", **COMPANY))  # type: ignore[arg-type]
    played = live.log.events(SpeechPlayed)[0]
    assert isinstance(played, SpeechPlayed)
    assert played.is_complete
    assert reasons(live) == []
    assert heard(live) == [(1, "[keys: 1]")]
    assert len(live.log.events(KeysPressed)) == 1


def test_words_before_a_late_disclosure_are_answered_after_it() -> None:
    async def test(live: LiveFixture) -> None:
        await live.talk("Hello, who is there?", 0.6, partial_after=0.3)
        await live.until(SpeechHeard)

    live = LiveFixture(**COMPANY)  # type: ignore[arg-type]
    live.http.delay_seconds = 3.0
    conduct(test, live)
    played = live.log.events(SpeechPlayed)[0]
    assert isinstance(played, SpeechPlayed)
    assert played.is_complete
    assert heard(live) == [(1, "Hello, who is there?")]


def test_an_opt_out_during_the_goodbye_is_stored_before_the_stream_ends() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        await live.talk("Bye")
        await live.until(SpeechHeard)
        await asyncio.sleep(3.0)
        await live.talk("Please take me off your list.", 1.0)
        assert await live.end() is MediaClosedReason.GOODBYE

    live = conduct(test, LiveFixture(Answer([LONG], ends=True)))
    assert heard(live) == [(1, "Bye"), (2, "Please take me off your list.")]


def test_a_voice_over_the_goodbye_keeps_the_stream_open_for_moments_only() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        await live.talk("Bye")
        await live.until(SpeechHeard)
        await asyncio.sleep(1.0)
        live.frame = VOICE
        assert await live.end() is MediaClosedReason.GOODBYE

    conduct(test, LiveFixture(Answer([LONG], ends=True)))


def test_keys_that_wait_are_bounded() -> None:
    keys = PressedKeys()
    for _ in range(1000):
        keys.add("1", 0.0)
    assert keys.take(0.0) == "1" * MAX_KEYS
    assert keys.take(9.0) == ""


def test_a_context_that_brings_nothing_is_closed_at_the_end_of_its_reply() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        await live.talk("Who is this?")
        await live.until(SpeechHeard)
        live.log.store(a_sentence(live.call.call_id, 1, 0, "This is Ana."))
        while len(live.http.spoken) < 2:  # the greeting, and the sentence that the socket did not bring
            await asyncio.sleep(0.1)
        assert live.streams.closed == []
        live.log.store(a_reply(live.call.call_id, 1, "This is Ana."))
        await live.until(SpeechPlayed, 2)

    live = LiveFixture()
    live.streams.is_mute = True
    conduct(test, live)
    assert live.streams.closed == live.streams.contexts == ["1"]
