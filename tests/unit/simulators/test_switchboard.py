"""A simulated switchboard, the keys that it hears, and what the simulated agent does about both."""

import random

import pytest

from simulators.mu_law import FRAME_BYTES
from simulators.openai.agent_actions import act
from simulators.openai.requests import Function
from simulators.twilio.callee_phrases import CONNECTED, MENU
from simulators.twilio.callee_sounds import CalleeSettings
from simulators.twilio.callees import Behaviour, Callee
from simulators.twilio.key_tones import KeyToneDetector
from voice.domain.live.tones import tones_of

TOOLS = {name: Function(name=name) for name in ("send_digits", "schedule_callback")}
NOW = "It is Monday 2026-11-30T10:30-05:00 where the person is."


def switchboard(**settings: object) -> Callee:
    return Callee(Behaviour.SWITCHBOARD, random.Random("board"), settings=CalleeSettings.model_validate(settings))


def said(callee: Callee) -> str | None:
    utterance = callee.next_utterance("en")
    return utterance.text if utterance else None


def test_a_switchboard_reads_its_menu_until_one_of_its_keys_is_pressed() -> None:
    callee = switchboard(phrases=("Appointments.", "Thank you."))
    assert said(callee) == MENU["en"]
    assert not callee.receive_key("7")
    assert said(callee) == MENU["en"]
    assert callee.receive_key("2")
    assert not callee.receive_key("2"), "it is connected"
    assert said(callee) == CONNECTED["en"]
    assert (said(callee), said(callee)) == ("Thank you.", None)


def test_a_switchboard_does_not_read_the_menu_that_a_key_has_prevented() -> None:
    callee = switchboard(phrases=("Appointments.", "Thank you."))
    utterance = callee.next_utterance("en")
    assert utterance
    callee.keep_unspoken(utterance)
    assert callee.receive_key("2")
    assert said(callee) == CONNECTED["en"]


def test_other_callees_hear_no_keys() -> None:
    assert not Callee(Behaviour.HUMAN, random.Random("human")).receive_key("2")


def test_keys_are_recognized_in_the_frames_of_their_tones_whatever_comes_before() -> None:
    detector, audio = KeyToneDetector(), b"\xff" * 90 + tones_of("1w10#")
    frames = [audio[start : start + FRAME_BYTES] for start in range(0, len(audio), FRAME_BYTES)]
    assert "".join(map(detector.feed, [None, *frames])) == "110#"


@pytest.mark.parametrize(
    ("utterance", "arguments"),
    [
        ("Welcome. For appointments, press two.", {"digits": "2"}),
        ("Para citas, marque dos.", {"digits": "2"}),
        ("Press any key.", None),
        ("Please call me back tomorrow at noon.", {"local_time": "2026-12-01T12:00:00"}),
        ("Llámeme en 5 minutos.", {"local_time": "2026-11-30T10:35:00"}),
        ("Please stop calling me.", None),
    ],
)
def test_the_agent_presses_keys_and_schedules_calls(utterance: str, arguments: dict[str, str] | None) -> None:
    action = act(TOOLS, utterance, NOW)
    found = {name: value for name, value in action.arguments.items() if name != "reason"} if action else None
    assert found == arguments
    assert act({}, utterance, NOW) is None
