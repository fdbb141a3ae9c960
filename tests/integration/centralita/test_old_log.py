"""A log that the build of commit a45b024 exported is imported, folded, rebuilt, verified and shown by this build.

`tests/data` holds the export of a simulated campaign of 30 calls with a pause, and the documents that campaign-stats of
that build made of it. Both were written before fields of stored events were renamed.
"""

import gzip
import json
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from nats.aio.client import Client
from pymongo.asynchronous.database import AsyncDatabase

from campaign_stats.outcomes import OF_FUNNEL, OF_REASONS
from campaign_stats.store import connect
from centralita.replay.export_file import read_messages
from centralita.replay.importing import import_file
from centralita.replay.rebuilding import rebuild
from centralita.replay.record import fold, from_file, from_streams
from centralita.replay.scope import Scope
from centralita.replay.verifying import verify
from contracts.streams import CALLS

if TYPE_CHECKING:
    from tests.integration.centralita.conftest import Command

DATA = Path(__file__).parents[2] / "data"
LOG = DATA / "log-a45b024.jsonl.gz"
EVERYTHING = Scope()

Documents = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def documents_then() -> Documents:
    """The documents of the old build, with the sequences that their events get in an import.

    An import numbers the messages of CALLS from 1, without the gaps that deleted schedules left in the old stream. The
    sequence of an event is the one thing that an import changes.
    """
    with gzip.open(DATA / "documents-a45b024.json.gz") as file:
        dumped = json.load(file)
    events = [message for message in read_messages(LOG) if message.stream == CALLS.name]
    new_sequences = {message.sequence: number for number, message in enumerate(events, start=1)}
    calls = [{**call, "sequence": new_sequences[call["sequence"]]} for call in dumped["centralita.calls"]]
    return {"calls": calls, "campaigns": dumped["centralita.campaigns"]}


@pytest.fixture
async def database(mongo_url: str) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    client = connect(mongo_url, collection_seconds=60)
    found = client[f"test_{uuid4().hex}"]
    yield found
    await client.drop_database(found.name)
    await client.close()


async def test_the_old_log_is_imported_and_rebuilt_to_the_old_documents(
    bus_client: Client, mongo_url: str, database: AsyncDatabase[dict[str, Any]], documents_then: Documents
) -> None:
    imported = await import_file(bus_client, LOG, speed=None)
    rebuilt = await rebuild(bus_client, mongo_url, database.name)
    assert rebuilt.is_swapped
    assert imported.manifest.count == 1015
    documents_now = {name: await database[name].find().sort("_id").to_list() for name in documents_then}
    assert without_later_fields(as_dumped(documents_now)) == documents_then
    assert await database["outcomes"].count_documents({}) > 0


async def test_the_old_log_is_folded_to_the_same_calls_from_the_file_and_from_the_streams(
    bus_client: Client, documents_then: Documents
) -> None:
    from_export = fold(read_messages(LOG))
    await import_file(bus_client, LOG, speed=None)
    assert fold((await from_streams(bus_client, EVERYTHING)).messages) == from_export
    statuses = {str(call_id): call.status.value for call_id, call in from_export.items()}
    assert statuses == {call["_id"]: call["status"] for call in documents_then["calls"]}


async def test_verification_of_the_old_log_has_no_drift() -> None:
    result = await verify(from_file(LOG, EVERYTHING))
    assert result.drifts == ()
    assert result.doubts == ()
    assert (result.calls, result.decisions, result.without_effect, result.unjudged) == (30, 220, 91, 0)


def test_the_commands_read_the_old_log(command: "Callable[..., Command]") -> None:
    verified = command("replay", "verify", "--file", LOG)
    assert verified.code == 0, verified.out
    assert "30 calls: 220 decisions" in verified.out
    shown = command("replay", "show", "baseline-00", "--file", LOG, "--json").json()
    assert shown["call"]["status"] == "completed"
    assert shown["call"]["status_changed_at"]
    assert shown["timeline"][0]["event"] == "call.requested"
    assert "Ada" in json.dumps(shown["conversation"])
    masked = command("replay", "show", "baseline-00", "--file", LOG)
    assert "+1••••••••00" in masked.out
    with_numbers = command("replay", "show", "baseline-00", "--file", LOG, "--show-numbers")
    assert "+12125550100" in with_numbers.out


def without_later_fields(documents: Documents) -> Documents:
    """Returns the documents without what is counted since ADR 59, and the ids (ADR 64) of dialled calls."""
    fields = {"calls": ("stage", "cause"), "campaigns": (*OF_FUNNEL, *OF_REASONS)}
    for name, added in fields.items():
        for document in documents[name]:
            document.pop("earlier_stage", None)
            assert document.pop("provider_call_ids", []) or not document.get("attempt")
            for field in added:
                del document[field]
    return documents


def as_dumped(documents: Documents) -> Documents:
    """Returns the documents as the old dump has them: instants as text, without their time zone (UTC)."""

    def plain(value: Any) -> Any:
        return str(value.replace(tzinfo=None)) if isinstance(value, datetime) else value

    return {
        name: [{field: plain(value) for field, value in document.items()} for document in collection]
        for name, collection in documents.items()
    }
