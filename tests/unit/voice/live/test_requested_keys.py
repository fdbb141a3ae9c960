"""The agent presses keys in a live call: after its words, once, and as tones."""

import asyncio
import json

from tests.builders.key_tones import keys_in
from tests.builders.turns import an_utterance
from tests.fakes.live import Answer, FollowedEventLog, LiveFixture
from tests.fakes.relay import RelayFixture
from tests.unit.voice.live.test_live_call import LONG, conduct, greeting, names
from tests.unit.voice.live.test_relay_call import conduct as conduct_relay

from contracts import DigitsSent, MediaClosedReason, SpeechHeard, SpeechPlayed
from voice.domain.live import relay


def pressed(live: LiveFixture) -> list[tuple[int, str]]:
    return [(event.turn, event.digits) for event in live.log.events(DigitsSent) if isinstance(event, DigitsSent)]


async def ask(live: LiveFixture) -> None:
    await greeting(live)
    await live.talk("For sales press one")
    await live.until(SpeechHeard)


async def hear_all(live: LiveFixture) -> None:
    await ask(live)
    await live.until(SpeechPlayed, 2)
    await live.until(DigitsSent)
    await asyncio.sleep(2)


def test_keys_are_pressed_after_the_words_of_the_reply() -> None:
    live = conduct(hear_all, Answer(["One moment."], digits="1w2"))
    assert pressed(live) == [(1, "1w2")]
    order = names(live)
    assert order.index("telephony.digits_sent") > max(i for i, name in enumerate(order) if name == "speech.played")
    assert keys_in(live.played) == "12"


def test_a_reply_without_words_presses_its_keys_at_once() -> None:
    live = conduct(hear_all, Answer([], digits="#"))
    assert pressed(live) == [(1, "#")]
    assert keys_in(live.played) == "#"


def test_keys_of_an_interrupted_reply_are_not_pressed() -> None:
    async def test(live: LiveFixture) -> None:
        await ask(live)
        await asyncio.sleep(1.5)
        await live.talk("Please hold the line now")
        await live.until(SpeechHeard, 2)
        await asyncio.sleep(3)

    live = conduct(test, Answer([LONG], digits="1"), Answer(["All right."]))
    assert pressed(live) == []
    assert keys_in(live.played) == ""


def test_the_tones_are_not_stopped_by_the_menu_that_goes_on() -> None:
    async def test(live: LiveFixture) -> None:
        await ask(live)
        await live.until(DigitsSent)
        await live.talk("For service press two", 1.5)
        await live.until(SpeechHeard, 2)

    live = conduct(test, Answer([], digits="1234567890"), Answer(["All right."]))
    assert keys_in(live.played) == "1234567890"


def with_reply(log: FollowedEventLog, *, is_pressed: bool) -> FollowedEventLog:
    """Returns a log in which a stream has ended after it received a reply with keys."""
    first = LiveFixture(log=log)
    utterance = an_utterance(first.call.call_id, 1, "For sales press one", attempt=first.call.attempt)
    log.store(utterance)
    first.answer(1, Answer([], digits="1"))
    if is_pressed:
        log.store(DigitsSent(call_id=first.call.call_id, attempt=first.call.attempt, turn=1, digits="1"))
    return log


async def wait(live: LiveFixture) -> None:
    await live.until(SpeechPlayed)
    await asyncio.sleep(2)


def test_another_stream_presses_keys_that_were_not_pressed() -> None:
    live = conduct(wait, log=with_reply(FollowedEventLog(), is_pressed=False), generation=2)
    assert (pressed(live), keys_in(live.played)) == ([(1, "1")], "1")
    assert live.reason is MediaClosedReason.HANG_UP


def test_another_stream_does_not_press_keys_again() -> None:
    live = conduct(wait, log=with_reply(FollowedEventLog(), is_pressed=True), generation=2)
    assert (pressed(live), keys_in(live.played)) == ([(1, "1")], "")


def test_over_conversation_relay_the_provider_presses_them() -> None:
    async def test(call: RelayFixture) -> None:
        await call.until(SpeechPlayed)
        await call.say("For sales press one")
        await call.until(DigitsSent)
        await asyncio.sleep(1)

    call = conduct_relay(test, Answer(["One moment."], digits="1w2"))
    assert call.text.digits == "1w2"
    assert json.loads(relay.send_digits("1w2")) == {"type": "sendDigits", "digits": "1w2"}
