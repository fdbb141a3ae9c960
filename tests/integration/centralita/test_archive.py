"""Archiving ended calls: the archive and the stream together are the log as it was, also after an interruption."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from nats.aio.client import Client
from nats.js.api import DeliverPolicy
from pymongo.asynchronous.database import AsyncDatabase
from tests.builders.calls import a_call
from tests.builders.events import call_created, campaign_paused, status_changed
from tests.builders.policies import ANY_TIME_POLICY

from campaign_stats.store import Store, connect
from campaign_stats.subscriber import Follower
from centralita.archiving import archiver, removal
from centralita.archiving.archiver import MAX_PART_MESSAGES, ArchiveBusy, Archived, archive_calls
from centralita.archiving.bounds import ForeignCheckpoint
from centralita.replay.archive_manifest import (
    MANIFEST_FILE,
    DamagedArchive,
    read_archive_manifest,
    write_archive_manifest,
)
from centralita.replay.archive_part import read_part
from centralita.replay.archived_log import Archive, WrongArchive, read_log
from centralita.replay.importing import import_file
from centralita.replay.projection_database import ProjectionDatabase
from centralita.replay.rebuilding import rebuild
from centralita.replay.record import StreamSnapshot, export, from_streams
from centralita.replay.scope import Scope
from centralita.replay.verifying import verify
from chassis.dead_letters import store_dead_letter
from chassis.event_log import EventLog
from chassis.provision import consumer_config, provision
from chassis.stream_reader import last_sequence, read
from contracts import (
    AdmissionGranted,
    Call,
    CallCancelRequested,
    CallStatus,
    DialCleared,
    ErasedRequest,
    Event,
    RequestsErased,
    TelephonyStatus,
    TelephonyStatusReported,
    TimerDue,
    call_id_of,
)
from contracts.consumers import CONSUMERS, ORCHESTRATOR_FACTS, ORCHESTRATOR_NUMBERS, Consumer
from contracts.dead_letters import DeadLetter
from contracts.examples import EXAMPLES
from contracts.streams import ARCHIVED_SEQUENCE, CALLS, REQUESTS
from contracts.vocabulary import RequestResult
from records.messages import Message
from records.one_call import messages_of_call
from records.story import UnknownCall, story_of

if TYPE_CHECKING:
    from tests.integration.centralita.conftest import Command

pytestmark = pytest.mark.timeout(240)

LOG = Path(__file__).parents[2] / "data" / "log-a45b024.jsonl.gz"
LONG_AGO = datetime(2026, 1, 5, tzinfo=UTC)
EVERYTHING = Scope()

Database = AsyncDatabase[dict[str, Any]]


class Killed(BaseException):
    """Raised in a run, to interrupt it as a kill would."""


class Log:
    """A log, and functions to fill and archive it."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.client = client
        self.folder = folder
        self.calls = EventLog(client, CALLS.name, source="test")
        self.requests = EventLog(client, REQUESTS.name, source="test")

    async def append(self, event: Event) -> int:
        return (await self.calls.append(event)).sequence

    async def append_call(self, name: str, *, ended_at: datetime | None = LONG_AGO, **changes: Any) -> Call:
        """Appends request and history of a call; without `ended_at` it is open."""
        request = EXAMPLES["call.requested"]
        await self.requests.append(request.model_copy(update={"request_id": name}))
        call = a_call(request_id=name, created_at=LONG_AGO, **changes)
        await self.append(call_created(call))
        if ended_at:
            call = a_call(CallStatus.NO_ANSWER, request_id=name, ended_at=ended_at, status_changed_at=ended_at)
            await self.append(report(call))
            await self.append(status_changed(call))
        return call

    async def acknowledge(self, *except_for: Consumer) -> None:
        """Begins the durable consumers at the end of the log, as if they had acknowledged everything before it."""
        js = self.client.jetstream()
        for consumer in CONSUMERS:
            if consumer not in except_for:
                await js.delete_consumer(consumer.stream.name, consumer.name)
                config = replace(consumer_config(consumer), deliver_policy=DeliverPolicy.NEW)
                await js.add_consumer(consumer.stream.name, config=config)

    async def archive(self, *, ended_before: datetime | None = None, **options: Any) -> Archived:
        """Archives what ended before an instant, by default everything that has ended."""
        projected = options.pop("projection_sequence", await last_sequence(self.client, CALLS.name))
        return await archive_calls(
            self.client,
            options.pop("folder", self.folder),
            ended_before=ended_before or datetime.now(UTC) + timedelta(minutes=1),
            projection_sequence=projected,
            **options,
        )

    async def stored(self) -> list[Message]:
        """Returns what the streams contain, without the archive."""
        ends = [(stream.name, await last_sequence(self.client, stream.name)) for stream in (REQUESTS, CALLS)]
        return [Message.of(one) for name, end in ends async for one in read(self.client, name, end_sequence=end)]

    async def whole(self) -> list[Message]:
        """Returns what archive and streams contain."""
        return (await from_streams(self.client, EVERYTHING, Archive.open(self.folder))).messages

    async def subjects(self) -> list[str]:
        return [message.subject for message in await self.stored()]

    async def metadata(self) -> dict[str, str]:
        return (await self.client.jetstream().stream_info(CALLS.name)).config.metadata or {}


def report(call: Call) -> TelephonyStatusReported:
    example = EXAMPLES["telephony.status_reported"]
    return example.model_copy(update={"call_id": call.call_id, "status": TelephonyStatus.NO_ANSWER})  # type: ignore[return-value]


@pytest.fixture
async def log(bus_client: Client, tmp_path: Path) -> Log:
    return Log(bus_client, tmp_path / "archive")


@pytest.fixture
async def filled(log: Log) -> Log:
    """Ten ended calls and two open ones, acknowledged."""
    for number in range(10):
        await log.append_call(f"ended-{number}")
        if number % 5 == 0:
            await log.append_call(f"open-{number}", ended_at=None)
    await log.acknowledge()
    return log


@pytest.fixture
async def database(mongo_url: str) -> AsyncIterator[Database]:
    client = connect(mongo_url, collection_seconds=60)
    found = client[f"test_{uuid4().hex}"]
    yield found
    for name in (found.name, f"{found.name}_rebuild"):
        await client.drop_database(name)
    await client.close()


async def test_archive_and_stream_are_exported_verified_and_rebuilt_as_the_log_before(
    log: Log, mongo_url: str, database: Database, tmp_path: Path
) -> None:
    await import_file(log.client, LOG, speed=None)
    for number in range(100):
        await log.append_call(f"early-{number}")
    await log.append_call("open", ended_at=None)
    instant = datetime.now(UTC)
    for number in range(100):
        await log.append_call(f"late-{number}", ended_at=datetime.now(UTC))
    end = await last_sequence(log.client, CALLS.name)
    for chain in ("admission.granted", "dial.cleared"):  # the imported ones name sequences of the old log
        await log.append(EXAMPLES[chain].model_copy(update={"replay_from_sequence": end}))
    await log.acknowledge()
    before = await log.stored()
    exported = await export(log.client, tmp_path / "before.gz")
    verified = await verify(await from_streams(log.client, EVERYTHING), calling_policy=ANY_TIME_POLICY)
    rebuilt = await rebuild(log.client, mongo_url, database.name)
    done = await log.archive(ended_before=instant)
    assert done.calls == 130
    archive = Archive.open(log.folder)
    assert len(await log.stored()) == len(before) - sum(done.moved.values()) < len(before) / 2
    assert await log.whole() == before
    assert (await export(log.client, tmp_path / "after.gz", archive=archive)).digest == exported.digest
    assert await verify(await from_streams(log.client, EVERYTHING, archive), calling_policy=ANY_TIME_POLICY) == verified
    again = await rebuild(log.client, mongo_url, database.name, archive=archive)
    assert (again.digest, again.is_equal, again.documents) == (rebuilt.digest, True, rebuilt.documents)


async def test_a_call_is_shown_from_the_archive(filled: Log) -> None:
    scope = Scope(call_id=call_id_of("ended-3"))
    before = story_of((await from_streams(filled.client, scope)).messages)
    await filled.archive()
    with pytest.raises(UnknownCall):
        story_of(await messages_of_call(filled.client, call_id_of("ended-3")))
    assert story_of((await from_streams(filled.client, scope, Archive.open(filled.folder))).messages) == before


@pytest.mark.parametrize("part_messages", [MAX_PART_MESSAGES, 5])
@pytest.mark.parametrize(
    "step", ["manifest", "first metadata", "second metadata", "first deletion", "later deletion", "removed", "scan"]
)
async def test_a_killed_run_loses_nothing_and_the_next_one_completes_it(
    filled: Log, monkeypatch: pytest.MonkeyPatch, step: str, part_messages: int
) -> None:
    monkeypatch.setattr(archiver, "MAX_PART_MESSAGES", part_messages)
    monkeypatch.setattr(archiver, "_BATCH", 3)
    before = await filled.stored()
    with monkeypatch.context() as interrupted:
        kill_at(step, interrupted)
        with pytest.raises(Killed):
            await filled.archive()
    if (filled.folder / MANIFEST_FILE).exists():
        assert await filled.whole() == before
    await filled.archive()
    assert await filled.whole() == before
    assert {message.subject for message in await filled.stored()} == {
        *(f"call.created.{call_id_of(f'open-{number}')}.pending" for number in (0, 5)),
        "call.requested",
    }
    assert archived_twice(filled.folder) == []
    assert not any((await filled.archive()).moved.values())


def kill_at(step: str, patch: pytest.MonkeyPatch) -> None:
    """Raises Killed in the given step of a run."""
    module, name, number = {
        "manifest": (archiver, "write_archive_manifest", 2),
        "first metadata": (archiver._Run, "_set_metadata", 1),
        "second metadata": (archiver._Run, "_set_metadata", 2),
        "first deletion": (removal, "delete_message", 1),
        "later deletion": (removal, "delete_message", 4),
        "removed": (archiver, "write_archive_manifest", 3),
        "scan": (archiver._Run, "_select", 2),
    }[step]
    original, count = getattr(module, name), 0

    def counted(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count >= number:
            raise Killed
        return original(*arguments)

    patch.setattr(module, name, counted)


def archived_twice(folder: Path) -> list[tuple[str, int]]:
    archive = Archive.open(folder)
    lines = [(part.stream, message.sequence) for part in archive.manifest.parts for message in read_part(folder, part)]
    return [line for line in set(lines) if lines.count(line) > 1]


@pytest.mark.parametrize("damage", ["flipped byte", "truncated", "missing", "manifest", "no manifest"])
async def test_a_damaged_archive_is_an_error_that_names_the_file(filled: Log, damage: str) -> None:
    await filled.archive()
    part = next(part for part in read_archive_manifest(filled.folder).parts if part.stream == CALLS.name)
    file = filled.folder / (MANIFEST_FILE if "manifest" in damage else part.file)
    content = file.read_bytes()
    match damage:
        case "flipped byte":
            middle = len(content) // 2
            file.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        case "truncated" | "manifest":
            file.write_bytes(content[:-9])
        case _:
            file.unlink()
    with pytest.raises(DamagedArchive) as raised:
        Archive.open(filled.folder)
    assert raised.value.file == file
    assert str(file) in str(raised.value)


async def test_an_unremoved_file_that_was_damaged_deletes_nothing(filled: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as interrupted:
        kill_at("first deletion", interrupted)
        with pytest.raises(Killed):
            await filled.archive()
    before = await filled.stored()
    (part,) = read_archive_manifest(filled.folder).parts
    file = filled.folder / part.file
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DamagedArchive):
        await filled.archive()
    assert await filled.stored() == before


async def test_calls_that_are_open_or_ended_later_stay_with_campaigns_and_chains(log: Log) -> None:
    await log.append_call("ended")
    await log.append_call("open", ended_at=None)
    await log.append_call("later", ended_at=LONG_AGO + timedelta(days=2))
    await log.append(campaign_paused("spring"))
    ended = call_id_of("ended")
    granted, cleared = EXAMPLES["admission.granted"], EXAMPLES["dial.cleared"]
    assert isinstance(granted, AdmissionGranted)
    assert isinstance(cleared, DialCleared)
    for _ in range(2):
        end = await last_sequence(log.client, CALLS.name) + 1
        await log.append(granted.model_copy(update={"call_id": ended, "replay_from_sequence": end}))
        await log.append(cleared.model_copy(update={"call_id": ended, "replay_from_sequence": end}))
        await log.append(EXAMPLES["timer.due"].model_copy(update={"call_id": ended}))
    await log.acknowledge()
    done = await log.archive(ended_before=LONG_AGO + timedelta(days=1))
    assert (done.calls, done.moved) == (0, {"CALLS": 0, "REQUESTS": 0})  # the test stores everything after the instant
    await log.archive(ended_before=datetime.now(UTC))
    left = await log.subjects()
    assert f"call.created.{ended}.pending" not in left
    for event in (AdmissionGranted, DialCleared, TimerDue):
        assert len([one for one in left if one.startswith(event.event_name)]) == 1
    assert any(one.startswith("campaign.paused") for one in left)
    assert f"call.created.{call_id_of('open')}.pending" in left


async def test_nothing_goes_that_campaign_stats_has_not_applied(filled: Log) -> None:
    before = await filled.stored()
    done = await filled.archive(projection_sequence=0)
    assert done.bounds[CALLS.name].sequence == 0
    assert "campaign-stats" in (done.bounds[CALLS.name].reason or "")
    assert [one for one in await filled.stored() if one.stream == CALLS.name] == [
        one for one in before if one.stream == CALLS.name
    ]


async def test_the_checkpoint_of_another_log_is_refused(filled: Log) -> None:
    before, end = await filled.stored(), await last_sequence(filled.client, CALLS.name)
    with pytest.raises(ForeignCheckpoint, match=f"the log ends at {end}.*{end + 1}.*--database"):
        await filled.archive(projection_sequence=end + 1)
    assert await filled.stored() == before


async def test_nothing_goes_that_a_consumer_has_not_acknowledged(log: Log) -> None:
    first = await log.append_call("first")
    await log.acknowledge()
    await log.append_call("second")
    done = await log.archive()
    assert done.calls == 1
    assert "orchestrator-facts" in (done.bounds[CALLS.name].reason or "")
    assert f"call.created.{first.call_id}.pending" not in await log.subjects()
    assert f"call.created.{call_id_of('second')}.pending" in await log.subjects()


async def test_a_call_with_a_waiting_command_or_a_dead_letter_stays(log: Log) -> None:
    for name in ("commanded", "failed", "free"):
        await log.append_call(name)
    await log.acknowledge()
    await log.requests.append(CallCancelRequested(call_id=call_id_of("commanded")))
    dead = next(one for one in await log.stored() if one.subject == f"telephony.status_reported.{call_id_of('failed')}")
    body = {
        "stream": CALLS.name,
        "sequence": dead.sequence,
        "consumer": ORCHESTRATOR_FACTS.name,
        "subject": dead.subject,
        "reasons": ["x"],
        "deliveries": 1,
    }
    await log.client.jetstream().publish(f"dead_letter.{dead.subject}", json.dumps(body).encode())
    done = await log.archive()
    assert done.calls == 1
    stored = await log.subjects()
    assert f"call.created.{call_id_of('free')}.pending" not in stored
    for name in ("commanded", "failed"):
        assert f"call.created.{call_id_of(name)}.pending" in stored
    assert [one.subject for one in await log.whole() if one.stream == REQUESTS.name][:3] == ["call.requested"] * 3


async def test_what_became_of_erased_requests_is_archived_once_it_is_old(log: Log) -> None:
    record = ErasedRequest(sequence=1, result=RequestResult.REFUSED)
    await log.append(RequestsErased(requests=(record,), erased_at=LONG_AGO))
    await log.acknowledge()
    between = (await log.stored())[-1].time + timedelta(microseconds=1)
    await log.append(RequestsErased(requests=(record,), erased_at=LONG_AGO))
    await log.archive(ended_before=between)
    assert await log.subjects() == [RequestsErased.event_name]
    assert [one.sequence for one in await log.whole()] == [1, 2]


async def test_commands_about_numbers_and_persons_are_archived_once_they_are_old(log: Log) -> None:
    """Older builds left each decided command for a do-not-call list in REQUESTS."""
    commands = [
        EXAMPLES[name] for name in ("number.block_requested", "number.unblock_requested", "person.erase_requested")
    ]
    for command in (*commands, EXAMPLES["campaign.pause_requested"], commands[0]):
        await log.requests.append(command)
    await log.acknowledge()
    stored = [one for one in await log.stored() if one.stream == REQUESTS.name]
    referring = DeadLetter.of(
        stream=REQUESTS.name, sequence=2, consumer="c", subject=commands[1].subject, reasons=["r"], deliveries=9
    )
    await store_dead_letter(log.client, referring)
    await log.archive(ended_before=stored[-1].time)
    left = [one.sequence for one in await log.stored() if one.stream == REQUESTS.name]
    assert left == [2, 4, 5], "a dead letter refers to it, it is of a campaign, it is younger"
    assert [one.sequence for one in await log.whole() if one.stream == REQUESTS.name] == [1, 2, 3, 4, 5]


async def test_a_command_about_a_number_that_is_not_decided_stays(log: Log) -> None:
    command = EXAMPLES["number.block_requested"]
    await log.acknowledge(ORCHESTRATOR_NUMBERS)
    await log.requests.append(command)
    later = await log.requests.append(command)
    await log.archive(ended_before=datetime.now(UTC) + timedelta(days=1))
    assert [one.sequence for one in await log.stored()] == [later.sequence - 1, later.sequence]


async def test_a_late_report_of_an_archived_call_is_archived_next_time(filled: Log) -> None:
    await filled.archive()
    call = a_call(CallStatus.NO_ANSWER, request_id="ended-1")
    sequence = await filled.append(report(call))
    await filled.acknowledge()
    await filled.archive()
    assert sequence not in [one.sequence for one in await filled.stored() if one.stream == CALLS.name]
    assert sequence in [one.sequence for one in await filled.whole() if one.stream == CALLS.name]


async def test_a_dry_run_changes_nothing_and_counts_the_same(filled: Log) -> None:
    before = await filled.stored()
    planned = await filled.archive(dry_run=True)
    assert not filled.folder.exists()
    assert await filled.stored() == before
    assert await filled.metadata() == {} or ARCHIVED_SEQUENCE not in await filled.metadata()
    done = await filled.archive()
    assert (planned.calls, planned.moved, planned.kept) == (done.calls, done.moved, done.kept)


async def test_a_log_has_one_archive(filled: Log, tmp_path: Path) -> None:
    await filled.archive()
    with pytest.raises(WrongArchive, match="is not here"):
        await filled.archive(folder=tmp_path / "other")
    manifest = read_archive_manifest(filled.folder)
    other = tmp_path / "copy"
    other.mkdir()
    (other / MANIFEST_FILE).write_text(manifest.model_copy(update={"archive_id": uuid4()}).model_dump_json())
    with pytest.raises(WrongArchive, match=str(manifest.archive_id)):
        await filled.archive(folder=other)
    foreign = Archive(other, read_archive_manifest(other))
    with pytest.raises(WrongArchive):
        await from_streams(filled.client, EVERYTHING, foreign)


async def test_a_message_that_two_files_have_is_read_once(filled: Log) -> None:
    before = await filled.stored()
    await filled.archive()
    manifest = read_archive_manifest(filled.folder)
    for part in manifest.parts:
        copy = part.model_copy(update={"file": f"again-{part.file}"})
        (filled.folder / copy.file).write_bytes((filled.folder / part.file).read_bytes())
        manifest = manifest.with_part(copy)
    write_archive_manifest(filled.folder, manifest)
    assert await filled.whole() == before


async def test_two_processes_never_write_to_one_archive(filled: Log) -> None:
    with archiver._locked(filled.folder, dry_run=False), pytest.raises(ArchiveBusy):
        await filled.archive()


async def test_a_reader_notices_that_messages_were_archived_meanwhile(filled: Log) -> None:
    await filled.archive(projection_sequence=9)
    opened, end = Archive.open(filled.folder), await last_sequence(filled.client, CALLS.name)
    reading = read_log(filled.client, opened, CALLS.name, end_sequence=end)
    await anext(reading)
    await filled.archive()
    with pytest.raises(WrongArchive, match="Run the command again"):
        _ = [message async for message in reading]


async def test_a_reader_of_the_streams_notices_that_messages_were_archived_meanwhile(
    filled: Log, tmp_path: Path
) -> None:
    snapshot = await StreamSnapshot.open(filled.client, EVERYTHING)
    requests, events = snapshot.requests(), snapshot.events()
    await anext(events)
    await filled.archive()
    for reading in (requests, events):
        with pytest.raises(WrongArchive, match="Run it with --archive"):
            _ = [message async for message in reading]
    file = tmp_path / "whole.gz"
    with pytest.raises(WrongArchive, match="Run it with --archive"):
        await export(filled.client, file)
    assert not file.exists()


async def test_a_rebuild_between_whose_reads_messages_are_archived_replaces_no_documents(
    filled: Log, mongo_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rebuild(filled.client, mongo_url, database.name)
    before = await database["calls"].find().to_list()
    fence = ProjectionDatabase.fence

    async def archive_first(live: ProjectionDatabase) -> int:
        await filled.archive()
        return await fence(live)

    monkeypatch.setattr(ProjectionDatabase, "fence", archive_first)
    with pytest.raises(WrongArchive, match="Run it with --archive"):
        await rebuild(filled.client, mongo_url, database.name)
    assert before
    assert await database["calls"].find().to_list() == before


async def test_only_the_owner_can_read_the_archive(filled: Log) -> None:
    await filled.archive()
    assert stat.S_IMODE(filled.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in filled.folder.iterdir()} == {0o600}


async def test_provisioning_keeps_the_name_of_the_archive(filled: Log) -> None:
    await filled.archive()
    before = await filled.metadata()
    await provision(filled.client)
    assert int(before[ARCHIVED_SEQUENCE]) > 0
    assert (await filled.metadata())[ARCHIVED_SEQUENCE] == before[ARCHIVED_SEQUENCE]


async def test_a_rebuild_without_the_archive_is_refused(filled: Log, mongo_url: str, database: Database) -> None:
    await filled.archive()
    with pytest.raises(WrongArchive, match="--archive"):
        await rebuild(filled.client, mongo_url, database.name)


async def test_campaign_stats_does_not_begin_again_without_the_archived_events(filled: Log, database: Database) -> None:
    await filled.archive()
    follower = Follower(filled.client, Store(database.client, database.name))
    running = asyncio.create_task(follower.run())
    try:
        while "archived" not in (follower.trouble or ""):
            await asyncio.sleep(0.02)
    finally:
        running.cancel()
    assert "replay rebuild --archive" in (follower.trouble or "")
    assert await database["calls"].count_documents({}) == 0


async def test_the_command_archives_and_the_others_read_the_archive(
    filled: Log, nats_url: str, mongo_url: str, database: Database, tmp_path: Path, command: "Callable[..., Command]"
) -> None:
    await rebuild(filled.client, mongo_url, database.name)
    folder = tmp_path / "archive"
    here = {"NATS_URL": nats_url, "MONGO_URL": mongo_url, "MONGO_DATABASE": database.name}
    scope, recent = Scope(), (datetime.now(UTC) + timedelta(minutes=1)).isoformat()[:19]
    verified = await verify(await from_streams(filled.client, scope), calling_policy=ANY_TIME_POLICY)
    keeps = await asyncio.to_thread(command, "archive", "--archive", folder, environment=here)
    assert keeps.code == 2
    assert "LOG_RETENTION_DAYS" in keeps.err
    early = await asyncio.to_thread(command, "archive", "--archive", folder, "--ended-before", recent, environment=here)
    assert early.code == 2
    assert "7 days" in early.err
    done = await asyncio.to_thread(
        command, "archive", "--archive", folder, "--older-than", "0d", "--force", environment=here
    )
    assert (done.code, "10 calls" in done.out) == (0, True), done.err
    with_archive = {**here, "ARCHIVE_DIR": str(folder)}
    again = await asyncio.to_thread(command, "replay", "verify", "--json", environment=with_archive)
    assert again.json()["decisions"] == verified.decisions
    assert len(again.json()["drifts"]) == len(verified.drifts)
    rebuilt = await asyncio.to_thread(command, "replay", "rebuild", "--check", "--json", environment=with_archive)
    assert rebuilt.json()["is_equal"]
    without = await asyncio.to_thread(command, "replay", "show", "ended-2", environment=here)
    assert without.code == 1
    assert "ARCHIVE_DIR" in without.err
    for arguments in (("verify",), ("verify", "--call", str(call_id_of("open-0"))), ("export", tmp_path / "part.gz")):
        refused = await asyncio.to_thread(command, "replay", *arguments, environment=here)
        assert (refused.code, "ARCHIVE_DIR" in refused.err) == (1, True), refused
    assert not (tmp_path / "part.gz").exists()
    (file,) = [one for one in folder.iterdir() if one.name.startswith("CALLS-")]
    file.write_bytes(b"x")
    damaged = await asyncio.to_thread(command, "replay", "show", "ended-2", environment=with_archive)
    assert damaged.code == 1
    assert file.name in damaged.err
