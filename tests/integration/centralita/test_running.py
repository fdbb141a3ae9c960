"""The commands on a running system: see the fixture `campaign`."""

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from nats.aio.client import Client
from nats.errors import TimeoutError as NoAnswer

from centralita.commands.call import SCRIPT, request_call
from contracts import CallRequested, call_id_of
from contracts.examples import EXAMPLES
from contracts.streams import REQUESTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.centralita.conftest import Campaign, Command

pytestmark = pytest.mark.timeout(240)  # the first test waits for a whole campaign

BY_HAND = str(call_id_of("by-hand"))


def test_the_doctor_finds_no_failure_in_a_healthy_system(campaign: "Campaign") -> None:
    ended = campaign.commands["doctor"]
    found = {f"{one['area']}: {one['check']}": one["result"] for one in ended.json()}
    assert ended.code == 0, ended.out
    assert "failed" not in found.values()
    assert found["credentials: Twilio"] == found["credentials: ElevenLabs"] == found["credentials: OpenAI"] == "ok"
    assert found["public address: webhooks"] == found["public address: media"] == "ok"
    assert found["NATS: clock"] == "ok"
    assert found["NATS: consumer orchestrator-facts"] == "ok"


def test_a_call_by_command_is_followed_to_its_end(campaign: "Campaign") -> None:
    ended = campaign.commands["call"]
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[0] == BY_HAND
    assert "call.created" in ended.out
    assert "call.status_changed" in ended.out.splitlines()[-1]


def test_an_invalid_request_is_refused_before_it_is_published(command: "Callable[..., Command]") -> None:
    ended = command("call", "+1212555", environment={"NATS_URL": "nats://127.0.0.1:1"})
    assert ended.code == 2
    assert ended.err.startswith("phone_number: ")
    assert "+1212555" not in ended.err


@pytest.mark.parametrize(
    ("policy", "message"),
    [("{", "--retry-policy: no JSON: "), ('{"busy": {"max_retries": 1}}', "retry_policy.busy.delay_seconds: ")],
)
def test_a_wrong_retry_policy_is_refused_with_its_field(
    command: "Callable[..., Command]", policy: str, message: str
) -> None:
    nowhere = {"NATS_URL": "nats://127.0.0.1:1"}
    ended = command("call", "+12125550177", "--retry-policy", policy, environment=nowhere)
    assert (ended.code, ended.err[: len(message)]) == (2, message)


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ((), {"campaign_id": "by-hand", "script_template": SCRIPT, "language": "en"}),
        (("--campaign", "spring"), {"campaign_id": "spring"}),
        (("--campaign", "spring", "--script", "Hi."), {"campaign_id": "spring", "script_template": "Hi."}),
    ],
)
async def test_a_call_of_a_campaign_leaves_its_script_and_language_to_the_campaign(
    bus_client: Client,
    nats_url: str,
    command: "Callable[..., Command]",
    options: tuple[str, ...],
    given: dict[str, str],
) -> None:
    await asyncio.to_thread(command, "call", "+12125550177", *options, environment={"NATS_URL": nats_url})
    stored = await bus_client.jetstream().get_last_msg(REQUESTS.name, CallRequested.subjects())
    fields = json.loads(stored.data or b"")
    names = ("campaign_id", "script_template", "language")
    assert {name: fields[name] for name in names if name in fields} == given


async def test_a_call_has_the_terms_of_its_options(
    bus_client: Client, nats_url: str, command: "Callable[..., Command]"
) -> None:
    terms = {
        "consent_at": "2026-01-02T10:00:00Z",
        "consent_source": "form 3",
        "company": "Acme",
        "caller_id": "+12125550100",
        "voice": "a-voice",
        "opt_out_key": "#",
        "retention_days": 30,
    }
    options = [f"--{name.replace('_', '-')}={value}" for name, value in terms.items()]
    options[0] = "--consent-at=2026-01-02T10:00:00"
    await asyncio.to_thread(command, "call", "+12125550177", *options, environment={"NATS_URL": nats_url})
    stored = await bus_client.jetstream().get_last_msg(REQUESTS.name, CallRequested.subjects())
    fields = json.loads(stored.data or b"")
    assert {name: fields[name] for name in terms} == terms


async def test_a_request_without_an_answer_is_stored(bus_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("centralita.commands.call.ANSWER_SECONDS", 0.05)
    request = EXAMPLES["call.requested"]
    assert isinstance(request, CallRequested)
    with pytest.raises(NoAnswer):
        await request_call(bus_client, request)
    stored = await bus_client.jetstream().get_last_msg(REQUESTS.name, request.subject)
    assert CallRequested.model_validate_json(stored.data or b"") == request


def test_tail_of_a_call_prints_json_lines_and_ends_with_the_call(campaign: "Campaign") -> None:
    ended = campaign.commands["tail"]
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert ended.code == 0, ended.err
    assert {event["call_id"] for event in lines} == {BY_HAND}
    assert lines[0]["fact"] == "call.created"
    assert lines[-1]["event"]["call"]["ended_at"]
    assert [event["sequence"] for event in lines] == sorted(event["sequence"] for event in lines)


def test_no_command_prints_a_phone_number_by_default(campaign: "Campaign") -> None:
    for name, ended in campaign.commands.items():
        assert "+1212555" not in ended.out + ended.err, name


def test_an_import_into_a_running_system_is_refused(campaign: "Campaign") -> None:
    ended = campaign.commands["import"]
    assert ended.code == 1
    assert "would act on imported messages (voice would dial)" in ended.err


def test_the_log_of_a_running_system_has_no_drift(campaign: "Campaign") -> None:
    ended = campaign.commands["verify"]
    found = ended.json()
    assert ended.code == 0, (found["drifts"] + found["doubts"])[:2]
    assert found["calls"] == 7
    assert found["without_effect"] > 0


def test_documents_are_rebuilt_equal_while_campaign_stats_runs(campaign: "Campaign") -> None:
    ended = campaign.commands["rebuild"]
    assert ended.code == 0, ended.err
    assert ended.json()["is_equal"] is True
    assert ended.json()["is_swapped"] is True
