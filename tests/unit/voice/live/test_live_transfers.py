"""A stream ends for a transfer once the words that announce it were heard, and only then."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.fakes.live import Answer, FollowedEventLog, LiveFixture
from tests.fakes.virtual_time import run_in_virtual_time

from contracts import MediaClosed, MediaClosedReason, SpeechHeard, SpeechInterrupted, SpeechPlayed, TransferEnded
from contracts.transfers import TransferStatus, transfer_result

ANNOUNCED = Answer(["One moment.", "I am connecting you with a colleague of mine."], transfers=True)


def conduct(test: Callable[[LiveFixture], Awaitable[None]], *answers: Answer, **settings: object) -> LiveFixture:
    """Runs a test on a live call, and returns the call after its end."""

    async def main() -> LiveFixture:
        async with LiveFixture(*answers, **settings) as live:  # type: ignore[arg-type]
            await test(live)
        return live

    return run_in_virtual_time(main())


async def ask(live: LiveFixture) -> None:
    await live.until(SpeechPlayed)
    await live.talk("Can I talk to a person?")


def test_the_stream_ends_after_the_announcement() -> None:
    async def test(live: LiveFixture) -> None:
        await ask(live)
        assert await live.end() is MediaClosedReason.TRANSFERRED

    live = conduct(test, ANNOUNCED)
    played = live.log.events(SpeechPlayed)[-1]
    assert isinstance(played, SpeechPlayed)
    assert (played.turn, played.is_complete) == (1, True)
    names = [stored.event.event_name for stored in live.log.stored]
    assert names.index("speech.played", names.index("reply.generated")) < names.index("telephony.media_closed")


def test_an_announcement_that_is_requested_after_it_was_heard_ends_the_stream_at_once() -> None:
    async def test(live: LiveFixture) -> None:
        await ask(live)
        await live.until(SpeechPlayed, 2)
        live.request_transfer(1)
        assert await live.end() is MediaClosedReason.TRANSFERRED

    conduct(test, Answer(["One moment."]))


def test_a_callee_who_interrupts_the_announcement_is_answered_and_not_transferred() -> None:
    async def test(live: LiveFixture) -> None:
        await ask(live)
        await live.until(SpeechHeard)
        await asyncio.sleep(1.5)
        await live.talk("No, please do not")
        await live.until(SpeechPlayed, 3)
        live.request_transfer(1)
        await asyncio.sleep(1)

    live = conduct(test, ANNOUNCED, Answer(["All right."]))
    assert live.reason is MediaClosedReason.HANG_UP
    assert len(live.log.events(SpeechInterrupted)) == 1


def test_another_process_says_the_announcement_and_then_ends_its_stream() -> None:
    async def test(live: LiveFixture) -> None:
        await ask(live)
        await live.until(SpeechHeard)
        await asyncio.sleep(1)
        live.live.finish(MediaClosedReason.DRAINED)
        await live.end()

    first = conduct(test, ANNOUNCED)
    second = conduct(lambda live: _ended(live, MediaClosedReason.TRANSFERRED), log=first.log, generation=2)
    reasons = [event.reason for event in second.log.events(MediaClosed) if isinstance(event, MediaClosed)]
    assert reasons == [MediaClosedReason.DRAINED, MediaClosedReason.TRANSFERRED]


def test_after_a_transfer_that_connected_no_person_the_next_stream_speaks_of_it() -> None:
    async def first_stream(live: LiveFixture) -> None:
        await ask(live)
        await live.end()

    first = conduct(first_stream, ANNOUNCED)
    log: FollowedEventLog = first.log
    place = {"call_id": first.call.call_id, "attempt": first.call.attempt}
    log.store(TransferEnded(**place, turn=1, destination="sales", status=TransferStatus.BUSY))
    result = transfer_result("sales", TransferStatus.BUSY)
    log.store(SpeechHeard(**place, turn=2, text=result, language="en"))

    async def second_stream(live: LiveFixture) -> None:
        live.answer(2, Answer(["They do not answer."]))
        await live.until(SpeechPlayed, 3)
        await asyncio.sleep(1)

    second = conduct(second_stream, log=log, generation=2)
    assert second.reason is MediaClosedReason.HANG_UP, "the old transfer does not end it"
    assert [text for _, text in second.streams.texts or second.http.spoken] == ["They do not answer."]


async def _ended(live: LiveFixture, reason: MediaClosedReason) -> None:
    assert await live.end() is reason
