"""The story of a call: its timeline, what was spoken, and its state after any sequence."""

from datetime import UTC, datetime, timedelta

import pytest

from contracts import AudioReady, AudioRequested, CallStatus, Disposition
from contracts.examples import EXAMPLES
from contracts.script import render_greeting, render_known
from contracts.streams import CALLS, REQUESTS
from records.messages import Message
from records.story import UnknownCall, story_of

STARTED_AT = datetime(2026, 3, 2, 15, tzinfo=UTC)
EVENT_NAMES = (
    "call.requested",
    "call.created",
    "audio.requested",
    "call.status_changed",
    "speech.heard",
    "reply.generated",
    "conversation.ended",
    "call.concluded",
)


def record() -> list[Message]:
    return [
        Message(
            REQUESTS.name if event_name == "call.requested" else CALLS.name,
            number,
            STARTED_AT + timedelta(seconds=number),
            EXAMPLES[event_name].subject,
            {},
            EXAMPLES[event_name].model_dump_json().encode(),
        )
        for number, event_name in enumerate(EVENT_NAMES, start=10)
    ]


def test_the_whole_timeline_ends_with_the_present_state_of_the_call() -> None:
    whole = story_of(record())
    assert [entry.event for entry in whole.timeline] == list(EVENT_NAMES)
    assert whole.sequence == 17
    assert whole.call.disposition is Disposition.CONFIRMED
    assert [line.speaker for line in whole.conversation][-3:] == ["callee", "agent", "end"]


def test_the_conversation_has_the_last_greeting_only() -> None:
    greeting = EXAMPLES["audio.requested"]
    assert isinstance(greeting, AudioRequested)
    changed = greeting.model_copy(update={"attempt": 0, "turn": 0, "text": "Hello Eve!"})
    first = greeting.model_copy(update={"attempt": 0, "turn": 0, "text": "Hello Ada!"})
    again = [
        Message(
            CALLS.name, 0, STARTED_AT + timedelta(seconds=delay), event.subject, {}, event.model_dump_json().encode()
        )
        for delay, event in ((11.2, first), (11.4, changed))
    ]
    whole = story_of([*record(), *again])
    assert [line.text for line in whole.conversation if line.turn == 0 and line.speaker == "agent"] == ["Hello Eve!"]


def test_the_greeting_is_that_of_the_call_when_it_was_played_and_that_of_its_request_in_an_old_log() -> None:
    played = EXAMPLES["audio.ready"]
    assert isinstance(played, AudioReady)
    played = played.model_copy(update={"turn": 0, "sentence": 0, "later": ()})
    body = played.model_dump_json().encode()
    again = Message(CALLS.name, 13, STARTED_AT + timedelta(seconds=13.5), played.subject, {}, body)
    old = record()
    new = [message for message in old if not message.subject.startswith("audio.requested")]
    [line] = [line for line in story_of([*new, again]).conversation if line.turn == 0]
    call = story_of(old).call
    assert (line.speaker, line.text) == ("agent", render_greeting(call.script_template, call.variables))
    requested = EXAMPLES["audio.requested"].model_copy(update={"attempt": 0, "turn": 0, "text": "Hello!"})
    body = requested.model_dump_json().encode()
    request = Message(CALLS.name, 12, STARTED_AT + timedelta(seconds=12), requested.subject, {}, body)
    [line] = [line for line in story_of([*new, request, again]).conversation if not line.turn]
    assert line.text == "Hello!"


def test_at_a_sequence_the_state_is_that_after_the_sequence() -> None:
    then = story_of(record(), at=13)
    assert then.call.status is CallStatus.DIALING
    assert then.call.deadline_at is not None
    assert [entry.sequence for entry in then.timeline] == [10, 11, 12, 13]
    assert [decision.sequence for decision in then.decisions] == [11, 13]
    assert then.sequences == (11, 12, 13, 14, 15, 16, 17), "those that lie ahead, too"
    [deadline] = [line.text for line in then.state if line.name == "deadline"]
    assert deadline == f"{then.call.deadline_at:%Y-%m-%d %H:%M:%S.%f} UTC"
    assert not [line for line in then.conversation if line.speaker == "callee"]


def test_the_prompt_is_the_script_with_its_values() -> None:
    call = story_of(record()).call
    assert story_of(record()).prompt == render_known(call.script_template, call.variables)
    assert "{{" in call.script_template
    assert render_known("Hello {{name}}, {{ other }}", {"name": "Ana"}) == "Hello Ana, {{ other }}"


def test_between_two_decisions_the_state_is_that_after_the_first() -> None:
    assert story_of(record(), at=12).call.status is CallStatus.PENDING


def test_before_its_first_event_the_call_does_not_exist() -> None:
    with pytest.raises(UnknownCall, match="the call did not exist at sequence 9"):
        story_of(record(), at=9)


def test_a_call_that_was_never_requested_is_unknown() -> None:
    with pytest.raises(UnknownCall, match="there is no such call"):
        story_of([])


def test_an_invalid_message_is_in_the_timeline_with_its_reason() -> None:
    broken = Message(CALLS.name, 11, STARTED_AT + timedelta(seconds=11.5), "speech.heard.x", {}, b"{")
    whole = story_of([*record(), broken])
    assert any(entry.text.startswith("invalid:") for entry in whole.timeline)
