"""A live call whose process stops, or dies: what the callee says and waits for goes on with the next stream."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.fakes.live import SILENCE, VOICE, Answer, FollowedEventLog, LiveFixture
from tests.fakes.virtual_time import VirtualTimeLoop, run_in_virtual_time

from contracts import KeysPressed, MediaClosed, MediaClosedReason, SpeechHeard, SpeechInterrupted, SpeechPlayed
from voice.application.live.ending import MAX_FINISHING_SECONDS, TURN_SECONDS
from voice.domain.live.phrases import FILLERS, REPETITIONS

REPETITION, FILLER = REPETITIONS["en"], FILLERS["en"]
LONG = "This is a long answer that takes some seconds to say. "
Test = Callable[[LiveFixture], Awaitable[None]]


def conduct(
    test: Test,
    *answers: Answer,
    log: FollowedEventLog | None = None,
    generation: int = 1,
    frame: bytes = SILENCE,
) -> LiveFixture:
    """Runs a test on one stream of a call, and returns it after its end. `frame`: what the callee sends at first."""

    async def main() -> LiveFixture:
        live = LiveFixture(*answers, log=log, generation=generation)
        live.frame = frame
        async with live:
            await test(live)
        return live

    return run_in_virtual_time(main())


def drained(test: Test, *answers: Answer) -> LiveFixture:
    """Returns the first stream of a call, which is stopped at the end of `test`."""

    async def main(live: LiveFixture) -> None:
        await live.until(SpeechPlayed)
        await test(live)
        live.live.finish(MediaClosedReason.DRAINED)
        assert await live.end() is MediaClosedReason.DRAINED

    return conduct(main, *answers)


async def later(live: LiveFixture) -> None:
    await asyncio.sleep(5)


def heard(live: LiveFixture) -> list[tuple[int, str]]:
    return [(event.turn, event.text) for event in live.log.events(SpeechHeard) if isinstance(event, SpeechHeard)]


def unclaimed(live: LiveFixture) -> str | None:
    closed = live.log.events(MediaClosed)[-1]
    assert isinstance(closed, MediaClosed)
    return closed.unclaimed_text


def said(live: LiveFixture) -> list[str]:
    return [text for _, text in [*live.streams.texts, *live.http.spoken]]


@pytest.mark.parametrize("seconds_before", [0.4, 1.9, 2.1, 2.4])
def test_an_utterance_claims_its_turn_before_the_stream_ends(seconds_before: float) -> None:
    """The process stops while the callee speaks, in the silence behind it, or while the transcript is awaited."""

    async def test(live: LiveFixture) -> None:
        live.begin_to_talk("Who is this?", 1.8)
        await asyncio.sleep(seconds_before)

    first = drained(test)
    assert (heard(first), unclaimed(first)) == ([(1, "Who is this?")], "")
    second = conduct(later, log=first.log, generation=2)
    assert said(second) == [FILLER], "the callee is answered, and not asked to repeat"


def test_a_callee_who_says_nothing_is_not_asked_to_repeat_it() -> None:
    first = drained(later)
    assert (heard(first), unclaimed(first)) == ([], "")
    second = conduct(later, log=first.log, generation=2)
    assert said(second) == []


def test_a_silence_is_still_noticed_on_the_next_stream() -> None:
    async def test(live: LiveFixture) -> None:
        await live.until(SpeechHeard, seconds=7)

    second = conduct(test, log=drained(later).log, generation=2)
    assert heard(second) == [(1, "")]


def test_a_noise_delays_the_end_until_it_is_known_to_be_none() -> None:
    async def test(live: LiveFixture) -> None:
        await live.talk("", 0.3)

    first = drained(test)
    assert (heard(first), unclaimed(first)) == ([], "")


def test_a_callee_who_goes_on_for_long_is_continued_from_a_pause() -> None:
    async def first(live: LiveFixture) -> None:
        live.begin_to_talk("Well, on Tuesday I,", TURN_SECONDS + 1)  # a comma asks for a longer silence
        await asyncio.sleep(0.5)

    stream = drained(first)
    assert (heard(stream), unclaimed(stream)) == ([], "Well, on Tuesday I,")
    second = conduct(_continue_with("cannot come at all."), log=stream.log, generation=2, frame=VOICE)
    assert heard(second) == [(1, "Well, on Tuesday I, cannot come at all.")]
    assert REPETITION not in said(second)
    assert second.transcriber.opened == ["Well, on Tuesday I,"]


def _continue_with(text: str) -> Test:
    async def test(live: LiveFixture) -> None:
        await asyncio.sleep(0.5)
        await live.talk(text, 1.0)
        await live.until(SpeechHeard)

    return test


def test_a_callee_who_makes_no_pause_is_continued_after_some_seconds() -> None:
    async def first(live: LiveFixture) -> None:
        live.begin_to_talk("Well, on Tuesday", 30)
        await asyncio.sleep(0.5)

    stream = drained(first)
    assert unclaimed(stream) == "Well, on Tuesday", "as far as the partial transcript has it"


def test_a_process_that_stands_still_reads_first_what_was_said_meanwhile() -> None:
    async def first(live: LiveFixture) -> None:
        await live.until(SpeechPlayed)
        live.begin_to_talk("Who is this?", 1.0)
        await asyncio.sleep(0.5)
        live.live.finish(MediaClosedReason.DRAINED)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        loop.jump(MAX_FINISHING_SECONDS + 1)
        assert await live.end() is MediaClosedReason.DRAINED

    stream = conduct(first)
    assert (heard(stream), unclaimed(stream)) == ([(1, "Who is this?")], "")


def test_words_over_a_sentence_are_answered_before_the_stream_ends() -> None:
    async def test(live: LiveFixture) -> None:
        await live.talk("Who is this?")
        await live.until(SpeechHeard)
        await asyncio.sleep(1.5)
        live.begin_to_talk("Stop it please", 1.0)
        await asyncio.sleep(0.1)

    first = drained(test, Answer([LONG, LONG]))
    assert heard(first) == [(1, "Who is this?"), (2, "Stop it please")]
    assert len(first.log.events(SpeechInterrupted)) == 1


def test_keys_claim_their_turn_before_the_stream_ends() -> None:
    async def test(live: LiveFixture) -> None:
        live.live.receive_key("4")

    first = drained(test)
    assert len(first.log.events(KeysPressed)) == 1
    assert heard(first) == [(1, "[keys: 4]")]


def test_after_the_death_of_a_process_a_callee_who_speaks_is_not_talked_over() -> None:
    async def dies(live: LiveFixture) -> None:
        await live.until(SpeechPlayed)

    async def test(live: LiveFixture) -> None:
        await live.talk("me on Friday.", 1.5)
        assert said(live) == []
        await live.until(SpeechHeard)

    first = conduct(dies)
    second = conduct(test, log=first.log, generation=2, frame=VOICE)
    assert heard(second) == [(1, "me on Friday.")]
    assert REPETITION not in said(second)


def test_a_question_that_was_not_put_is_put_on_the_stream_after_it() -> None:
    async def dies(live: LiveFixture) -> None:
        await live.until(SpeechPlayed)

    async def stops(live: LiveFixture) -> None:
        live.live.finish(MediaClosedReason.DRAINED)
        assert await live.end() is MediaClosedReason.DRAINED

    second = conduct(stops, log=conduct(dies).log, generation=2)
    assert unclaimed(second) is None
    third = conduct(later, log=second.log, generation=3)
    assert said(third) == [REPETITION]


def test_words_that_were_handed_over_are_handed_over_again() -> None:
    async def first(live: LiveFixture) -> None:
        live.begin_to_talk("Well, on Tuesday", 30)
        await asyncio.sleep(0.5)

    async def stops(live: LiveFixture) -> None:
        live.live.finish(MediaClosedReason.DRAINED)
        await asyncio.sleep(MAX_FINISHING_SECONDS + 1)
        assert live.running.done()

    second = conduct(stops, log=drained(first).log, generation=2, frame=VOICE)
    assert unclaimed(second) == "Well, on Tuesday"


def test_who_waits_for_a_reply_on_the_next_stream_is_told_so() -> None:
    async def test(live: LiveFixture) -> None:
        await live.talk("Who is this?")
        await live.until(SpeechHeard)

    second = conduct(later, log=drained(test).log, generation=2)
    assert said(second) == [FILLER]
