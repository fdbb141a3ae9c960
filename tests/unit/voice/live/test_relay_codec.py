"""ConversationRelay's messages as Twilio documents them, and those that are not valid."""

import json
import random

import pytest
from tests.unit.voice.live.test_codecs import FUZZED_MESSAGES, _damaged, _mutated

from voice.domain.live import relay
from voice.domain.live.media_stream import MAX_MESSAGE_BYTES
from voice.domain.live.relay import (
    AgentSpeaking,
    CalleeSpeaking,
    ErrorReported,
    Information,
    Interrupted,
    Prompt,
    RelayKey,
    SetUp,
    TextPlayed,
)
from voice.domain.live.vendor_messages import Malformed, MalformedReason

SETUP: dict[str, object] = {
    "type": "setup",
    "sessionId": "VX0",
    "accountSid": "AC0",
    "callSid": "CA0",
    "from": "+12025550100",
    "to": "+12025550101",
    "direction": "outbound-api",
    "callType": "PSTN",
    "callStatus": "IN-PROGRESS",
    "customParameters": {"token": "abc"},
}
MESSAGES: list[dict[str, object]] = [
    SETUP,
    {"type": "prompt", "voicePrompt": " Who is this? ", "lang": "en-US", "last": True},
    {"type": "prompt", "voicePrompt": "Who", "lang": "en-US", "last": False},
    {"type": "interrupt", "utteranceUntilInterrupt": "Life is a", "durationUntilInterruptMs": "460"},
    {"type": "interrupt", "utteranceUntilInterrupt": "Life is a", "durationUntilInterruptMs": 460},
    {"type": "dtmf", "digit": "1"},
    {"type": "info", "name": "agentSpeaking", "value": "on", "ts": 1},
    {"type": "info", "name": "clientSpeaking", "value": "off", "ts": 2},
    {"type": "info", "name": "tokensPlayed", "value": "Life is"},
    {"type": "info", "name": "roundTripDelayMs", "value": 7},
    {"type": "error", "description": 'Invalid message received: { "foo" : "bar" }'},
    {"type": "configUpdated"},
]


def test_the_documented_messages_are_understood() -> None:
    assert [relay.parse(json.dumps(message)) for message in MESSAGES] == [
        SetUp("VX0", "CA0", {"token": "abc"}),
        Prompt("Who is this?", True),
        Prompt("Who", False),
        Interrupted("Life is a", 0.46),
        Interrupted("Life is a", 0.46),
        RelayKey("1"),
        AgentSpeaking(True),
        CalleeSpeaking(False),
        TextPlayed("Life is"),
        Information(),
        ErrorReported(),
        Information(),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", MalformedReason.NOT_JSON),
        (b"\xff\x00\x80", MalformedReason.NOT_JSON),
        ("[" * 60_000, MalformedReason.NOT_JSON),
        ("[1, 2]", MalformedReason.NOT_AN_OBJECT),
        ("{}", MalformedReason.UNKNOWN_EVENT),
        ('{"type": "party"}', MalformedReason.UNKNOWN_EVENT),
        ('{"type": {"a": 1}}', MalformedReason.UNKNOWN_EVENT),
        ('{"type": "setup"}', MalformedReason.WRONG_FIELD),
        ('{"type": "setup", "sessionId": "", "callSid": "CA0"}', MalformedReason.WRONG_FIELD),
        (json.dumps({**SETUP, "customParameters": {"token": 1}}), MalformedReason.WRONG_FIELD),
        ('{"type": "prompt"}', MalformedReason.WRONG_FIELD),
        ('{"type": "prompt", "voicePrompt": 1}', MalformedReason.WRONG_FIELD),
        ('{"type": "prompt", "voicePrompt": "a", "last": "yes"}', MalformedReason.WRONG_FIELD),
        ('{"type": "interrupt"}', MalformedReason.WRONG_FIELD),
        ('{"type": "dtmf", "digit": "12"}', MalformedReason.WRONG_FIELD),
        (json.dumps({"type": "prompt", "voicePrompt": "x" * MAX_MESSAGE_BYTES}), MalformedReason.TOO_LONG),
    ],
)
def test_a_message_that_is_not_valid_has_a_reason(text: str | bytes, reason: MalformedReason) -> None:
    assert relay.parse(text) == Malformed(reason)


@pytest.mark.parametrize("duration", [None, True, -1, "-1", "1e3", "", "٣", 1e308, float("nan"), 10**30, "9" * 400, []])
def test_a_duration_that_is_none_does_not_spoil_the_interruption(duration: object) -> None:
    message = {"type": "interrupt", "utteranceUntilInterrupt": "Life", "durationUntilInterruptMs": duration}
    assert relay.parse(json.dumps(message)) == Interrupted("Life", None)


def test_an_utterance_of_many_minutes_is_cut() -> None:
    message = relay.parse(json.dumps({"type": "prompt", "voicePrompt": "x" * 30_000, "last": True}))
    assert message == Prompt("x" * relay.MAX_PROMPT_CHARACTERS, True)


def test_our_messages_are_those_that_twilio_documents() -> None:
    spoken = relay.speak("Sí. ", "es-ES", is_last=False, is_interruptible=True, is_preemptible=False)
    assert json.loads(spoken) == {
        "type": "text",
        "token": "Sí. ",
        "lang": "es-ES",
        "last": False,
        "interruptible": True,
        "preemptible": False,
    }
    assert json.loads(relay.end_of_cycle()) == {"type": "text", "token": "", "last": True}
    end = json.loads(relay.end({"reason": "goodbye"}))
    assert (end["type"], json.loads(end["handoffData"])) == ("end", {"reason": "goodbye"})


@pytest.mark.parametrize("seed", range(4))
def test_damaged_messages_raise_nothing(seed: int) -> None:
    generator = random.Random(seed)
    for _ in range(FUZZED_MESSAGES // 4):
        text = json.dumps(_mutated(generator.choice(MESSAGES), generator))
        if generator.random() < 0.5:
            text = _damaged(text, generator)
        assert relay.parse(text if generator.random() < 0.5 else text.encode("utf-8", "surrogatepass")) is not None
