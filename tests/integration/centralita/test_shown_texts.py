"""`tail` and `replay show` read sealed texts with the master key."""

import json
from base64 import b64encode
from collections.abc import Callable

import pytest
from nats.aio.client import Client
from tests.builders.calls import a_call
from tests.builders.events import call_created, status_changed
from tests.builders.secret_keys import TEST_KEYS
from tests.integration.centralita.conftest import Command

from chassis.event_log import EventLog
from contracts import CallStatus, SpeechHeard

WORDS = "My doctor is called Ferrán"
CALL = a_call(number_digest="ab" * 16, request_id="shown", variables={"name": "Ana"})
RunCommand = Callable[..., Command]
TAIL = ("tail", "--call", "shown", "--past", "--json")
SHOW = ("replay", "show", "shown", "--json", "--show-numbers")
WITH_KEY = {"MASTER_KEY": TEST_KEYS["MASTER_KEY"]}


@pytest.fixture(autouse=True)
async def ended_call(calls: EventLog) -> None:
    """Appends a call in which the callee said `WORDS`."""
    created = await calls.append(call_created(CALL))
    heard = SpeechHeard(call_id=CALL.call_id, attempt=1, turn=1, text=WORDS, language="es")
    await calls.append(heard, cause=created.envelope)
    await calls.append(status_changed(CALL.model_copy(update={"status": CallStatus.COMPLETED, "attempt": 1})))


@pytest.mark.parametrize(("keys", "expected"), [(WITH_KEY, WORDS), ({}, "[sealed]")])
def test_the_timeline_has_the_texts_if_the_master_key_is_given(
    nats_url: str, command: RunCommand, keys: dict[str, str], expected: str
) -> None:
    shown = command(*SHOW, environment={"NATS_URL": nats_url, **keys})
    assert shown.code == 0, shown.err
    assert [line["text"] for line in shown.json()["conversation"]] == [expected]
    assert shown.json()["call"]["phone_number"] == (CALL.phone_number if keys else "[sealed]")


@pytest.mark.parametrize(("keys", "expected"), [(WITH_KEY, WORDS), ({}, "[sealed]")])
def test_a_follower_sees_the_texts_if_the_master_key_is_given(
    nats_url: str, command: RunCommand, keys: dict[str, str], expected: str
) -> None:
    shown = command(*TAIL, environment={"NATS_URL": nats_url, **keys})
    assert shown.code == 0, shown.err
    events = [json.loads(line) for line in shown.out.splitlines()]
    assert [one["event"]["text"] for one in events if one["fact"] == "speech.heard"] == [expected]


@pytest.mark.parametrize("line", [TAIL, SHOW])
def test_another_master_key_is_refused(nats_url: str, command: RunCommand, line: tuple[str, ...]) -> None:
    other = b64encode(bytes([9]) * 32).decode()
    shown = command(*line, environment={"NATS_URL": nats_url, "MASTER_KEY": other})
    assert (shown.code, shown.out) == (2, "")
    assert "MASTER_KEY: the stored keys were wrapped under another" in shown.err
    wrong = command(*line, environment={"NATS_URL": nats_url, "MASTER_KEY": "short"})
    assert (wrong.code, "MASTER_KEY: not 32 bytes" in wrong.err) == (2, True), wrong.err


async def test_a_destroyed_key_is_shown_as_erased(nats_url: str, bus_client: Client, command: RunCommand) -> None:
    await bus_client.jetstream().publish(f"key.{CALL.number_digest}", b"")
    shown = command(*SHOW, environment={"NATS_URL": nats_url, **WITH_KEY})
    assert [line["text"] for line in shown.json()["conversation"]] == ["[erased]"]
