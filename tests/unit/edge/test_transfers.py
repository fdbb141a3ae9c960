"""Transfers on a log in memory: when one begins, what the person hears, and what follows its end.

Each step is asked of a new service, as of another replica: what follows depends on the log alone.
"""

from dataclasses import replace

import pytest
from prometheus_client import REGISTRY
from tests.builders.calls import a_call
from tests.builders.events import call_created
from tests.builders.turns import a_reply
from tests.fakes.event_log import FakeEventLog
from tests.fakes.speech import FakeSpeech

from contracts import (
    Call,
    ConversationEnded,
    Disposition,
    HangupReason,
    MediaClosed,
    MediaLost,
    MediaOpened,
    SpeechHeard,
    SpeechPlayed,
    TransferAnswered,
    TransferEnded,
    TransferRequested,
    TransferStarted,
)
from contracts.transfers import RING_SECONDS, TransferKind, TransferStatus, transfer_result
from contracts.vocabulary import CallStatus, ConversationMode, MediaClosedReason
from edge.application.dialogue import DialogueService
from edge.application.errors import NotInProgress, UnknownCall
from edge.application.transfers import Transfers
from edge.domain.occurrences import (
    Occurrence,
    RemainderReported,
    StreamEnded,
    TransferReported,
    UtteranceReceived,
)
from edge.domain.transfers import Transfer, offer_of
from telephony.instructions import (
    ConnectPerson,
    HangUp,
    Instruction,
    JoinCall,
    Listen,
    OfferTransfer,
    OpenStream,
    PlayTurn,
    SpeakText,
    Utterance,
)

CALL = a_call(CallStatus.IN_PROGRESS).model_copy(update={"has_tools": True})
LIVE_CALL = CALL.model_copy(update={"mode": ConversationMode.LIVE})
ID = CALL.call_id
NUMBER, SUMMARY = "+12125550145", "Ana Ruiz asks for another day"
DIAL = ConnectPerson(ID, 1, 1, NUMBER, RING_SECONDS, 600)


def a_log(call: Call = CALL, kind: TransferKind = TransferKind.COLD) -> FakeEventLog:
    """Returns the log of a call in whose first turn the agent has announced a transfer."""
    log = FakeEventLog()
    log.store(call_created(call))
    log.store(SpeechHeard(call_id=ID, attempt=1, turn=1, text="quiero hablar con alguien", language="es"))
    log.store(
        TransferRequested(
            call_id=ID, attempt=1, turn=1, destination="sales", kind=kind, phone_number=NUMBER, summary=SUMMARY
        )
    )
    return log


def stream_closed(log: FakeEventLog, reason: MediaClosedReason, generation: int = 1) -> None:
    log.store(MediaOpened(call_id=ID, attempt=1, generation=generation, stream_id="MZ1", previous_turn=1))
    log.store(MediaClosed(call_id=ID, attempt=1, generation=generation, reason=reason, seconds=9, frames=450))


async def respond(log: FakeEventLog, occurrence: Occurrence) -> Instruction:
    service = DialogueService(log, FakeSpeech(), has_streams=True, max_transfer_seconds=600)
    return await service.respond(ID, occurrence)


def received(text: str = "", turn: int = 2, key: str | None = None) -> UtteranceReceived:
    return UtteranceReceived(
        1, turn, Utterance(text, None, f"twilio/CA1/heard/{turn}", key), is_after_spoken_text=False
    )


def ended(status: TransferStatus, turn: int = 1, *, is_bridged: bool | None = None) -> TransferReported:
    return TransferReported(1, turn, status, 31, is_bridged)


def count(kind: TransferKind, status: TransferStatus) -> float:
    return REGISTRY.get_sample_value("centralita_transfers_total", {"kind": kind, "status": status}) or 0.0


@pytest.mark.parametrize("words", [received(), received("vale"), received(key="5")])
async def test_in_turns_a_transfer_begins_after_the_words_that_announce_it(words: UtteranceReceived) -> None:
    log = a_log()
    assert await respond(log, words) == DIAL
    assert await respond(log, words) == DIAL, "a repeated webhook"
    [started] = log.events(TransferStarted)
    assert started == TransferStarted(
        call_id=ID,
        attempt=1,
        turn=1,
        destination="sales",
        kind=TransferKind.COLD,
        ring_seconds=RING_SECONDS,
        max_seconds=600,
        words=words.utterance.text,
    )
    assert len(log.events(SpeechHeard)) == 1, "the words claim no turn, and are kept with the transfer"


async def test_in_turns_a_transfer_begins_when_voice_reports_that_its_announcement_was_heard() -> None:
    log, heard = a_log(), RemainderReported(1, 1, sentence=1)
    log.store(a_reply(ID, 1, "Le paso con ventas."))
    assert await respond(log, heard) == DIAL
    assert await respond(log, heard) == DIAL, "a repeated webhook"
    assert len(log.events(TransferStarted)) == 1


async def test_what_could_not_be_synthesized_of_an_announcement_is_spoken_before_the_transfer() -> None:
    log = a_log()
    log.store(a_reply(ID, 1, "Le paso con ventas.").model_copy(update={"last_sentence": "Le paso con ventas."}))
    spoken = await respond(log, RemainderReported(1, 1, sentence=0))
    assert isinstance(spoken, SpeakText)
    assert spoken.text == "Le paso con ventas."
    assert not log.events(TransferStarted)


async def test_a_report_that_the_announcement_was_heard_begins_no_older_and_no_ended_transfer() -> None:
    log, heard = a_log(), RemainderReported(1, 1, sentence=1)
    log.store(a_reply(ID, 1, "Le paso con ventas."))
    log.store(SpeechHeard(call_id=ID, attempt=1, turn=2, text="espere", language="es"))
    assert isinstance(await respond(log, heard), PlayTurn), "the callee has gone on"
    over = a_log()
    over.store(a_reply(ID, 1, "Le paso con ventas."))
    over.store(TransferEnded(call_id=ID, attempt=1, turn=1, destination="sales", status=TransferStatus.BUSY))
    assert isinstance(await respond(over, heard), Listen)
    assert not log.events(TransferStarted) + over.events(TransferStarted)


async def test_a_warm_transfer_is_offered_first() -> None:
    assert await respond(a_log(kind=TransferKind.WARM), received()) == replace(DIAL, is_offered=True)


async def test_a_person_is_dialled_from_the_number_of_the_call() -> None:
    own = CALL.model_copy(update={"caller_id": "+12125550199"})
    assert await respond(a_log(own), received()) == replace(DIAL, caller_id="+12125550199")


async def test_an_opt_out_and_a_newer_turn_prevent_the_transfer() -> None:
    log = a_log()
    assert isinstance(await respond(log, received("no me llamen más")), PlayTurn)
    assert not log.events(TransferStarted)
    assert isinstance(await respond(log, received(turn=3)), PlayTurn), "it belongs to an older turn"
    assert not log.events(TransferStarted)
    over = a_log()
    over.store(
        ConversationEnded(call_id=ID, attempt=1, turn=1, disposition=Disposition.OPT_OUT, summary="", goodbye_seconds=1)
    )
    assert await respond(over, received()) == HangUp()
    closing = a_log(CALL.model_copy(update={"hangup_reason": HangupReason.CANCELED}))
    assert await respond(closing, received()) == HangUp()


async def test_a_transfer_of_another_attempt_does_not_begin() -> None:
    log = FakeEventLog()
    log.store(call_created(CALL.model_copy(update={"attempt": 2})))
    for stored in a_log().stored[1:]:
        log.store(stored.event)
    log.store(SpeechHeard(call_id=ID, attempt=2, turn=1, text="hola", language="es"))
    occurrence = replace(received(), attempt=2)
    assert isinstance(await respond(log, occurrence), PlayTurn)


async def test_in_a_live_call_it_begins_when_the_stream_ends_after_the_announcement() -> None:
    log = a_log(LIVE_CALL)
    stream_closed(log, MediaClosedReason.TRANSFERRED)
    assert await respond(log, StreamEnded(1, 1)) == DIAL
    assert await respond(log, StreamEnded(1, 1)) == DIAL, "asked again by the redirect behind the stream"
    assert len(log.events(TransferStarted)) == 1


async def test_a_process_that_dies_after_the_announcement_was_heard_delays_nothing() -> None:
    log = a_log(LIVE_CALL)
    log.store(MediaOpened(call_id=ID, attempt=1, generation=1, stream_id="MZ1", previous_turn=0))
    log.store(SpeechPlayed(call_id=ID, attempt=1, turn=1, is_complete=True, seconds=2))
    assert await respond(log, StreamEnded(1, 1)) == DIAL
    assert len(log.events(MediaLost)) == 1


async def test_a_process_that_dies_before_is_replaced_and_the_announcement_is_heard_first() -> None:
    log = a_log(LIVE_CALL)
    log.store(MediaOpened(call_id=ID, attempt=1, generation=1, stream_id="MZ1", previous_turn=0))
    assert await respond(log, StreamEnded(1, 1)) == OpenStream(ID, 1, 2)
    assert not log.events(TransferStarted)


@pytest.mark.parametrize("call", [CALL, LIVE_CALL])
async def test_after_both_have_talked_the_line_is_closed(call: Call) -> None:
    log, before = a_log(call), count(TransferKind.COLD, TransferStatus.COMPLETED)
    stream_closed(log, MediaClosedReason.TRANSFERRED)
    assert await respond(log, ended(TransferStatus.COMPLETED)) == HangUp()
    assert await respond(log, ended(TransferStatus.COMPLETED)) == HangUp(), "a repeated webhook"
    [event] = log.events(TransferEnded)
    assert event == TransferEnded(
        call_id=ID, attempt=1, turn=1, destination="sales", status=TransferStatus.COMPLETED, seconds=31
    )
    assert count(TransferKind.COLD, TransferStatus.COMPLETED) == before + 1


@pytest.mark.parametrize("status", [TransferStatus.BUSY, TransferStatus.NO_ANSWER, TransferStatus.FAILED])
async def test_in_turns_the_agent_speaks_after_a_transfer_that_connected_no_person(status: TransferStatus) -> None:
    log = a_log()
    for _ in range(2):  # the second one: a repeated webhook
        answer = await respond(log, ended(status))
        assert isinstance(answer, PlayTurn)
        assert answer.turn == 2
    turns = [(event.turn, event.text) for event in log.events(SpeechHeard) if isinstance(event, SpeechHeard)]
    assert turns[1:] == [(2, transfer_result("sales", status))]
    assert len(log.events(TransferEnded)) == 1
    assert isinstance(await respond(log, received("hola", turn=3)), PlayTurn), "and the conversation goes on"


async def test_in_a_live_call_the_next_stream_follows() -> None:
    log = a_log(LIVE_CALL)
    stream_closed(log, MediaClosedReason.DRAINED)
    stream_closed(log, MediaClosedReason.TRANSFERRED, generation=2)
    for _ in range(2):
        assert await respond(log, ended(TransferStatus.BUSY)) == OpenStream(ID, 1, 3)
    assert len(log.events(SpeechHeard)) == 2


async def test_a_replica_that_died_after_the_end_was_stored_is_replaced_by_another() -> None:
    log = a_log()
    log.store(
        TransferEnded(call_id=ID, attempt=1, turn=1, destination="sales", status=TransferStatus.BUSY),
        f"{ID}/1/transfer/1/ended",
    )
    answer = await respond(log, ended(TransferStatus.BUSY))
    assert isinstance(answer, PlayTurn)
    assert answer.turn == 2


async def test_the_end_of_a_transfer_is_stored_also_if_the_line_is_closed() -> None:
    log = a_log(CALL.model_copy(update={"hangup_reason": HangupReason.CANCELED}))
    assert await respond(log, ended(TransferStatus.CANCELED)) == HangUp()
    assert len(log.events(TransferEnded)) == 1
    assert len(log.events(SpeechHeard)) == 1, "the callee has left"


async def test_a_person_hears_the_summary_and_accepts_by_a_key() -> None:
    log = a_log(kind=TransferKind.WARM)
    text = offer_of(SUMMARY, "es", "1")
    assert SUMMARY in text
    assert await Transfers(log).offer(ID, 1, 1) == OfferTransfer(ID, 1, 1, "es", text)
    assert await Transfers(log).choose(ID, 1, 1, "1") == JoinCall()
    assert await Transfers(log).choose(ID, 1, 1, "1") == JoinCall(), "a repeated webhook"
    assert log.events(TransferAnswered) == [TransferAnswered(call_id=ID, attempt=1, turn=1)]
    assert await respond(log, ended(TransferStatus.COMPLETED)) == HangUp()


@pytest.mark.parametrize("key", ["2", ""])
async def test_a_person_who_does_not_accept_is_not_connected(key: str) -> None:
    log = a_log(kind=TransferKind.WARM)
    assert await Transfers(log).choose(ID, 1, 1, key) == HangUp()
    assert isinstance(await respond(log, ended(TransferStatus.COMPLETED)), PlayTurn), "the provider says completed"
    [event] = log.events(TransferEnded)
    assert isinstance(event, TransferEnded)
    assert event.status is TransferStatus.REFUSED


async def test_nothing_is_said_to_a_person_whose_callee_is_gone_or_who_is_not_expected() -> None:
    gone = CALL.model_copy(update={"hangup_reason": HangupReason.CANCELED})
    assert await Transfers(a_log(gone, TransferKind.WARM)).offer(ID, 1, 1) == HangUp()
    assert await Transfers(a_log(kind=TransferKind.WARM)).offer(ID, 1, 7) == HangUp()
    assert await Transfers(a_log(kind=TransferKind.WARM)).offer(ID, 3, 1) == HangUp()
    over = a_log(kind=TransferKind.WARM)
    await respond(over, ended(TransferStatus.NO_ANSWER))
    assert await Transfers(over).offer(ID, 1, 1) == HangUp()
    with pytest.raises(UnknownCall):
        await Transfers(FakeEventLog()).offer(ID, 1, 1)
    with pytest.raises(UnknownCall):
        await Transfers(FakeEventLog()).choose(ID, 1, 1, "1")


@pytest.mark.parametrize(
    ("kind", "is_accepted", "reported", "is_bridged", "expected"),
    [
        (TransferKind.COLD, None, TransferStatus.COMPLETED, None, TransferStatus.COMPLETED),
        (TransferKind.COLD, None, TransferStatus.COMPLETED, False, TransferStatus.NO_ANSWER),
        (TransferKind.COLD, True, TransferStatus.CANCELED, None, TransferStatus.COMPLETED),
        (TransferKind.COLD, None, TransferStatus.BUSY, None, TransferStatus.BUSY),
        (TransferKind.WARM, True, TransferStatus.COMPLETED, True, TransferStatus.COMPLETED),
        (TransferKind.WARM, None, TransferStatus.COMPLETED, True, TransferStatus.REFUSED),
        (TransferKind.WARM, False, TransferStatus.NO_ANSWER, None, TransferStatus.REFUSED),
        (TransferKind.WARM, None, TransferStatus.NO_ANSWER, None, TransferStatus.NO_ANSWER),
    ],
)
def test_who_was_connected_follows_from_the_log(
    kind: TransferKind,
    is_accepted: bool | None,
    reported: TransferStatus,
    is_bridged: bool | None,
    expected: TransferStatus,
) -> None:
    transfer = Transfer(1, "sales", kind, NUMBER, is_accepted=is_accepted)
    assert transfer.ended(reported, is_bridged=is_bridged) is expected


async def test_a_text_is_refused_while_the_callee_talks_with_a_person() -> None:
    log = a_log(CALL.model_copy(update={"is_transferring": True}))
    with pytest.raises(NotInProgress):
        async with DialogueService(log, FakeSpeech()).send_text(ID, "hola"):
            pass
