"""The simulator reads a server's messages of ConversationRelay as strictly as Twilio."""

import json

import pytest

from simulators.twilio.relay_messages import Digits, End, Invalid, Other, Text, read


def test_the_documented_messages_are_read() -> None:
    text = {
        "type": "text",
        "token": "Hi. ",
        "last": False,
        "lang": "es-ES",
        "interruptible": False,
        "preemptible": True,
    }
    assert read(json.dumps(text)) == Text("Hi. ", False, False, True)
    assert read('{"type": "text", "token": ""}') == Text("", False, None, False)
    assert read('{"type": "end", "handoffData": "{}"}') == End("{}")
    assert read('{"type": "end"}') == End(None)
    assert read('{"type": "sendDigits", "digits": "1w2"}') == Digits("1w2")
    assert read('{"type": "play", "source": "https://example.com/a.mp3", "loop": 1}') == Other("play")


@pytest.mark.parametrize(
    "message",
    [
        "not json",
        "[]",
        "{}",
        '{"type": 1}',
        '{"type": "sing"}',
        '{"type": "text"}',
        '{"type": "text", "token": 1}',
        '{"type": "text", "token": "a", "last": "true"}',
        '{"type": "text", "token": "a", "final": true}',
        '{"type": "play", "source": "a", "loop": true}',
        '{"type": "end", "handoffData": {}}',
        '{"type": "sendDigits"}',
    ],
)
def test_what_is_not_documented_is_not_valid(message: str) -> None:
    assert isinstance(read(message), Invalid)
