"""Turn-taking on a log in memory: which events are appended, which utterance claims a turn, which remainder is read."""

import asyncio
from collections.abc import Sequence

import pytest
from prometheus_client import REGISTRY
from tests.builders.calls import a_call
from tests.builders.events import call_created
from tests.fakes.event_log import FakeEventLog
from tests.fakes.speech import FakeSpeech

from chassis.event_log import StoredEvent
from contracts import (
    AudioFailed,
    AudioRequested,
    Call,
    ConversationEnded,
    Disposition,
    Event,
    HangupReason,
    MediaClosed,
    MediaDegraded,
    MediaLost,
    MediaOpened,
    OptOutKeyPressed,
    ReplyGenerated,
    SpeechHeard,
    TelephonyStatusReported,
)
from contracts.vocabulary import (
    CallStatus,
    ConversationMode,
    DegradationReason,
    MediaClosedReason,
    MediaLostReason,
    TelephonyStatus,
)
from edge.application import streams
from edge.application.dialogue import MAX_CLAIMS, DialogueService
from edge.application.errors import NotInProgress, UnknownCall
from edge.application.streams import report_degradation
from edge.domain.occurrences import RemainderReported, StreamEnded, UtteranceReceived
from edge.ports import Unavailable
from telephony.instructions import (
    AskAgain,
    HangUp,
    Instruction,
    OpenStream,
    PlayGreeting,
    PlayTurn,
    SpeakGoodbye,
    SpeakText,
    Utterance,
)
from telephony.provider import Report

CALL = a_call(CallStatus.IN_PROGRESS)
ID = CALL.call_id
ANSWERED = Report(
    TelephonyStatusReported(call_id=ID, attempt=1, provider_call_id="CA1", status=TelephonyStatus.IN_PROGRESS),
    "twilio/CA1/answer",
)
GREETING = PlayGreeting(ID, 1, "es", hears_keys=True)


@pytest.fixture
def log() -> FakeEventLog:
    log = FakeEventLog()
    log.store(call_created(CALL))
    return log


@pytest.fixture
def speech() -> FakeSpeech:
    return FakeSpeech()


@pytest.fixture
def dialogue(log: FakeEventLog, speech: FakeSpeech) -> DialogueService:
    return DialogueService(log, speech)


def received(turn: int, text: str = "hola", *, is_after_spoken_text: bool = False) -> UtteranceReceived:
    return UtteranceReceived(1, turn, Utterance(text, None, f"twilio/CA1/heard/{turn}"), is_after_spoken_text)


def speech_heard(turn: int, text: str = "desde fuera", call: Call = CALL) -> SpeechHeard:
    return SpeechHeard(call_id=call.call_id, attempt=1, turn=turn, text=text, language="es")


def play(log: FakeEventLog, turn: int, attempt: int = 1) -> Instruction:
    """Returns the instruction for a turn that the log contains. Its URLs name the sequence of the turn."""
    return PlayTurn(ID, attempt, "es", turn, heard_at(log, turn, attempt), hears_keys=True)


def heard_at(log: FakeEventLog, turn: int, attempt: int = 1) -> int:
    """Returns the sequence of the turn's `speech.heard`."""
    [sequence] = [
        stored.sequence
        for stored in log.stored
        if isinstance(stored.event, SpeechHeard) and (stored.event.attempt, stored.event.turn) == (attempt, turn)
    ]
    return sequence


def turns(log: FakeEventLog) -> list[tuple[int, str]]:
    return [(event.turn, event.text) for event in log.events(SpeechHeard) if isinstance(event, SpeechHeard)]


def store_reply(log: FakeEventLog, turn: int, *sentences: str, unplayed: int | None = None) -> None:
    """Stores conversation's reply; voice leaves it to the provider's voice from the sentence `unplayed` on."""
    for number, text in enumerate(sentences):
        log.store(AudioRequested(call_id=ID, attempt=1, turn=turn, sentence=number, text=text, language="es"))
    if unplayed is not None:
        log.store(failed(turn, unplayed))
    log.store(
        ReplyGenerated(
            call_id=ID,
            attempt=1,
            turn=turn,
            text=" ".join(sentences),
            sentences=len(sentences),
            model="m",
            latency_seconds=1,
        )
    )


def failed(turn: int, sentence: int) -> AudioFailed:
    attempt = 1 if turn else 0
    return AudioFailed(call_id=ID, attempt=attempt, turn=turn, sentence=sentence, reason="no credit", fallback="say")


async def test_an_answered_call_is_recorded_once_and_the_greeting_is_played(
    dialogue: DialogueService, log: FakeEventLog
) -> None:
    assert [await dialogue.answer(ANSWERED) for _ in range(2)] == [GREETING, GREETING]

    assert log.events(TelephonyStatusReported) == [ANSWERED.event]


async def test_a_report_is_appended_without_a_cause_whether_or_not_the_log_has_its_call(speech: FakeSpeech) -> None:
    log = FakeEventLog()

    await DialogueService(log, speech).record(ANSWERED)

    [recorded] = log.stored
    assert (recorded.envelope.id, recorded.envelope.causation_id) == ("twilio/CA1/answer", None)


async def test_an_utterance_claims_the_turn_that_its_webhook_names(
    dialogue: DialogueService, log: FakeEventLog
) -> None:
    assert await dialogue.respond(ID, received(1, "sí")) == play(log, 1)
    assert turns(log) == [(1, "sí")]


async def test_a_repeated_webhook_claims_nothing_and_has_the_same_instruction(
    dialogue: DialogueService, log: FakeEventLog
) -> None:
    for turn in (1, 2, 1):
        assert await dialogue.respond(ID, received(turn)) == play(log, turn)

    assert turns(log) == [(1, "hola"), (2, "hola")]


async def test_an_utterance_whose_turn_another_writer_claims_meanwhile_claims_the_next_one(
    dialogue: DialogueService, log: FakeEventLog
) -> None:
    other_claim: list[Event] = [speech_heard(1)]

    def append_other_claim(event: Event) -> None:
        if other_claim:
            log.store(other_claim.pop())

    log.before_append = append_other_claim

    assert await dialogue.respond(ID, received(1)) == play(log, 2)
    assert turns(log) == [(1, "desde fuera"), (2, "hola")]


async def test_the_same_utterance_at_two_replicas_claims_one_turn(dialogue: DialogueService, log: FakeEventLog) -> None:
    utterance = received(1)
    other_claim: list[Event] = [speech_heard(1, "hola")]

    def append_other_claim(event: Event) -> None:
        if other_claim:
            log.store(other_claim.pop(), utterance.utterance.event_id)

    log.before_append = append_other_claim

    assert await dialogue.respond(ID, utterance) == play(log, 1)
    assert turns(log) == [(1, "hola")]


async def test_a_turn_that_another_replica_claimed_for_the_same_utterance_is_played(
    dialogue: DialogueService, log: FakeEventLog
) -> None:
    utterance = received(1)

    def append_other_claims(event: Event) -> None:
        if not turns(log):
            log.store(speech_heard(1))
            log.store(speech_heard(2, "hola"), utterance.utterance.event_id)

    log.before_append = append_other_claims

    assert await dialogue.respond(ID, utterance) == play(log, 2)
    assert turns(log) == [(1, "desde fuera"), (2, "hola")]


async def test_an_utterance_fails_as_unavailable_when_other_writers_always_append_first(
    dialogue: DialogueService, log: FakeEventLog
) -> None:
    other_claims: list[StoredEvent] = []
    log.before_append = lambda _: other_claims.append(log.store(speech_heard(len(other_claims) + 1)))

    with pytest.raises(Unavailable):
        await dialogue.respond(ID, received(1))

    assert len(other_claims) == MAX_CLAIMS


async def test_an_earlier_attempts_turns_do_not_count(log: FakeEventLog, dialogue: DialogueService) -> None:
    log.store(speech_heard(4))
    second = CALL.model_copy(update={"attempt": 2})
    log.store(call_created(second))

    instruction = await dialogue.respond(
        ID, UtteranceReceived(2, 1, Utterance("hola", None, "twilio/CA2/heard/1"), False)
    )

    assert instruction == play(log, 1, attempt=2)


async def test_the_line_of_a_call_with_a_requested_hang_up_is_closed(
    dialogue: DialogueService, log: FakeEventLog
) -> None:
    log.store(call_created(CALL.model_copy(update={"hangup_reason": HangupReason.CANCELED})))

    assert await dialogue.answer(ANSWERED) == HangUp()
    assert await dialogue.respond(ID, received(1)) == HangUp()
    assert await dialogue.respond(ID, RemainderReported(1, 0, 0)) == HangUp()
    assert turns(log) == []


async def test_a_silence_after_an_unplayed_remainder_claims_nothing_and_the_remainder_is_spoken(
    dialogue: DialogueService, log: FakeEventLog
) -> None:
    log.store(speech_heard(1))
    store_reply(log, 1, "Hola.", "¿Puede venir?", unplayed=1)

    assert await dialogue.respond(ID, received(2, "")) == SpeakText(
        ID, 1, "es", 1, "¿Puede venir?", heard_at(log, 1), hears_keys=True
    )
    assert await dialogue.respond(ID, received(2, "", is_after_spoken_text=True)) == play(log, 2)
    assert turns(log) == [(1, "desde fuera"), (2, "")]


async def test_a_silence_after_another_turns_failure_claims_a_turn(
    dialogue: DialogueService, log: FakeEventLog
) -> None:
    log.store(speech_heard(1))
    log.store(failed(7, 0))

    assert await dialogue.respond(ID, received(2, "")) == play(log, 2)


async def test_a_failed_greeting_is_spoken_at_once(dialogue: DialogueService, log: FakeEventLog) -> None:
    log.store(failed(0, 0))

    assert await dialogue.answer(ANSWERED) == SpeakText(ID, 1, "es", 0, "Hola Ana.", hears_keys=True)


async def test_a_reported_remainder_is_spoken_from_its_sentence_on(
    dialogue: DialogueService, log: FakeEventLog
) -> None:
    log.store(speech_heard(1))
    store_reply(log, 1, "Uno.", "Dos.", "Tres.")

    assert await dialogue.respond(ID, RemainderReported(1, 1, 1)) == SpeakText(
        ID, 1, "es", 1, "Dos. Tres.", heard_at(log, 1), hears_keys=True
    )


async def test_a_text_claims_the_next_turn_and_its_reply_is_streamed(
    dialogue: DialogueService, log: FakeEventLog, speech: FakeSpeech
) -> None:
    log.store(speech_heard(1))

    async with dialogue.send_text(ID, "¿Quién es?") as audio:
        assert [chunk async for chunk in audio] == [b"audio"]

    assert turns(log) == [(1, "desde fuera"), (2, "¿Quién es?")]
    assert speech.requested == [(1, 2)]


async def test_a_text_is_refused_after_the_end_of_the_conversation(
    dialogue: DialogueService, log: FakeEventLog
) -> None:
    log.store(ConversationEnded(call_id=ID, attempt=1, turn=1, disposition=Disposition.DECLINED, summary=""))

    with pytest.raises(NotInProgress):
        async with dialogue.send_text(ID, "hola"):
            pass

    assert turns(log) == []


async def test_an_unknown_call_has_no_dialogue(speech: FakeSpeech) -> None:
    dialogue = DialogueService(FakeEventLog(), speech)

    with pytest.raises(UnknownCall):
        await dialogue.respond(ID, received(1))
    assert await dialogue.read_traceparent(ID) is None


def pressed(key: str, attempt: int = 1) -> UtteranceReceived:
    return UtteranceReceived(attempt, 1, Utterance("", None, "twilio/CA1/heard/1", key), is_after_spoken_text=False)


async def test_the_opt_out_key_is_stored_once_and_the_network_says_goodbye(
    dialogue: DialogueService, log: FakeEventLog
) -> None:
    said = [await dialogue.respond(ID, pressed("9")) for _ in range(2)]

    assert said == [SpeakGoodbye("es", "De acuerdo, no le volveremos a llamar. Adiós.")] * 2
    assert log.events(OptOutKeyPressed) == [OptOutKeyPressed(call_id=ID, attempt=1, key="9")]
    assert turns(log) == []


async def test_the_opt_out_key_ends_the_conversation(dialogue: DialogueService, log: FakeEventLog) -> None:
    log.store(call_created(CALL.model_copy(update={"disposition": Disposition.OPT_OUT})))

    assert await dialogue.respond(ID, received(1)) == HangUp()
    with pytest.raises(NotInProgress):
        async with dialogue.send_text(ID, "hola"):
            pass


async def test_the_opt_out_key_is_stored_also_if_the_line_is_being_closed(
    dialogue: DialogueService, log: FakeEventLog
) -> None:
    log.store(call_created(CALL.model_copy(update={"hangup_reason": HangupReason.CANCELED})))

    await dialogue.respond(ID, pressed("9"))

    assert log.events(OptOutKeyPressed) == [OptOutKeyPressed(call_id=ID, attempt=1, key="9")]


async def test_an_opt_out_during_the_goodbye_is_stored_once_and_the_network_says_goodbye(
    dialogue: DialogueService, log: FakeEventLog
) -> None:
    await dialogue.respond(ID, received(1, "sí"))
    log.store(ConversationEnded(call_id=ID, attempt=1, turn=1, disposition=Disposition.ANSWERED, summary=""))

    said = [await dialogue.respond(ID, received(2, "¡No me llamen más!")) for _ in range(2)]

    assert said == [SpeakGoodbye("es", "De acuerdo, no le volveremos a llamar. Adiós.")] * 2
    assert turns(log) == [(1, "sí"), (2, "¡No me llamen más!")]
    assert await dialogue.respond(ID, received(3, "adiós")) == HangUp()


async def test_an_opt_out_is_stored_once_also_if_the_line_is_being_closed(
    dialogue: DialogueService, log: FakeEventLog
) -> None:
    await dialogue.respond(ID, received(1, "sí"))
    log.store(call_created(CALL.model_copy(update={"hangup_reason": HangupReason.CANCELED})))

    for _ in range(2):
        await dialogue.respond(ID, received(2, "¡No me llamen más!"))

    assert turns(log) == [(1, "sí"), (2, "¡No me llamen más!")]


@pytest.mark.parametrize(("opt_out_key", "key"), [("5", "9"), ("off", "9")])
async def test_another_key_plays_the_turn_again(
    dialogue: DialogueService, log: FakeEventLog, opt_out_key: str, key: str
) -> None:
    log.store(call_created(CALL.model_copy(update={"opt_out_key": opt_out_key})))

    again = await dialogue.respond(ID, pressed(key))

    assert again == PlayGreeting(ID, 1, "es", hears_keys=opt_out_key != "off")
    assert (turns(log), log.events(OptOutKeyPressed)) == ([], [])


LIVE = CALL.model_copy(update={"mode": ConversationMode.LIVE})


async def test_a_stream_that_nobody_closed_is_lost_and_the_next_one_opens() -> None:
    log = FakeEventLog()
    log.store(call_created(LIVE))
    service = DialogueService(log, FakeSpeech(), has_streams=True)
    assert await service.answer(ANSWERED) == OpenStream(ID, 1, 1)
    log.store(MediaOpened(call_id=ID, attempt=1, generation=1, stream_id="MZ1", previous_turn=0))

    assert [await service.respond(ID, StreamEnded(1, 1)) for _ in range(2)] == [OpenStream(ID, 1, 2)] * 2
    assert log.events(MediaLost) == [MediaLost(call_id=ID, attempt=1, generation=1, reason=MediaLostReason.DIED)]

    closed = MediaClosed(call_id=ID, attempt=1, generation=2, reason=MediaClosedReason.SYNTHESIS, seconds=1, frames=50)
    log.store(closed)
    assert [await service.respond(ID, StreamEnded(1, 2)) for _ in range(2)] == [GREETING] * 2
    assert log.events(MediaDegraded) == [
        MediaDegraded(call_id=ID, attempt=1, reason=DegradationReason.SYNTHESIS),
    ]
    assert await service.answer(ANSWERED) == GREETING, "the first webhook is repeated late"


async def test_a_degradation_that_two_webhooks_report_is_counted_once() -> None:
    log = FakeEventLog()
    newest = log.store(call_created(LIVE))
    before = not_configured()
    for _ in range(2):  # both have read the log before the other one's append
        await report_degradation(log, newest, DegradationReason.NOT_CONFIGURED)
    assert not_configured() == before + 1


class HungLog(FakeEventLog):
    """A log that does not answer."""

    async def read(self, subjects: Sequence[str], *, after_sequence: int = 0) -> list[StoredEvent]:
        await asyncio.Event().wait()
        return []


async def test_a_log_that_does_not_answer_lets_the_provider_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_ANSWER_SECONDS", 0.01)
    log = HungLog()
    log.store(call_created(LIVE))
    service = DialogueService(log, FakeSpeech(), has_streams=True)
    for repetition in range(streams.MAX_REPETITIONS):
        ended = StreamEnded(1, 1, repetition)
        again = await streams.answer_in_time(service.respond(ID, ended), ID, ended)
        assert again == AskAgain(ID, 1, 1, repetition + 1)
    ended = StreamEnded(1, 1, streams.MAX_REPETITIONS)
    with pytest.raises(Unavailable):
        await streams.answer_in_time(service.respond(ID, ended), ID, ended)


async def test_a_log_that_is_back_says_what_follows_the_stream() -> None:
    log = FakeEventLog()
    log.store(call_created(LIVE))
    service = DialogueService(log, FakeSpeech(), has_streams=True)
    ended = StreamEnded(1, 1, 3)
    assert await streams.answer_in_time(service.respond(ID, ended), ID, ended) == OpenStream(ID, 1, 2)


async def test_without_an_address_for_streams_a_live_call_is_held_in_turns() -> None:
    log = FakeEventLog()
    log.store(call_created(LIVE))
    service, before = DialogueService(log, FakeSpeech()), not_configured()
    assert [await service.answer(ANSWERED) for _ in range(2)] == [GREETING] * 2
    assert log.events(MediaDegraded) == [
        MediaDegraded(call_id=ID, attempt=1, reason=DegradationReason.NOT_CONFIGURED),
    ]
    assert not_configured() == before + 1


async def test_a_call_whose_provider_speaks_opens_streams_of_text() -> None:
    log = FakeEventLog()
    log.store(call_created(LIVE.model_copy(update={"mode": ConversationMode.RELAY, "voice": "v-1"})))
    service = DialogueService(log, FakeSpeech(), has_streams=True)
    assert await service.answer(ANSWERED) == OpenStream(ID, 1, 1, LIVE.language, is_relay=True, voice="v-1")
    assert await service.respond(ID, StreamEnded(1, 1)) == OpenStream(
        ID, 1, 2, LIVE.language, is_relay=True, voice="v-1"
    )
    assert log.events(MediaLost) == [
        MediaLost(call_id=ID, attempt=1, generation=1, reason=MediaLostReason.NEVER_OPENED)
    ]
    log.store(MediaDegraded(call_id=ID, attempt=1, reason=DegradationReason.LOST_STREAMS))
    assert await service.answer(ANSWERED) == GREETING, "the first webhook is repeated late"


def not_configured() -> float:
    """Returns how many conversations were counted that went on in turns for want of an address for streams."""
    return REGISTRY.get_sample_value("centralita_degraded_conversations_total", {"reason": "not_configured"}) or 0


async def test_the_opt_out_key_in_a_stream_is_stored_once_and_a_goodbye_is_said() -> None:
    log = FakeEventLog()
    log.store(call_created(LIVE))
    service = DialogueService(log, FakeSpeech(), has_streams=True)
    closed = MediaClosed(call_id=ID, attempt=1, generation=1, reason=MediaClosedReason.OPTED_OUT, seconds=1, frames=50)
    log.store(closed)
    said = [await service.respond(ID, StreamEnded(1, 1)) for _ in range(2)]
    assert [type(one) for one in said] == [SpeakGoodbye] * 2
    assert log.events(OptOutKeyPressed) == [OptOutKeyPressed(call_id=ID, attempt=1, key="9")]
