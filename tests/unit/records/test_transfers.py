"""The story of a call with a transfer: its lines, and what the conversation shows of it."""

from tests.builders.calls import a_call
from tests.builders.events import call_created
from tests.builders.live_call import messages_of
from tests.builders.turns import a_reply, an_utterance

from contracts import (
    CallStatus,
    CallTransferStarted,
    TransferAnswered,
    TransferEnded,
    TransferKind,
    TransferRequested,
    TransferStarted,
    TransferStatus,
)
from contracts.transfers import transfer_result
from records.event_description import description
from records.story import story_of

CALL = a_call(CallStatus.IN_PROGRESS)
PLACE = {"call_id": CALL.call_id, "attempt": 1, "turn": 1}
REQUESTED = TransferRequested(
    **PLACE, destination="desk", kind=TransferKind.WARM, phone_number="+12125550145", summary="Ana asks."
)
STARTED = TransferStarted(
    **PLACE, destination="desk", kind=TransferKind.WARM, ring_seconds=25, max_seconds=3600, words="All right."
)
REFUSED = TransferAnswered(**PLACE, is_accepted=False)
ENDED = TransferEnded(**PLACE, destination="desk", status=TransferStatus.REFUSED, seconds=12)


def test_each_event_of_a_transfer_is_a_line() -> None:
    assert [description(event) for event in (REQUESTED, STARTED, REFUSED, ENDED)] == [
        "turn 1: desk (warm), +12125550145, “Ana asks.”",
        "turn 1: desk (warm), after “All right.”",
        "turn 1: not accepted",
        "turn 1: desk: not accepted after 12 s",
    ]
    assert description(TransferAnswered(**PLACE)) == "turn 1: accepted"
    assert description(STARTED.model_copy(update={"words": ""})) == "turn 1: desk (warm)"


def test_the_conversation_shows_how_a_transfer_ended_and_what_the_callee_said_before() -> None:
    transferring = CALL.model_copy(update={"is_transferring": True, "transfer_turn": 1})
    events = [
        call_created(CALL),
        an_utterance(CALL.call_id, 1, "Can I talk to a person?"),
        REQUESTED,
        a_reply(CALL.call_id, 1, "One moment."),
        STARTED,
        CallTransferStarted(call=transferring, occurred_at=CALL.created_at),
        ENDED,
        an_utterance(CALL.call_id, 2, transfer_result("desk", TransferStatus.REFUSED)),
        a_reply(CALL.call_id, 2, "They are busy."),
    ]
    story = story_of(messages_of(CALL, events))
    assert [(line.speaker, line.turn, line.text) for line in story.conversation] == [
        ("callee", 1, "Can I talk to a person?"),
        ("agent", 1, "One moment."),
        ("callee", 1, "All right."),
        ("transfer", 2, "desk: not accepted"),
        ("agent", 2, "They are busy."),
    ]
    assert ("transfer", "since turn 1") in [(line.name, line.text) for line in story.state]
