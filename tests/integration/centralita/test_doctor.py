"""The doctor names each problem and its remedy."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import nats
import pytest
from nats.aio.client import Client
from tests.builders.secret_keys import TEST_KEYS

from centralita.commands.doctor import examine
from centralita.embedded.servers import restartable_nats_server
from centralita.operations.doctor import bus
from centralita.operations.doctor.limits import HEADER_ALLOWANCE_BYTES, check_payload
from centralita.operations.doctor.public import STATUS_PATH, signature
from chassis.findings import Finding, Result
from chassis.provision import consumer_config
from contracts.consumers import CONVERSATION_TURNS, VOICE_DIALS, VOICE_SETTLEMENTS
from contracts.instants import MAX_SCHEDULE_AHEAD
from contracts.script import MAX_SCRIPT_BYTES
from contracts.streams import CALLS
from contracts.texts import MAX_VALUE_CHARACTERS
from edge.entrypoints.body_limit import MAX_BODY_BYTES, MAX_WEBHOOK_BYTES
from edge.entrypoints.webhooks import MAX_FIELDS
from simulators.server import DEFAULT_ACCOUNT_SID, DEFAULT_AUTH_TOKEN, Simulators, running

NAMES = (
    "ALLOWED",
    "MAX_",
    "TWILIO",
    "ELEVENLABS",
    "OPENAI",
    "APP_BASE",
    "MEDIA_BASE",
    "API_KEYS",
    "MONGO",
    "NATS",
    "EMBEDDED",
)


@pytest.fixture
async def vendors() -> AsyncIterator[Simulators]:
    async with running(elevenlabs_api_key="good", openai_api_key="good") as simulators:
        yield simulators


@pytest.fixture
def settings(vendors: Simulators, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Complete settings for the simulators, without those of this machine's environment."""
    for name in [name for name in os.environ if name.startswith(NAMES)]:
        monkeypatch.delenv(name)
    return {
        "TWILIO_ACCOUNT_SID": DEFAULT_ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": DEFAULT_AUTH_TOKEN,
        "TWILIO_PHONE_NUMBER": "+12125550100",
        "TWILIO_BASE_URL": vendors.twilio_url,
        "ELEVENLABS_API_KEY": "good",
        "ELEVENLABS_BASE_URL": vendors.elevenlabs_url,
        "OPENAI_API_KEY": "good",
        "OPENAI_BASE_URL": vendors.openai_url,
        "APP_BASE_URL": vendors.twilio_url,
        "API_KEYS": f"desk:read+call:{'0' * 64}",
        "MONGO_URL": "mongodb://127.0.0.1:1",
        **TEST_KEYS,
    }


async def findings(nats_url: str, settings: dict[str, str], folder: Path) -> dict[str, Finding]:
    file = folder / "settings.env"
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return {f"{one.area}: {one.check}": one for one in await examine(nats_url, file)}


async def test_the_limits_are_shown(
    bus_client: Client, nats_url: str, settings: dict[str, str], tmp_path: Path
) -> None:
    found = await findings(nats_url, settings, tmp_path)
    assert found["limits: countries"].found.startswith("US (the country of TWILIO_PHONE_NUMBER)")
    assert found["limits: dials per API key"].found == "10000 a day (UTC) (MAX_DIALS_PER_KEY_PER_DAY)"
    assert found["limits: API keys"].found == "1, of which 0 limited to campaigns"
    assert found["limits: webhook"].found == f"{MAX_WEBHOOK_BYTES} bytes, {MAX_FIELDS} fields"
    assert found["limits: REST request"].found == f"{MAX_BODY_BYTES} bytes"
    assert found["limits: variables"].found.startswith(f"one line of {MAX_VALUE_CHARACTERS} characters")
    assert found["limits: script"].found.startswith(f"{MAX_SCRIPT_BYTES} bytes")
    assert found["limits: scheduled_at"].found == f"{MAX_SCHEDULE_AHEAD.days} days ahead"
    assert found["limits: wait of a call"].found.startswith("1440 minutes")
    assert found["limits: dial rate"].found.startswith("1 a second")
    assert {finding.result for name, finding in found.items() if name.startswith("limits: ")} == {Result.OK}


async def test_a_server_that_accepts_less_than_the_edge_is_found(tmp_path: Path) -> None:
    with restartable_nats_server(tmp_path) as server:
        server.kill()
        (tmp_path / "small.conf").write_text("max_payload: 500000")
        server.command = [*server.command, "-c", str(tmp_path / "small.conf")]
        await asyncio.to_thread(server.start)
        client = await nats.connect(server.url)
        finding = check_payload(client)
        await client.close()
    assert finding.result is Result.FAILED
    assert finding.found == f"the server accepts 500000 bytes, {MAX_BODY_BYTES + HEADER_ALLOWANCE_BYTES} are needed"


async def test_a_missing_limit_is_a_warning(
    bus_client: Client, nats_url: str, settings: dict[str, str], tmp_path: Path
) -> None:
    unlimited = {"MAX_DIALS_PER_KEY_PER_DAY": "0", "ALLOWED_COUNTRIES": "es,US"}
    found = await findings(nats_url, {**settings, **unlimited}, tmp_path)
    assert found["limits: dials per API key"].result is Result.WARNING
    assert found["limits: countries"].found.startswith("ES, US (ALLOWED_COUNTRIES)")


async def test_valid_credentials_are_ok(
    bus_client: Client, nats_url: str, settings: dict[str, str], tmp_path: Path
) -> None:
    found = await findings(nats_url, settings, tmp_path)
    for vendor in ("Twilio", "ElevenLabs", "OpenAI"):
        assert found[f"credentials: {vendor}"].result is Result.OK, found[f"credentials: {vendor}"]
    assert found["settings: voice"].result is Result.OK
    assert found[f"NATS: stream {CALLS.name}"].result is Result.OK


@pytest.mark.parametrize(
    ("name", "check", "advice"),
    [
        ("TWILIO_AUTH_TOKEN", "Twilio", "TWILIO_AUTH_TOKEN again"),
        ("ELEVENLABS_API_KEY", "ElevenLabs", "ELEVENLABS_API_KEY"),
        ("OPENAI_API_KEY", "OpenAI", "OPENAI_API_KEY"),
    ],
)
async def test_a_wrong_credential_is_found_and_not_printed(
    bus_client: Client, nats_url: str, settings: dict[str, str], tmp_path: Path, name: str, check: str, advice: str
) -> None:
    found = await findings(nats_url, {**settings, name: "a-wrong-secret"}, tmp_path)
    finding = found[f"credentials: {check}"]
    assert finding.result is Result.FAILED
    assert advice in finding.advice
    assert "a-wrong-secret" not in str(found)


async def test_a_vendor_that_does_not_answer_is_found(
    bus_client: Client, nats_url: str, settings: dict[str, str], tmp_path: Path
) -> None:
    found = await findings(nats_url, {**settings, "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}, tmp_path)
    assert "no answer (ConnectError)" in found["credentials: OpenAI"].found
    assert "127.0.0.1:1" in found["credentials: OpenAI"].advice


async def test_a_model_without_access_is_found(
    bus_client: Client, nats_url: str, settings: dict[str, str], tmp_path: Path
) -> None:
    found = await findings(nats_url, {**settings, "OPENAI_MODEL": "gpt-0"}, tmp_path)
    assert "gives no access to the model gpt-0" in found["credentials: OpenAI"].found


async def test_a_missing_setting_is_named_and_dependent_checks_are_skipped(
    bus_client: Client, nats_url: str, settings: dict[str, str], tmp_path: Path
) -> None:
    del settings["TWILIO_AUTH_TOKEN"]
    found = await findings(nats_url, settings, tmp_path)
    assert found["settings: voice: TWILIO_AUTH_TOKEN"].result is Result.FAILED
    assert found["credentials: Twilio"].result is Result.SKIPPED
    assert found["public address: webhooks"].result is Result.SKIPPED
    assert found["credentials: OpenAI"].result is Result.OK


async def test_settings_that_compose_sets_itself_may_be_missing_from_its_file(
    bus_client: Client, nats_url: str, settings: dict[str, str], tmp_path: Path
) -> None:
    del settings["MONGO_URL"]
    found = await findings(nats_url, settings, tmp_path)
    assert found["settings: campaign_stats: MONGO_URL"].result is Result.FAILED
    found = await findings(nats_url, {**settings, "NATS_PASSWORD_VOICE": "made-up"}, tmp_path)
    assert found["settings: campaign_stats: MONGO_URL"].result is Result.SKIPPED


async def test_a_public_address_of_another_server_is_found(
    bus_client: Client, nats_url: str, settings: dict[str, str], tmp_path: Path
) -> None:
    found = await findings(nats_url, settings, tmp_path)
    assert "this is not the edge" in found["public address: webhooks"].found
    assert "this is not voice" in found["public address: media"].found
    assert found["public address: APP_BASE_URL"].result is Result.WARNING
    unreachable = await findings(nats_url, {**settings, "APP_BASE_URL": "http://127.0.0.1:1"}, tmp_path)
    assert "check that the name resolves" in unreachable["public address: webhooks"].advice


async def test_a_nats_server_that_does_not_answer_is_found(settings: dict[str, str], tmp_path: Path) -> None:
    found = await findings("nats://127.0.0.1:1", settings, tmp_path)
    assert found["NATS: connection"].result is Result.FAILED


async def test_differences_between_contracts_and_server_are_found(bus_client: Client) -> None:
    js = bus_client.jetstream()
    await js.delete_consumer(CALLS.name, VOICE_DIALS.name)
    settlements = replace(consumer_config(VOICE_SETTLEMENTS), max_ack_pending=256)
    await js.add_consumer(CALLS.name, config=settlements)
    await js.add_consumer(CALLS.name, config=replace(consumer_config(CONVERSATION_TURNS), ack_wait=7))
    await js.delete_stream("DEAD_LETTERS")
    await js.add_stream(name="DEAD_LETTERS", subjects=["dead.>"])
    found = {one.check: one for one in await bus.check(bus_client)}
    assert found["consumer voice-dials"].found == "consumer not found"
    assert found["consumer voice-settlements"].found.startswith("max_ack_pending is 256, not 10000")
    assert found["consumer conversation-turns"].found.startswith(
        f"ack_wait is 7 s, not {CONVERSATION_TURNS.ack_wait} s"
    )
    assert found["stream DEAD_LETTERS"].found.startswith("its subjects differ from the contracts; max_bytes is")
    assert found["consumer voice-hangups"].result is Result.WARNING, "no service subscribes"
    assert {found[name].result for name in ("connection", "clock", "stream CALLS")} == {Result.OK}


def test_the_webhook_request_has_the_signature_of_twilio() -> None:
    from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

    url = "https://calls.example.com" + STATUS_PATH
    assert RequestValidator("token").validate(url, {}, signature("token", url))


async def test_the_checks_place_no_call(
    bus_client: Client, nats_url: str, settings: dict[str, str], vendors: Simulators, tmp_path: Path
) -> None:
    await findings(nats_url, settings, tmp_path)
    async with httpx.AsyncClient(timeout=60) as http:
        ledger = (await http.get(f"{vendors.twilio_url}/_simulator/ledger")).json()
    assert ledger["calls"] == []


async def test_each_number_that_calls_is_checked(
    bus_client: Client, nats_url: str, settings: dict[str, str], tmp_path: Path
) -> None:
    found = await findings(nats_url, settings | {"CALLER_IDS": "+12125550101"}, tmp_path)
    assert {"credentials: Twilio: TWILIO_PHONE_NUMBER", "credentials: Twilio: CALLER_IDS"} <= set(found)
