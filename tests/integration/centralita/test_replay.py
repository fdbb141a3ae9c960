"""Export, import, verify and show, on the log of a real campaign."""

import asyncio
import gzip
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from nats.aio.client import Client

from call_orchestrator.domain import machine
from centralita.demo.campaign import CAMPAIGN_ID
from centralita.replay.exporting import export
from centralita.replay.files import Writer, messages, validated
from centralita.replay.folding import fold
from centralita.replay.importing import Refused, import_file
from centralita.replay.manifest import Damaged
from centralita.replay.messages import Message
from centralita.replay.scope import Scope, call_of
from centralita.replay.sources import from_file, from_streams
from centralita.replay.verifying import verify
from chassis.barrier import wait_until_processed
from chassis.event_log import EventLog
from contracts import CallRequested
from contracts.examples import EXAMPLES
from contracts.streams import CALLS, REQUESTS, VOICE_DIALS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.centralita.conftest import Campaign, Command

pytestmark = pytest.mark.timeout(240)  # the first of them waits for a whole campaign

WHOLE = Scope()


@pytest.fixture
async def exported(log_client: Client, tmp_path: Path) -> Path:
    await export(log_client, tmp_path / "log.jsonl.gz")
    return tmp_path / "log.jsonl.gz"


def kept(message: Message) -> tuple[str, str, dict[str, str], bytes]:
    """What an import must keep of a message."""
    headers = {name: value for name, value in message.headers.items() if not name.startswith("Nats-")}
    return message.stream, message.subject, {**headers, "ce-id": message.identity}, message.body


async def counts(client: Client) -> list[int]:
    js = client.jetstream()
    return [(await js.stream_info(stream.name)).state.messages for stream in (CALLS, REQUESTS)]


async def test_what_is_exported_and_imported_is_the_same_log(
    exported: Path, log_client: Client, bus_client: Client
) -> None:
    done = await import_file(bus_client, exported, speed=None)
    there = await from_streams(bus_client, WHOLE)
    here = await from_streams(log_client, WHOLE)
    assert done.manifest.count == len(here.messages)
    assert fold(there.messages) == fold(here.messages)
    for stream in (CALLS.name, REQUESTS.name):
        then = [kept(message) for message in here.messages if message.stream == stream]
        now = [kept(message) for message in there.messages if message.stream == stream]
        assert [(one[0], one[1], one[3]) for one in now] == [(one[0], one[1], one[3]) for one in then]
        assert all(was[2].items() <= is_[2].items() for was, is_ in zip(then, now, strict=True))


async def test_an_imported_log_is_verified_too(exported: Path, bus_client: Client) -> None:
    await import_file(bus_client, exported, speed=None)
    found = await verify(await from_streams(bus_client, WHOLE))
    assert found.drifts == ()
    assert found.decisions > 30


async def test_an_export_holds_no_schedules_and_every_fact(exported: Path, log_client: Client) -> None:
    manifest = validated(exported)
    subjects = [message.subject for message in messages(exported)]
    assert not [subject for subject in subjects if subject.startswith("timer.set.")]
    assert [subject for subject in subjects if subject.startswith("timer.due.")]
    assert manifest.handled[CALLS.name] > 0
    assert subjects.count("call.requested") == manifest.streams[REQUESTS.name].count == 7


async def test_an_export_of_a_call_holds_all_of_it_and_nothing_else(
    log_client: Client, campaign: "Campaign", tmp_path: Path
) -> None:
    call_id = campaign.ids[0]
    await export(log_client, tmp_path / "call.gz", Scope(call_id=call_id))
    record = from_file(tmp_path / "call.gz", WHOLE)
    whole = await from_streams(log_client, WHOLE)
    assert [m for m in whole.messages if call_of(m) == str(call_id)] == sorted(
        record.messages, key=lambda m: (m.stream != REQUESTS.name, m.sequence)
    )
    assert (await verify(record)).drifts == ()


async def test_an_export_of_a_campaign_leaves_out_the_others(log_client: Client, tmp_path: Path) -> None:
    await export(log_client, tmp_path / "campaign.gz", Scope(campaign_id=CAMPAIGN_ID))
    calls = fold(messages(tmp_path / "campaign.gz"))
    assert len(calls) == 6
    assert {call.campaign_id for call in calls.values()} == {CAMPAIGN_ID}


async def test_an_export_of_a_campaign_holds_its_pauses_and_they_are_nobodys_drift(
    exported: Path, bus_client: Client, tmp_path: Path
) -> None:
    await import_file(bus_client, exported, speed=None)
    own = [fact for fact in EXAMPLES if fact.startswith("campaign.")]
    for campaign_id in (CAMPAIGN_ID, "another"):
        for fact in own:
            said = EXAMPLES[fact].model_copy(update={"campaign_id": campaign_id})
            await bus_client.jetstream().publish(said.subject, said.model_dump_json().encode())
    await export(bus_client, tmp_path / "campaign.gz", Scope(campaign_id=CAMPAIGN_ID))
    record = from_file(tmp_path / "campaign.gz", WHOLE)
    subjects = [message.subject for message in record.messages if message.subject.startswith("campaign.")]
    assert sorted(subjects) == sorted(f"{fact}.{CAMPAIGN_ID}" for fact in own)
    found = await verify(record)
    assert (found.calls, found.drifts, found.doubts) == (6, (), ())


async def test_of_a_span_of_time_what_it_does_not_hold_whole_is_not_judged(exported: Path) -> None:
    whole = from_file(exported, WHOLE)
    middle = whole.messages[len(whole.messages) // 2].time
    for span in (Scope(since=middle), Scope(until=middle)):
        part = from_file(exported, span)
        assert 0 < len(part.messages) < len(whole.messages)
        assert (await verify(part)).drifts == ()


async def test_a_damaged_export_leaves_the_target_untouched(exported: Path, bus_client: Client) -> None:
    with gzip.open(exported) as file:
        lines = file.readlines()
    lines[40] = lines[40].replace(b'"subject"', b'"sabject"')
    exported.write_bytes(gzip.compress(b"".join(lines)))
    with pytest.raises(Damaged, match="line 41: its check does not fit"):
        await import_file(bus_client, exported, speed=None)
    assert await counts(bus_client) == [0, 0]


async def test_a_target_that_holds_something_is_refused_unless_it_is_wanted(exported: Path, bus_client: Client) -> None:
    await EventLog(bus_client, CALLS.name, source="test").append(EXAMPLES["dial.claimed"])
    with pytest.raises(Refused, match="holds 1 messages; give --into-existing"):
        await import_file(bus_client, exported, speed=None)
    assert await counts(bus_client) == [1, 0]
    done = await import_file(bus_client, exported, speed=None, into_existing=True)
    assert sum(await counts(bus_client)) == done.manifest.count + 1


async def test_a_target_in_which_a_dialler_listens_is_refused_unless_forced(exported: Path, bus_client: Client) -> None:
    listening = await bus_client.subscribe(VOICE_DIALS.deliver_subject, queue=VOICE_DIALS.name)
    await wait_until_processed(bus_client)
    with pytest.raises(Refused, match="a service listens to voice-dials"):
        await import_file(bus_client, exported, speed=None)
    assert await counts(bus_client) == [0, 0]
    await import_file(bus_client, exported, speed=None, force=True)
    assert (await listening.next_msg(timeout=5)).subject.startswith("call.status_changed.")


async def test_an_import_keeps_the_pace_that_it_is_told(exported: Path, bus_client: Client) -> None:
    """At a hundredth of its pace it takes minutes: however slow this machine is, it is not over when it has begun."""
    sizes: list[int] = []
    slowly = asyncio.create_task(
        import_file(bus_client, exported, speed=0.01, progress=lambda _, done, __: sizes.append(done))
    )
    while not sizes:
        await asyncio.sleep(0.01)
    stored = sum(await counts(bus_client))
    slowly.cancel()
    await asyncio.wait([slowly])
    assert stored < validated(exported).count


async def test_a_changed_rule_is_found_and_named(
    log_client: Client, campaign: "Campaign", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "ANSWER_MARGIN", timedelta(seconds=21))
    record = await from_streams(log_client, WHOLE)
    first, *others = (await verify(record)).drifts
    assert first.sequence == min(drift.sequence for drift in (first, *others))
    dialing = next(m for m in record.messages if m.sequence == first.sequence and m.stream == CALLS.name)
    assert dialing.subject == f"call.status_changed.{first.call_id}.dialing"
    assert [name for name, _, _ in first.differences] == ["call.deadline_at"]


def test_a_drift_is_shown_as_a_diff_and_ends_with_one(
    campaign: "Campaign", command: "Callable[..., Command]", tmp_path: Path
) -> None:
    file, other = tmp_path / "log.gz", tmp_path / "other.gz"
    assert command("replay", "export", file, environment={"NATS_URL": campaign.nats_url}).code == 0
    said = command("replay", "verify", "--file", file)
    assert said.code == 0, said.out
    manifest = validated(file)
    with Writer(other) as writer:
        for message in messages(file):
            changed = message.body.replace(b'"reason":"answered"', b'"reason":"hung up"')
            writer.write(replace(message, body=changed if message.subject.endswith(".completed") else message.body))
        writer.close(manifest.scope, manifest.handled, manifest.given_up)
    said = command("replay", "verify", "--file", other)
    assert said.code == 1
    assert "- reason: hung up" in said.out
    assert "+ reason: answered" in said.out


def test_a_call_is_shown_as_it_stood_at_a_sequence(campaign: "Campaign", command: "Callable[..., Command]") -> None:
    here = {"NATS_URL": campaign.nats_url}
    whole = command("replay", "show", "replayed-00", "--json", environment=here).json()
    dialing = next(one for one in whole["timeline"] if one["text"].startswith("pending → dialing"))
    then = command("replay", "show", campaign.ids[0], "--at", str(dialing["sequence"]), "--json", environment=here)
    assert then.json()["call"]["status"] == "dialing"
    assert then.json()["call"]["deadline_at"]
    assert len(then.json()["conversation"]) == 1, "the greeting"
    assert whole["call"]["status"] == "completed"
    assert len(whole["conversation"]) > 2
    shown = command("replay", "show", "replayed-00", environment=here)
    assert "as it stood then" in shown.out
    assert "+1••••••••00" in shown.out
    asked = command("replay", "show", "replayed-00", "--show-numbers", environment=here)
    assert "+12125550100" in asked.out


def test_a_call_that_is_not_there_is_said_so(campaign: "Campaign", command: "Callable[..., Command]") -> None:
    said = command("replay", "show", "nobody", environment={"NATS_URL": campaign.nats_url})
    assert (said.code, said.err.strip()) == (1, "no such call")


def test_a_server_that_does_not_answer_ends_a_command_with_three(command: "Callable[..., Command]") -> None:
    said = command("replay", "verify", environment={"NATS_URL": "nats://127.0.0.1:1"})
    assert said.code == 3
    assert "Traceback" not in said.err


def test_the_manifest_is_the_first_line_and_readable_by_any_program(exported: Path) -> None:
    with gzip.open(exported) as file:
        manifest = json.loads(file.readline())
        first = json.loads(file.readline())
    assert manifest["format"] == "centralita-replay"
    assert first["subject"] == CallRequested.event_name
