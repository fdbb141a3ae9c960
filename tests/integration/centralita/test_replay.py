"""Export, import, verification and timelines of the log of a simulated campaign."""

import asyncio
import gzip
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from nats.aio.client import Client
from tests.builders.policies import ANY_TIME_POLICY

from call_orchestrator.domain import machine
from centralita.demo.campaign import CAMPAIGN_ID
from centralita.replay.export_file import ExportWriter, read_messages, validate
from centralita.replay.importing import ImportRefused, import_file
from centralita.replay.manifest import DamagedExport
from centralita.replay.record import export, fold, from_file, from_streams
from centralita.replay.scope import Scope
from centralita.replay.verifying import verify
from chassis.barrier import wait_until_processed
from chassis.event_log import EventLog
from contracts import CallCreated, CampaignDecision, Envelope, Event
from contracts.consumers import VOICE_DIALS
from contracts.examples import EXAMPLES
from contracts.streams import CALLS, REQUESTS
from records.call_ids import call_of
from records.messages import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.centralita.conftest import Campaign, Command

pytestmark = pytest.mark.timeout(240)  # the first test waits for a whole campaign

WHOLE = Scope()


@pytest.fixture
async def exported(log_client: Client, tmp_path: Path) -> Path:
    await export(log_client, tmp_path / "log.jsonl.gz")
    return tmp_path / "log.jsonl.gz"


def imported_content(message: Message) -> tuple[str, str, dict[str, str], bytes]:
    """Returns what an import must preserve of a message."""
    headers = {name: value for name, value in message.headers.items() if not name.startswith("Nats-")}
    return message.stream, message.subject, {**headers, "ce-id": message.identity}, message.body


def envelope_of(message: Message) -> Envelope:
    return Envelope.read(message.headers, id=message.identity, time=message.time)


async def message_counts(client: Client) -> list[int]:
    js = client.jetstream()
    return [(await js.stream_info(stream.name)).state.messages for stream in (CALLS, REQUESTS)]


async def test_an_exported_and_imported_log_is_unchanged(
    exported: Path, log_client: Client, bus_client: Client
) -> None:
    imported = await import_file(bus_client, exported, speed=None)
    target = await from_streams(bus_client, WHOLE)
    source = await from_streams(log_client, WHOLE)
    assert imported.manifest.count == len(source.messages)
    assert fold(target.messages) == fold(source.messages)
    for stream in (CALLS.name, REQUESTS.name):
        expected = [imported_content(message) for message in source.messages if message.stream == stream]
        actual = [imported_content(message) for message in target.messages if message.stream == stream]
        assert [(one[0], one[1], one[3]) for one in actual] == [(one[0], one[1], one[3]) for one in expected]
        assert all(old[2].items() <= new[2].items() for old, new in zip(expected, actual, strict=True))
    stored_at = {one.identity: one.time for one in source.messages}
    assert {one.identity: envelope_of(one).time for one in source.messages} == stored_at
    assert {one.identity: envelope_of(one).time for one in target.messages} == stored_at


async def test_an_imported_log_has_no_drift(exported: Path, bus_client: Client) -> None:
    await import_file(bus_client, exported, speed=None)
    result = await verify(await from_streams(bus_client, WHOLE), calling_policy=ANY_TIME_POLICY)
    assert result.drifts == ()
    assert result.decisions > 30


async def test_an_export_contains_every_event_and_no_schedule(exported: Path, log_client: Client) -> None:
    manifest = validate(exported)
    subjects = [message.subject for message in read_messages(exported)]
    assert not [subject for subject in subjects if subject.startswith("timer.set")]
    assert [subject for subject in subjects if subject.startswith("timer.due.")]
    assert manifest.acknowledged[CALLS.name] > 0
    assert len([subject for subject in subjects if subject.startswith("call.created.")]) == 7
    assert REQUESTS.name not in manifest.streams, "the requests were in clear, so they are erased"


async def test_an_export_of_a_call_contains_all_its_messages_and_no_others(
    log_client: Client, campaign: "Campaign", tmp_path: Path
) -> None:
    call_id = campaign.ids[0]
    await export(log_client, tmp_path / "call.gz", Scope(call_id=call_id))
    record = from_file(tmp_path / "call.gz", WHOLE)
    whole = await from_streams(log_client, WHOLE)
    assert [m for m in whole.messages if call_of(m) == str(call_id)] == sorted(
        record.messages, key=lambda m: (m.stream != REQUESTS.name, m.sequence)
    )
    assert (await verify(record, calling_policy=ANY_TIME_POLICY)).drifts == ()


async def test_an_export_of_a_campaign_contains_no_other_calls(log_client: Client, tmp_path: Path) -> None:
    await export(log_client, tmp_path / "campaign.gz", Scope(campaign_id=CAMPAIGN_ID))
    calls = fold(read_messages(tmp_path / "campaign.gz"))
    assert len(calls) == 6
    assert {call.campaign_id for call in calls.values()} == {CAMPAIGN_ID}


def about(event: Event, campaign_id: str) -> Event:
    """The same event about another campaign."""
    if isinstance(event, CampaignDecision):
        campaign = event.campaign.model_copy(update={"campaign_id": campaign_id})
        return event.model_copy(update={"campaign": campaign})
    return event.model_copy(update={"campaign_id": campaign_id})


async def test_an_export_of_a_campaign_contains_its_pauses_and_they_are_not_drifts(
    exported: Path, bus_client: Client, tmp_path: Path
) -> None:
    await import_file(bus_client, exported, speed=None)
    names = [name for name in EXAMPLES if name.startswith("campaign.")]
    for campaign_id in (CAMPAIGN_ID, "another"):
        for name in names:
            event = about(EXAMPLES[name], campaign_id)
            await bus_client.jetstream().publish(event.subject, event.model_dump_json().encode())
    await export(bus_client, tmp_path / "campaign.gz", Scope(campaign_id=CAMPAIGN_ID))
    record = from_file(tmp_path / "campaign.gz", WHOLE)
    subjects = [message.subject for message in record.messages if message.subject.startswith("campaign.")]
    assert sorted(subjects) == sorted(f"{name}.{CAMPAIGN_ID}" for name in names)
    result = await verify(record, calling_policy=ANY_TIME_POLICY)
    assert (result.calls, result.drifts, result.doubts) == (6, (), ())


async def test_calls_that_a_time_range_contains_only_in_part_are_not_judged(exported: Path) -> None:
    whole = from_file(exported, WHOLE)
    middle = whole.messages[len(whole.messages) // 2].time
    for time_range in (Scope(since=middle), Scope(until=middle)):
        part = from_file(exported, time_range)
        assert 0 < len(part.messages) < len(whole.messages)
        assert (await verify(part, calling_policy=ANY_TIME_POLICY)).drifts == ()


async def test_a_damaged_export_leaves_the_target_unchanged(exported: Path, bus_client: Client) -> None:
    with gzip.open(exported) as file:
        lines = file.readlines()
    lines[40] = lines[40].replace(b'"subject"', b'"sabject"')
    exported.write_bytes(gzip.compress(b"".join(lines)))
    with pytest.raises(DamagedExport, match="line 41: its check is wrong"):
        await import_file(bus_client, exported, speed=None)
    assert await message_counts(bus_client) == [0, 0]


async def test_a_target_with_messages_is_refused_without_into_existing(exported: Path, bus_client: Client) -> None:
    await EventLog(bus_client, CALLS.name, source="test").append(EXAMPLES["dial.claimed"])
    with pytest.raises(ImportRefused, match="contains 1 messages; give --into-existing"):
        await import_file(bus_client, exported, speed=None)
    assert await message_counts(bus_client) == [1, 0]
    imported = await import_file(bus_client, exported, speed=None, into_existing=True)
    assert sum(await message_counts(bus_client)) == imported.manifest.count + 1


async def test_a_target_with_a_subscribed_dialer_is_refused_without_force(exported: Path, bus_client: Client) -> None:
    subscription = await bus_client.subscribe(VOICE_DIALS.deliver_subject, queue=VOICE_DIALS.name)
    await wait_until_processed(bus_client)
    with pytest.raises(ImportRefused, match="a service subscribes to voice-dials"):
        await import_file(bus_client, exported, speed=None)
    assert await message_counts(bus_client) == [0, 0]
    await import_file(bus_client, exported, speed=None, force=True)
    assert (await subscription.next_msg(timeout=60)).subject.startswith("call.status_changed.")


async def test_an_import_publishes_at_the_given_speed(exported: Path, bus_client: Client) -> None:
    """At a hundredth of the recorded speed the import takes minutes, so it is not finished after its first message."""
    sizes: list[int] = []
    import_task = asyncio.create_task(
        import_file(bus_client, exported, speed=0.01, progress=lambda _, done, __: sizes.append(done))
    )
    while not sizes:
        await asyncio.sleep(0.01)
    stored = sum(await message_counts(bus_client))
    import_task.cancel()
    await asyncio.wait([import_task])
    assert stored < validate(exported).count


async def test_a_changed_rule_is_reported_at_its_first_decision(
    log_client: Client, campaign: "Campaign", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "ANSWER_MARGIN", timedelta(seconds=21))
    record = await from_streams(log_client, WHOLE)
    first, *others = (await verify(record, calling_policy=ANY_TIME_POLICY)).drifts
    assert first.sequence == min(drift.sequence for drift in (first, *others))
    dialing = next(m for m in record.messages if m.sequence == first.sequence and m.stream == CALLS.name)
    assert dialing.subject == f"call.status_changed.{first.call_id}.dialing"
    assert [name for name, _, _ in first.differences] == ["call.deadline_at"]


def test_a_drift_is_shown_as_a_diff_with_exit_code_one(
    campaign: "Campaign", command: "Callable[..., Command]", tmp_path: Path
) -> None:
    file, other = tmp_path / "log.gz", tmp_path / "other.gz"
    assert command("replay", "export", file, environment={"NATS_URL": campaign.nats_url}).code == 0
    verified = command("replay", "verify", "--file", file)
    assert verified.code == 0, verified.out
    manifest = validate(file)
    with ExportWriter(other) as writer:
        for message in read_messages(file):
            changed = message.body.replace(b'"reason":"answered"', b'"reason":"hung up"')
            writer.write(replace(message, body=changed if message.subject.endswith(".completed") else message.body))
        writer.close(manifest.scope, manifest.acknowledged, manifest.dead_letters)
    drifted = command("replay", "verify", "--file", other)
    assert drifted.code == 1
    assert "- reason: hung up" in drifted.out
    assert "+ reason: answered" in drifted.out


def test_a_call_is_shown_as_it_was_at_a_sequence(campaign: "Campaign", command: "Callable[..., Command]") -> None:
    here = {"NATS_URL": campaign.nats_url}
    whole = command("replay", "show", "replayed-00", "--json", environment=here).json()
    dialing = next(one for one in whole["timeline"] if one["text"].startswith("pending → dialing"))
    then = command("replay", "show", campaign.ids[0], "--at", str(dialing["sequence"]), "--json", environment=here)
    assert then.json()["call"]["status"] == "dialing"
    assert then.json()["call"]["deadline_at"]
    assert then.json()["conversation"] == [], "the greeting is not played yet"
    assert whole["call"]["status"] == "completed"
    assert len(whole["conversation"]) > 2
    shown = command("replay", "show", "replayed-00", environment=here)
    assert "state" in shown.out


def test_an_unknown_call_is_reported(campaign: "Campaign", command: "Callable[..., Command]") -> None:
    shown = command("replay", "show", "unknown", environment={"NATS_URL": campaign.nats_url})
    assert (shown.code, shown.err.strip()) == (1, "there is no such call")


def test_a_server_that_does_not_answer_ends_a_command_with_exit_code_three(command: "Callable[..., Command]") -> None:
    verified = command("replay", "verify", environment={"NATS_URL": "nats://127.0.0.1:1"})
    assert verified.code == 3
    assert "Traceback" not in verified.err


def test_the_manifest_is_the_first_line_of_the_file(exported: Path) -> None:
    with gzip.open(exported) as file:
        manifest = json.loads(file.readline())
        first = json.loads(file.readline())
    assert manifest["format"] == "centralita-replay"
    assert first["subject"].startswith(f"{CallCreated.event_name}.")
