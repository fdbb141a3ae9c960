"""The commands, on the system while it runs: see the fixture `campaign`."""

import json
from typing import TYPE_CHECKING

import pytest
from nats.aio.client import Client
from nats.errors import TimeoutError as NoAnswer

from centralita.commands.call import ask
from contracts import CallRequested, call_id_of
from contracts.examples import EXAMPLES
from contracts.streams import REQUESTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.centralita.conftest import Campaign, Command

pytestmark = pytest.mark.timeout(240)  # the first of them waits for a whole campaign

BY_HAND = str(call_id_of("by-hand"))


def test_a_healthy_system_has_nothing_for_the_doctor_to_do(campaign: "Campaign") -> None:
    said = campaign.commands["doctor"]
    found = {f"{one['area']}: {one['check']}": one["result"] for one in said.json()}
    assert said.code == 0, said.out
    assert "failed" not in found.values()
    assert found["credentials: Twilio"] == found["credentials: ElevenLabs"] == found["credentials: OpenAI"] == "ok"
    assert found["public address: webhooks"] == found["public address: media"] == "ok"
    assert found["NATS: clock"] == "ok"
    assert found["NATS: consumer orchestrator-facts"] == "ok"


def test_a_call_by_hand_is_followed_to_its_end(campaign: "Campaign") -> None:
    said = campaign.commands["call"]
    assert said.code == 0, said.err
    assert said.out.splitlines()[0] == BY_HAND
    assert "call.created" in said.out
    assert "call.status_changed" in said.out.splitlines()[-1]


def test_a_request_that_makes_no_sense_is_refused_before_it_is_sent(command: "Callable[..., Command]") -> None:
    said = command("call", "+1212555", environment={"NATS_URL": "nats://127.0.0.1:1"})
    assert said.code == 2
    assert said.err.startswith("phone_number: ")
    assert "+1212555" not in said.err


async def test_a_request_that_nobody_answers_is_stored_all_the_same(
    bus_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("centralita.commands.call.ANSWER_SECONDS", 0.05)
    request = EXAMPLES["call.requested"]
    assert isinstance(request, CallRequested)
    with pytest.raises(NoAnswer):
        await ask(bus_client, request)
    stored = await bus_client.jetstream().get_last_msg(REQUESTS.name, request.subject)
    assert CallRequested.model_validate_json(stored.data or b"") == request


def test_tail_of_a_call_ends_with_the_call_and_is_a_json_object_a_line(campaign: "Campaign") -> None:
    said = campaign.commands["tail"]
    facts = [json.loads(line) for line in said.out.splitlines()]
    assert said.code == 0, said.err
    assert {fact["call_id"] for fact in facts} == {BY_HAND}
    assert facts[0]["fact"] == "call.created"
    assert facts[-1]["event"]["call"]["ended_at"]
    assert [fact["sequence"] for fact in facts] == sorted(fact["sequence"] for fact in facts)


def test_no_command_prints_a_phone_number_unasked(campaign: "Campaign") -> None:
    for name, said in campaign.commands.items():
        assert "+1212555" not in said.out + said.err, name


def test_an_import_where_services_listen_is_refused(campaign: "Campaign") -> None:
    said = campaign.commands["import"]
    assert said.code == 1
    assert "it would act on what is imported (voice would dial)" in said.err


def test_the_log_of_a_running_system_is_verified(campaign: "Campaign") -> None:
    said = campaign.commands["verify"]
    found = said.json()
    assert said.code == 0, (found["drifts"] + found["doubts"])[:2]
    assert found["calls"] == 7
    assert found["without_effect"] > 7


def test_documents_are_rebuilt_equal_while_campaign_stats_goes_on(campaign: "Campaign") -> None:
    said = campaign.commands["rebuild"]
    assert said.code == 0, said.err
    assert said.json()["equal"] is True
    assert said.json()["swapped"] is True
