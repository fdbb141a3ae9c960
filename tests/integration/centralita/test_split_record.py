"""Verify reads the log into files with all messages of some calls each; the result does not depend on their number."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from nats.aio.client import Client
from tests.builders.policies import ANY_TIME_POLICY

from centralita.replay import split_record
from centralita.replay.record import export, from_streams
from centralita.replay.scope import Scope
from centralita.replay.split_record import SplitRecord, split_export, split_streams
from centralita.replay.verifying import verify
from contracts.streams import CALLS
from records.call_ids import call_of

if TYPE_CHECKING:
    from tests.integration.centralita.conftest import Campaign

WHOLE = Scope()


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split_record, "MAX_PART_MESSAGES", 30)


def calls_by_part(record: SplitRecord) -> list[set[str]]:
    return [{call_of(message) or "" for message in messages} for messages in record.parts()]


async def test_a_log_in_many_files_is_verified_like_one_in_memory(
    log_client: Client, campaign: "Campaign", tmp_path: Path
) -> None:
    record = await split_streams(log_client, WHOLE, None, tmp_path)
    assert len(record.files) > 3
    assert await verify(record, calling_policy=ANY_TIME_POLICY) == await verify(
        await from_streams(log_client, WHOLE), calling_policy=ANY_TIME_POLICY
    )


async def test_each_call_is_in_one_file_that_only_its_owner_can_read(
    log_client: Client, campaign: "Campaign", tmp_path: Path
) -> None:
    record = await split_streams(log_client, WHOLE, None, tmp_path)
    calls = [call_id for part in calls_by_part(record) for call_id in part]
    assert len(calls) == len(set(calls))
    assert {str(one) for one in campaign.ids} <= set(calls)
    assert {file.stat().st_mode & 0o777 for file in record.files} == {0o600}


async def test_messages_that_verify_does_not_read_are_left_out(
    log_client: Client, campaign: "Campaign", tmp_path: Path
) -> None:
    record = await split_streams(log_client, WHOLE, None, tmp_path)
    split = {message.subject for messages in record.parts() for message in messages if message.stream == CALLS.name}
    whole = {one.subject for one in (await from_streams(log_client, WHOLE)).messages if one.stream == CALLS.name}
    assert split < whole
    assert {subject for subject in whole if subject.startswith("call.")} <= split
    assert not [subject for subject in split if subject.startswith(("audio.", "reply.", "speech."))]


@pytest.mark.parametrize("selected", ["campaign", "call", "everything"])
async def test_an_export_in_many_files_is_verified_within_its_scope(
    log_client: Client, campaign: "Campaign", tmp_path: Path, selected: str
) -> None:
    file = tmp_path / "log.gz"
    await export(log_client, file, WHOLE)
    scope = {
        "campaign": Scope(campaign_id="no-such-campaign"),
        "call": Scope(call_id=campaign.ids[0]),
        "everything": WHOLE,
    }[selected]
    result = await verify(split_export(file, scope, tmp_path), calling_policy=ANY_TIME_POLICY)
    assert result.drifts == ()
    assert (result.calls, result.decisions > 0) == {
        "campaign": (0, False),
        "call": (1, True),
        "everything": (result.calls, result.calls >= len(campaign.ids)),
    }[selected]
