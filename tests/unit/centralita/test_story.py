"""A call as a timeline, and as it stood at any moment of it."""

from datetime import UTC, datetime, timedelta

import pytest

from centralita.replay.messages import Message
from centralita.replay.scope import Scope
from centralita.replay.sources import Record
from centralita.replay.story import NoSuchCall, story
from contracts import CallStatus, Disposition
from contracts.examples import EXAMPLES
from contracts.streams import CALLS, REQUESTS

BEGUN = datetime(2026, 3, 2, 15, tzinfo=UTC)
TOLD = (
    "call.requested",
    "call.created",
    "audio.requested",
    "call.status_changed",
    "speech.heard",
    "reply.generated",
    "conversation.ended",
    "call.concluded",
)


def record() -> Record:
    messages = [
        Message(
            REQUESTS.name if fact == "call.requested" else CALLS.name,
            number,
            BEGUN + timedelta(seconds=number),
            EXAMPLES[fact].subject,
            {},
            EXAMPLES[fact].model_dump_json().encode(),
        )
        for number, fact in enumerate(TOLD, start=10)
    ]
    return Record(Scope(), messages, {}, ())


def test_the_whole_story_ends_with_the_call_as_it_stands() -> None:
    told = story(record())
    assert [moment.fact for moment in told.moments] == list(TOLD)
    assert told.sequence == 17
    assert told.call.disposition is Disposition.CONFIRMED
    assert [said.who for said in told.conversation][-3:] == ["callee", "agent", "end"]


def test_at_a_sequence_the_call_stands_as_it_did_then() -> None:
    then = story(record(), at=13)
    assert then.call.status is CallStatus.DIALING
    assert then.call.deadline_at is not None
    assert [moment.sequence for moment in then.moments] == [10, 11, 12, 13]
    assert not [said for said in then.conversation if said.who == "callee"]


def test_between_two_of_its_facts_the_call_stands_as_after_the_first() -> None:
    assert story(record(), at=12).call.status is CallStatus.PENDING


def test_before_its_first_event_the_call_does_not_exist() -> None:
    with pytest.raises(NoSuchCall, match="at 9 the call did not exist"):
        story(record(), at=9)


def test_of_a_call_that_nobody_asked_for_there_is_no_story() -> None:
    with pytest.raises(NoSuchCall, match="no such call"):
        story(Record(Scope(), [], {}, ()))


def test_a_message_that_is_no_event_is_in_the_story_as_what_it_is() -> None:
    broken = Message(CALLS.name, 11, BEGUN + timedelta(seconds=11.5), "speech.heard.x", {}, b"{")
    told = story(Record(Scope(), [*record().messages, broken], {}, ()))
    assert any(moment.text.startswith("unusable:") for moment in told.moments)
