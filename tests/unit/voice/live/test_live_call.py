"""One live call with fakes at all its ends, in virtual time: turns, interruptions, silences and ends."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.builders.turns import an_utterance
from tests.fakes.live import SILENCE, VOICE, Answer, FollowedEventLog, LiveFixture, speech_of
from tests.fakes.virtual_time import VirtualTimeLoop, run_in_virtual_time

from contracts import (
    AudioFailed,
    AudioReady,
    InterruptionReason,
    KeysPressed,
    MediaClosed,
    MediaClosedReason,
    MediaOpened,
    SpeechHeard,
    SpeechInterrupted,
    SpeechPlayed,
)
from contracts.turn_taking import TurnTakingTerms
from providers import Failure
from voice.application.live.listening import MESSAGE_BYTES, SILENT_MESSAGE_BYTES

LONG = "This is a long answer that takes some seconds to say. "


def conduct(test: Callable[[LiveFixture], Awaitable[None]], *answers: Answer, **settings: object) -> LiveFixture:
    """Runs a test on a live call, and returns the call after its end."""

    async def main() -> LiveFixture:
        async with LiveFixture(*answers, **settings) as live:  # type: ignore[arg-type]
            await test(live)
        return live

    return run_in_virtual_time(main())


def names(live: LiveFixture) -> list[str]:
    return [stored.event.event_name for stored in live.log.stored[1:]]


def heard(live: LiveFixture) -> list[tuple[int, str]]:
    return [(event.turn, event.text) for event in live.log.events(SpeechHeard) if isinstance(event, SpeechHeard)]


def interrupted(live: LiveFixture) -> SpeechInterrupted:
    (event,) = live.log.events(SpeechInterrupted)
    assert isinstance(event, SpeechInterrupted)
    return event


async def greeting(live: LiveFixture) -> None:
    await live.until(SpeechPlayed)


def test_the_greeting_is_played_and_recorded() -> None:
    live = conduct(greeting)
    assert names(live) == [
        "telephony.media_opened",
        "audio.ready",
        "speech.played",
        "telephony.media_closed",
    ]
    assert live.played.replace(SILENCE, b"").rstrip(b"\xff") == speech_of("Good morning.")
    opened, played, closed = (live.log.events(kind)[0] for kind in (MediaOpened, SpeechPlayed, MediaClosed))
    assert isinstance(opened, MediaOpened)
    assert (opened.generation, opened.previous_turn) == (1, 0)
    assert isinstance(played, SpeechPlayed)
    assert (played.turn, played.is_complete) == (0, True)
    assert played.seconds == pytest.approx(0.65, abs=0.03)
    assert isinstance(closed, MediaClosed)
    assert closed.reason is MediaClosedReason.HANG_UP


def test_a_turn_is_heard_answered_and_played_sentence_by_sentence() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        await live.talk("Who is this?")
        await live.until(SpeechPlayed, 2)

    live = conduct(test, Answer(["This is Ana.", "How are you?"]), granted_sequence=7)
    assert heard(live) == [(1, "Who is this?")]
    assert [event.granted_sequence for event in live.log.events(SpeechHeard) if isinstance(event, SpeechHeard)] == [7]
    ready = [(event.turn, event.sentence) for event in live.log.events(AudioReady) if isinstance(event, AudioReady)]
    assert ready == [(0, 0), (1, 0), (1, 1)]
    assert [text for _, text in live.streams.texts] == ["This is Ana.", "How are you?"]
    assert len(live.streams.contexts) == 1
    played = live.log.events(SpeechPlayed)[1]
    assert isinstance(played, SpeechPlayed)
    assert (played.turn, played.is_complete) == (1, True)
    latencies = played.latencies
    assert latencies.first_sentence_seconds == pytest.approx(0.3, abs=0.02)
    assert latencies.synthesis_seconds == pytest.approx(0.15, abs=0.02)
    assert None not in (latencies.endpoint_seconds, latencies.log_seconds, latencies.playout_seconds)


def test_an_utterance_names_the_newest_event_that_its_writer_knew() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        await live.talk("Who is this?")
        await live.until(SpeechPlayed, 2)
        await live.talk("What do you want?")
        await live.until(SpeechHeard, 2)

    live = conduct(test, Answer(["This is Ana."]), granted_sequence=7)
    played = [stored.sequence for stored in live.log.stored if isinstance(stored.event, SpeechPlayed)]
    utterances = [event for event in live.log.events(SpeechHeard) if isinstance(event, SpeechHeard)]
    assert [event.previous_sequence for event in utterances] == played


@pytest.mark.parametrize(
    ("commit_seconds", "turn_over_seconds", "expected"), [(0.2, 0.51, 0.51), (0.2, 0.509, 0.509), (0.307, 0.5, 0.527)]
)
def test_a_turn_ends_between_two_frames_when_its_silence_is_long_enough_or_its_transcript_arrives(
    commit_seconds: float, turn_over_seconds: float, expected: float
) -> None:
    async def test(live: LiveFixture) -> None:
        live.transcriber.commit_seconds = commit_seconds
        await greeting(live)
        await live.talk("I am fine today.")
        await live.until(SpeechHeard)

    live = conduct(test, turn_taking=TurnTakingTerms(turn_over_after_seconds=turn_over_seconds))
    (event,) = live.log.events(SpeechHeard)
    assert isinstance(event, SpeechHeard)
    assert event.endpoint_seconds == pytest.approx(expected, abs=0.0015)


def test_the_socket_of_the_speech_vendor_is_opened_while_the_greeting_plays() -> None:
    live = conduct(greeting)
    assert (live.streams.opened, live.transcriber.opened) == (1, [None])


def test_the_transcriber_gets_long_messages_while_the_callee_is_silent_and_short_ones_of_its_voice() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        live.transcriber.sizes.clear()
        await asyncio.sleep(1)
        silent, live.transcriber.sizes = live.transcriber.sizes, []
        assert set(silent) == {SILENT_MESSAGE_BYTES}
        await live.talk("Who is this?", 1.1)
        *_, first, second, third = live.transcriber.sizes
        assert (first, second, third) == (MESSAGE_BYTES,) * 3
        await live.until(SpeechHeard)

    live = conduct(test)
    assert bytes(live.transcriber.audio).count(VOICE) == 55


def test_words_interrupt_a_reply_and_precede_the_turn_that_they_begin() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        await live.talk("Who is this?")
        await live.until(SpeechHeard)
        await asyncio.sleep(1.5)
        await live.talk("Stop it please")
        await live.until(SpeechPlayed, 3)

    live = conduct(test, Answer([LONG, LONG]), Answer(["All right."]))
    assert heard(live) == [(1, "Who is this?"), (2, "Stop it please")]
    order = [name for name in names(live) if name in ("speech.heard", "speech.interrupted", "speech.played")]
    assert order == [
        "speech.played",
        "speech.heard",
        "speech.interrupted",
        "speech.played",
        "speech.heard",
        "speech.played",
    ]
    event = interrupted(live)
    assert (event.turn, event.sentence, event.reason) == (1, 0, InterruptionReason.WORDS)
    assert LONG.startswith(event.heard)
    assert event.heard
    assert live.line.cleared_at


def test_a_cough_pauses_the_reply_and_nothing_of_it_is_lost() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        await live.talk("Who is this?")
        await live.until(SpeechHeard)
        await asyncio.sleep(1.5)
        await live.talk("", 0.3)
        await live.until(SpeechPlayed, 2)

    live = conduct(test, Answer([LONG]))
    played = live.log.events(SpeechPlayed)[1]
    assert isinstance(played, SpeechPlayed)
    assert (played.is_complete, played.pauses, played.resumes, played.backchannels) == (True, 1, 1, 0)
    assert live.log.events(SpeechInterrupted) == []
    assert heard(live) == [(1, "Who is this?")]
    spoken = live.played.count(b"\x20")
    whole = len(speech_of("Good morning.") + speech_of(LONG.strip() + " "))
    assert whole <= spoken <= whole + 2000  # at most 200 ms again, and a rounded frame


def test_a_signal_of_attention_is_no_turn() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        await live.talk("Who is this?")
        await live.until(SpeechHeard)
        await asyncio.sleep(1.5)
        await live.talk("Mm-hm", 0.4, partial_after=0.2)
        await live.until(SpeechPlayed, 2)

    live = conduct(test, Answer([LONG]))
    assert heard(live) == [(1, "Who is this?")]
    assert live.log.events(SpeechInterrupted) == []


def test_a_pause_in_a_number_ends_no_turn() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        await live.talk("six one two", 1.2)
        await asyncio.sleep(0.9)
        await live.talk("three four", 0.8)
        await live.until(SpeechHeard)

    live = conduct(test)
    assert heard(live) == [(1, "six one two three four")]


def test_a_silence_claims_a_turn_without_words() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        played_at = asyncio.get_running_loop().time()
        await live.until(SpeechHeard)
        assert asyncio.get_running_loop().time() - played_at == pytest.approx(6, abs=0.3)
        await live.until(SpeechHeard, 2)

    live = conduct(test, Answer(["Hello?"]))
    assert heard(live) == [(1, ""), (2, "")]


def test_a_filler_is_played_once_while_a_reply_takes_long() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        await live.talk("Who is this?")
        await live.until(SpeechPlayed, 2)

    live = conduct(test, Answer(["This is Ana."], seconds=5))
    assert [text for _, text in live.http.spoken] == ["Good morning.", "One moment, please."]
    assert [(event.turn, event.sentence) for event in live.log.events(AudioReady)] == [(0, 0), (1, 0)]  # type: ignore[attr-defined]


def test_a_call_whose_replies_do_not_come_plays_two_fillers_and_then_ends() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        await live.talk("Who is this?")
        await live.until(SpeechHeard)
        asked_at = asyncio.get_running_loop().time()
        assert await live.end() is MediaClosedReason.UNANSWERED
        assert asyncio.get_running_loop().time() - asked_at == pytest.approx(12, abs=0.3)

    live = conduct(test)
    assert live.played.count(speech_of("One moment, please.")) == 2
    assert names(live)[-1] == "telephony.media_closed"


def test_a_process_that_stood_still_awaits_a_reply_for_as_long_as_before() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        await live.talk("Who is this?")
        await live.until(SpeechHeard)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        loop.jump(20)
        await live.until(SpeechPlayed, 2)

    live = conduct(test, Answer(["This is Ana."], seconds=25))
    assert live.reason is MediaClosedReason.HANG_UP


def test_a_callee_who_speaks_again_does_not_renew_the_wait_for_a_reply_and_a_reply_does() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        await live.talk("Who is this?")
        await live.until(SpeechPlayed, 2)
        await live.talk("What do you want?")
        await live.until(SpeechHeard, 2)
        asked_at = asyncio.get_running_loop().time()
        await asyncio.sleep(6)
        await live.talk("Are you still there?")
        await live.until(SpeechHeard, 3)
        assert await live.end() is MediaClosedReason.UNANSWERED
        assert asyncio.get_running_loop().time() - asked_at == pytest.approx(12, abs=0.3)

    conduct(test, Answer(["This is Ana."], seconds=9))


def test_a_campaign_sets_how_turns_are_taken() -> None:
    async def test(live: LiveFixture) -> None:
        await live.talk("Wait, wait.")  # during the greeting
        await greeting(live)
        await live.until(SpeechHeard)
        await live.until(SpeechPlayed, 2)
        await live.until(SpeechHeard, 2, seconds=2.5)

    terms = TurnTakingTerms(silence_seconds=2, is_greeting_interruptible=False)
    live = conduct(test, Answer(["Yes."]), Answer(["Hello?"]), script_template=f"{LONG}\n\nSell.", turn_taking=terms)
    assert heard(live)[:2] == [(1, "Wait, wait."), (2, "")]
    assert live.log.events(SpeechInterrupted) == []


@pytest.mark.parametrize("words", ["Right on.", "right on"])
def test_a_campaign_adds_words_that_interrupt_nothing(words: str) -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        await live.talk("Who is this?")
        await live.until(SpeechHeard)
        await asyncio.sleep(1.5)
        await live.talk(words, 0.5)
        await live.until(SpeechPlayed, 2)

    terms = TurnTakingTerms(backchannels=("RIGHT ON!",))
    live = conduct(test, Answer([LONG, LONG]), turn_taking=terms)
    assert live.log.events(SpeechInterrupted) == []
    assert len(conduct(test, Answer([LONG, LONG])).log.events(SpeechInterrupted)) == 1


def test_the_stream_ends_after_the_goodbye_which_cannot_be_interrupted() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        await live.talk("Bye")
        await live.until(SpeechHeard)
        await asyncio.sleep(1.2)
        await live.talk("Wait, one more thing", 1.0)
        assert await live.end() is MediaClosedReason.GOODBYE

    live = conduct(test, Answer([LONG], ends=True))
    assert heard(live) == [(1, "Bye")]
    assert live.log.events(SpeechInterrupted) == []
    played = live.log.events(SpeechPlayed)[-1]
    assert isinstance(played, SpeechPlayed)
    assert played.is_complete


def test_keys_are_gathered_and_reported() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        for key in "102":
            live.live.receive_key(key)
            await asyncio.sleep(0.5)
        await live.until(KeysPressed)
        for key in "7#":
            live.live.receive_key(key)
        await live.until(KeysPressed, 2)

    live = conduct(test)
    assert [(event.turn, event.keys) for event in live.log.events(KeysPressed)] == [(0, "102"), (1, "7")]  # type: ignore[attr-defined]
    assert heard(live) == [(1, "[keys: 1 0 2]"), (2, "[keys: 7]")]


def test_the_opt_out_key_ends_the_stream_at_once() -> None:
    async def test(live: LiveFixture) -> None:
        await asyncio.sleep(0.3)
        live.live.receive_key("9")
        assert await live.end() is MediaClosedReason.OPTED_OUT

    live = conduct(test)
    assert live.log.events(KeysPressed) == []
    assert names(live)[-1] == "telephony.media_closed"


def test_a_text_over_rest_may_claim_the_turn_first() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        await live.talk("Who is this?")
        live.log.store(an_utterance(live.call.call_id, 1, "I typed this"))
        await live.until(SpeechHeard, 2)

    live = conduct(test)
    assert heard(live) == [(1, "I typed this"), (2, "Who is this?")]


def test_without_a_transcriber_the_stream_ends_and_the_greeting_is_still_owed() -> None:
    async def main() -> LiveFixture:
        live = LiveFixture()
        live.transcriber.failures = 9
        async with live:
            assert await live.end() is MediaClosedReason.TRANSCRIPTION
        return live

    live = run_in_virtual_time(main())
    assert len(live.transcriber.opened) == 2
    assert names(live) == ["telephony.media_opened", "telephony.media_closed"]


def test_a_lost_transcriber_is_opened_again_and_hears_the_rest() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        live.transcriber.lose()
        await asyncio.sleep(0.2)
        await live.talk("Who is this?")
        await live.until(SpeechHeard)

    live = conduct(test)
    assert len(live.transcriber.opened) == 2
    assert heard(live) == [(1, "Who is this?")]


def test_a_speech_vendor_without_sockets_speaks_over_http() -> None:
    async def main() -> LiveFixture:
        live = LiveFixture(Answer(["This is Ana."]))
        live.streams.failures = 9
        async with live:
            await greeting(live)
            await live.talk("Who is this?")
            await live.until(SpeechPlayed, 2)
        return live

    live = run_in_virtual_time(main())
    assert [text for _, text in live.http.spoken] == ["Good morning.", "This is Ana."]
    assert live.streams.opened == 2


def test_a_socket_that_brings_nothing_is_replaced_by_http() -> None:
    async def main() -> LiveFixture:
        live = LiveFixture(Answer(["This is Ana."]))
        live.streams.is_mute = True
        async with live:
            await greeting(live)
            await live.talk("Who is this?")
            await live.until(SpeechPlayed, 2)
        return live

    live = run_in_virtual_time(main())
    assert [text for _, text in live.http.spoken] == ["Good morning.", "This is Ana."]


def test_without_any_speech_the_stream_ends_and_the_failed_sentence_is_recorded() -> None:
    async def main() -> LiveFixture:
        live = LiveFixture(Answer(["This is Ana."]))
        live.streams.failures = 9
        async with live:
            await greeting(live)
            live.http.failures += [Failure.REFUSED]
            await live.talk("Who is this?")
            assert await live.end() is MediaClosedReason.SYNTHESIS
        return live

    live = run_in_virtual_time(main())
    (failed,) = live.log.events(AudioFailed)
    assert isinstance(failed, AudioFailed)
    assert (failed.turn, failed.sentence, failed.fallback) == (1, 0, "say")
    assert live.log.events(SpeechInterrupted) == []


def test_a_drained_call_finishes_its_sentence() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        await live.talk("Who is this?")
        await live.until(SpeechHeard)
        await asyncio.sleep(1)
        live.live.finish(MediaClosedReason.DRAINED)
        assert await live.end() is MediaClosedReason.DRAINED

    live = conduct(test, Answer(["This is Ana from the clinic.", LONG]))
    assert live.log.events(SpeechInterrupted) == []
    ready, played = live.log.events(AudioReady)[-1], live.log.events(SpeechPlayed)[-1]
    assert isinstance(ready, AudioReady)
    assert (ready.turn, ready.sentence) == (1, 0)
    assert isinstance(played, SpeechPlayed)
    assert (played.turn, played.is_complete) == (1, False)
    assert names(live)[-1] == "telephony.media_closed"


def test_a_newer_stream_ends_this_one() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        call = live.call
        live.log.store(MediaOpened(call_id=call.call_id, attempt=1, generation=2, stream_id="MZ2", previous_turn=0))
        assert await live.end() is MediaClosedReason.SUPERSEDED

    conduct(test)


def test_a_line_that_returns_no_marks_ends_the_stream() -> None:
    async def main() -> LiveFixture:
        live = LiveFixture()
        live.line.is_playing = False
        async with live:
            assert await live.end() is MediaClosedReason.MALFORMED
        return live

    run_in_virtual_time(main())


def continued(log: FollowedEventLog) -> LiveFixture:
    """Returns the call after a second stream of it has ended."""

    async def main() -> LiveFixture:
        async with LiveFixture(log=log, generation=2) as live:
            await asyncio.sleep(5)
        return live

    return run_in_virtual_time(main())


def test_a_reply_that_is_owed_from_an_earlier_stream_is_awaited_as_long() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        await live.talk("Who is this?")
        await live.until(SpeechHeard)
        live.live.finish(MediaClosedReason.DRAINED)
        await live.end()

    async def main(log: FollowedEventLog) -> LiveFixture:
        async with LiveFixture(log=log, generation=2) as live:
            assert await live.end() is MediaClosedReason.UNANSWERED
        return live

    second = run_in_virtual_time(main(conduct(test).log))
    assert second.played.count(speech_of("One moment, please.")) == 2


def test_after_a_drain_the_next_stream_says_the_rest() -> None:
    async def test(live: LiveFixture) -> None:
        await greeting(live)
        await live.talk("Who is this?")
        await live.until(SpeechHeard)
        await asyncio.sleep(1)
        live.live.finish(MediaClosedReason.DRAINED)
        await live.end()

    first = conduct(test, Answer(["This is Ana from the clinic.", "Do you have time?"]))
    second = continued(first.log)
    assert [text for _, text in second.streams.texts or second.http.spoken] == ["Do you have time?"]
    assert second.transcriber.opened == ["Who is this?"]
    assert heard(second) == [(1, "Who is this?")]


def test_after_a_reply_that_was_heard_the_next_stream_asks_to_repeat() -> None:
    first = conduct(greeting)
    second = continued(first.log)
    assert [text for _, text in second.http.spoken] == ["Sorry? Could you say that again?"]
    assert len(second.log.events(SpeechPlayed)) == 1
