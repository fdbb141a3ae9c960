"""One call whose provider speaks and transcribes, in virtual time: turns, interruptions, silences and ends."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from tests.builders.turns import an_utterance
from tests.fakes.live import Answer, FollowedEventLog
from tests.fakes.relay import RelayFixture
from tests.fakes.virtual_time import run_in_virtual_time

from contracts import (
    AudioReady,
    InterruptionReason,
    KeysPressed,
    MediaClosed,
    MediaClosedReason,
    MediaKind,
    MediaOpened,
    SpeechHeard,
    SpeechInterrupted,
    SpeechPlayed,
)
from voice.domain.live.phrases import FILLERS, REPETITIONS, phrase

LONG = "This is a long answer that takes some seconds to say."


def conduct(test: Callable[[RelayFixture], Awaitable[None]], *answers: Answer, **settings: object) -> RelayFixture:
    """Runs a test on a relay call, and returns the call after its end."""

    async def main() -> RelayFixture:
        async with RelayFixture(*answers, **settings) as call:  # type: ignore[arg-type]
            await test(call)
        return call

    return run_in_virtual_time(main())


def heard(call: RelayFixture) -> list[tuple[int, str]]:
    return [(event.turn, event.text) for event in call.log.events(SpeechHeard) if isinstance(event, SpeechHeard)]


def interrupted(call: RelayFixture) -> SpeechInterrupted:
    (event,) = call.log.events(SpeechInterrupted)
    assert isinstance(event, SpeechInterrupted)
    return event


def played(call: RelayFixture) -> list[tuple[int, bool]]:
    found = call.log.events(SpeechPlayed)
    return [(event.turn, event.is_complete) for event in found if isinstance(event, SpeechPlayed)]


@pytest.mark.parametrize("has_reports", [True, False])
def test_a_conversation_is_spoken_and_ends_after_its_goodbye(has_reports: bool) -> None:
    async def talk(call: RelayFixture) -> None:
        call.text.has_reports = has_reports
        await call.until(SpeechPlayed)
        await call.say("Who is this?")
        await call.until(SpeechPlayed, 2)
        await call.say("Bye.")
        assert await call.end() is MediaClosedReason.GOODBYE

    call = conduct(talk, Answer(["It is Ana.", "How are you?"]), Answer(["Goodbye."], ends=True))
    assert " ".join(call.text.heard) == "Good morning. It is Ana. How are you? Goodbye."
    assert heard(call) == [(1, "Who is this?"), (2, "Bye.")]
    assert played(call) == [(0, True), (1, True), (2, True)]
    (opened,) = call.log.events(MediaOpened)
    assert isinstance(opened, MediaOpened)
    assert (opened.kind, opened.stream_id) == (MediaKind.RELAY, "VX1")
    ready = [event for event in call.log.events(AudioReady) if isinstance(event, AudioReady)]
    assert [(event.turn, event.sentence, event.provider) for event in ready] == [
        (turn, sentence, "conversation_relay") for turn, sentence in [(0, 0), (1, 0), (1, 1), (2, 0)]
    ]
    (closed,) = call.log.events(MediaClosed)
    assert isinstance(closed, MediaClosed)
    assert (closed.reason, closed.frames) == (MediaClosedReason.GOODBYE, 0)


def test_no_vendor_of_ours_speaks() -> None:
    async def talk(call: RelayFixture) -> None:
        await call.until(SpeechPlayed)
        await call.say("Who is this?")
        await call.until(SpeechPlayed, 2)

    call = conduct(talk, Answer(["It is Ana."]))
    assert call.http.spoken == []
    assert call.streams.opened == 0


def test_an_interruption_is_recorded_with_the_words_that_were_heard() -> None:
    said = ""

    async def talk(call: RelayFixture) -> None:
        nonlocal said
        await call.until(SpeechPlayed)
        await call.say("Who is this?")
        await call.until(AudioReady, 2)
        await asyncio.sleep(0.8)
        said = await call.say("Wait.", interrupts=True)
        await call.until(SpeechPlayed, 3)

    call = conduct(talk, Answer(["It is Ana.", LONG, "And more."]), Answer(["I wait."]))
    event = interrupted(call)
    assert (event.turn, event.sentence, event.reason) == (1, 1, InterruptionReason.WORDS)
    assert event.heard == said
    assert event.heard.startswith("It is Ana. This is")
    assert 0 < event.heard_seconds < len(event.heard) * 0.05 + 0.3
    names = [stored.event.event_name for stored in call.log.stored]
    assert names.index("speech.interrupted") < len(names) - names[::-1].index("speech.heard") - 1
    assert "more." not in call.text.heard
    assert heard(call)[-1] == (2, "Wait.")


@pytest.mark.parametrize("seed", range(30))
def test_the_log_ends_where_the_callee_interrupted(seed: int) -> None:
    generator, said = random.Random(seed), ""

    async def talk(call: RelayFixture) -> None:
        nonlocal said
        await call.until(SpeechPlayed)
        await call.say("Who is this?")
        await call.until(SpeechHeard)
        await asyncio.sleep(generator.uniform(1.0, 7.0))
        said = await call.say("Wait.", interrupts=True)
        await call.until(SpeechPlayed, 3)

    sentences = [generator.choice((LONG, "Yes.", "It is Ana, from the clinic.")) for _ in range(3)]
    call = conduct(talk, Answer([*sentences, LONG, LONG]), Answer(["I wait."]))
    event = interrupted(call)
    assert event.heard == said
    assert " ".join([*sentences, LONG, LONG]).startswith(event.heard)
    assert len(event.heard) <= len(" ".join([*sentences, LONG, LONG][: event.sentence + 1]))


def test_words_without_an_interruption_of_the_provider_end_the_reply_by_the_clock() -> None:
    async def talk(call: RelayFixture) -> None:
        await call.until(SpeechPlayed)
        await call.say("Who is this?")
        await call.until(SpeechHeard, 1)
        await asyncio.sleep(1.5)
        await call.say("Wait.")
        await call.until(SpeechPlayed, 3)

    call = conduct(talk, Answer([LONG]), Answer(["I wait."]))
    assert LONG.startswith(interrupted(call).heard)
    assert call.text.heard[-2:] == ["I", "wait."], "the newest reply replaces the rest of the one before"


def test_the_greeting_with_the_disclosure_is_not_interrupted_and_words_wait_for_its_end() -> None:
    async def talk(call: RelayFixture) -> None:
        await asyncio.sleep(0.4)
        await call.say("Hello?")
        assert heard(call) == []
        await call.until(SpeechPlayed)
        await call.until(SpeechHeard)
        await call.until(SpeechPlayed, 2)

    script = f"Good morning, this is Example Limited. {LONG}\n\nSell."
    call = conduct(talk, Answer(["Hi."]), company="Example Limited", script_template=script)
    first = call.text.sent[0]
    assert first is not None
    assert not first.is_interruptible
    assert not first.is_preemptible
    assert call.log.events(SpeechInterrupted) == []
    assert heard(call) == [(1, "Hello?")]


def test_an_opt_out_does_not_wait_for_the_end_of_the_greeting() -> None:
    async def talk(call: RelayFixture) -> None:
        await asyncio.sleep(0.4)
        await call.say("Please take me off your list.")
        await call.until(SpeechHeard)

    call = conduct(talk, company="Example Limited", script_template=f"{LONG} {LONG}\n\nSell.")
    assert heard(call) == [(1, "Please take me off your list.")]


def test_silence_claims_a_turn_and_a_speaking_callee_is_not_silent() -> None:
    async def talk(call: RelayFixture) -> None:
        await call.until(SpeechPlayed)
        await asyncio.sleep(4)
        call.relay.receive_speaking(is_agent=False, is_speaking=True)
        await asyncio.sleep(8)
        assert heard(call) == []
        call.relay.receive_speaking(is_agent=False, is_speaking=False)
        await call.until(SpeechHeard)

    assert heard(conduct(talk)) == [(1, "")]


def test_a_slow_reply_is_preceded_by_a_filler_that_is_in_no_history() -> None:
    async def talk(call: RelayFixture) -> None:
        await call.until(SpeechPlayed)
        await call.say("Who is this?")
        await call.until(SpeechPlayed, 2)

    call = conduct(talk, Answer(["It is Ana."], seconds=2.2))
    assert " ".join(call.text.heard) == f"Good morning. {phrase(FILLERS, 'en')} It is Ana."
    assert played(call)[-1] == (1, True)
    assert [event.turn for event in call.log.events(AudioReady) if isinstance(event, AudioReady)] == [0, 1]


def test_a_relayed_call_whose_replies_do_not_come_ends() -> None:
    async def talk(call: RelayFixture) -> None:
        await call.until(SpeechPlayed)
        await call.say("Who is this?")
        assert await call.end() is MediaClosedReason.UNANSWERED

    call = conduct(talk)
    assert " ".join(call.text.heard) == f"Good morning. {phrase(FILLERS, 'en')} {phrase(FILLERS, 'en')}"


def test_keys_claim_a_turn_and_the_opt_out_key_ends_the_stream() -> None:
    async def talk(call: RelayFixture) -> None:
        await call.until(SpeechPlayed)
        for key in "12":
            call.relay.receive_key(key)
        await call.until(SpeechHeard)
        call.relay.receive_key("9")
        assert await call.end() is MediaClosedReason.OPTED_OUT

    call = conduct(talk, opt_out_key="9")
    assert heard(call) == [(1, "[keys: 1 2]")]
    (pressed,) = call.log.events(KeysPressed)
    assert isinstance(pressed, KeysPressed)
    assert pressed.keys == "12"


def test_a_key_that_interrupts_is_the_reason_of_the_interruption() -> None:
    async def talk(call: RelayFixture) -> None:
        await call.until(SpeechPlayed)
        await call.say("Who is this?")
        await call.until(SpeechHeard)
        await asyncio.sleep(1.5)
        call.relay.receive_key("1")
        call.text.interrupt()
        await call.until(SpeechHeard, 2)

    call = conduct(talk, Answer([LONG]))
    assert interrupted(call).reason is InterruptionReason.KEYS
    assert heard(call)[-1] == (2, "[keys: 1]")


def test_a_goodbye_that_is_interrupted_ends_the_call() -> None:
    async def talk(call: RelayFixture) -> None:
        await call.until(SpeechPlayed)
        await call.say("Bye.")
        await call.until(SpeechHeard)
        await asyncio.sleep(1.2)
        await call.say("Bye, bye.", interrupts=True)
        assert await call.end() is MediaClosedReason.GOODBYE

    call = conduct(talk, Answer([LONG], ends=True))
    assert heard(call) == [(1, "Bye.")]


def test_a_drain_waits_for_the_sentence_and_the_next_stream_says_the_rest() -> None:
    log = FollowedEventLog()

    async def first(call: RelayFixture) -> None:
        await call.until(SpeechPlayed)
        await call.say("Who is this?")
        await call.until(AudioReady, 2)
        call.relay.finish(MediaClosedReason.DRAINED)
        assert await call.end() is MediaClosedReason.DRAINED

    async def second(call: RelayFixture) -> None:
        await call.until(SpeechPlayed, 3)

    conduct(first, Answer(["It is Ana.", LONG, "Yes."]), log=log)
    call = conduct(second, log=log, generation=2)
    assert " ".join(call.text.heard) == "Yes."
    assert played(call)[-1] == (1, True)


def test_words_that_the_provider_is_about_to_report_claim_their_turn_before_a_drained_stream_ends() -> None:
    log = FollowedEventLog()

    async def first(call: RelayFixture) -> None:
        await call.until(SpeechPlayed)
        call.relay.receive_speaking(is_agent=False, is_speaking=True)
        await asyncio.sleep(0.5)
        call.relay.receive_speaking(is_agent=False, is_speaking=False)
        call.relay.finish(MediaClosedReason.DRAINED)
        await asyncio.sleep(0.5)
        call.relay.receive_prompt("Who is this?", is_last=True)
        assert await call.end() is MediaClosedReason.DRAINED

    async def second(call: RelayFixture) -> None:
        await asyncio.sleep(1)

    assert heard(conduct(first, log=log)) == [(1, "Who is this?")]
    call = conduct(second, log=log, generation=2)
    assert call.text.heard == []


def test_a_second_stream_asks_a_callee_who_has_the_word_to_repeat() -> None:
    log = FollowedEventLog()

    async def first(call: RelayFixture) -> None:
        await call.until(SpeechPlayed)

    async def second(call: RelayFixture) -> None:
        await asyncio.sleep(5)

    conduct(first, log=log)
    call = conduct(second, log=log, generation=2)
    assert " ".join(call.text.heard) == phrase(REPETITIONS, "en")


def test_a_text_over_rest_claims_a_turn_and_replaces_the_reply() -> None:
    async def talk(call: RelayFixture) -> None:
        await call.until(SpeechPlayed)
        await call.say("Who is this?")
        await call.until(SpeechHeard)
        await asyncio.sleep(1.2)
        call.log.store(an_utterance(call.call.call_id, 2, "I am a supervisor."))
        await call.until(SpeechPlayed, 3)

    call = conduct(talk, Answer([LONG]), Answer(["Good."]))
    assert call.text.heard[-1] == "Good."
    assert interrupted(call).turn == 1
    assert played(call)[-1] == (2, True)
