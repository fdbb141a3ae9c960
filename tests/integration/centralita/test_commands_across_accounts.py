"""Each command that reaches NATS, as the user that it names, on a server whose users have accounts of their own."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nats
import pytest

from centralita.embedded.credentials import Credentials
from centralita.embedded.secret_keys import secret_keys
from centralita.embedded.servers import nats_server
from chassis.dead_letters import store_dead_letter
from chassis.provision import provision
from chassis.stream_reader import last_sequence
from contracts import CallRequested, Service
from contracts.accounts import ADMIN
from contracts.dead_letters import DeadLetter
from contracts.examples import EXAMPLES
from contracts.permissions import OPERATOR
from contracts.streams import CALLS, DEAD_LETTERS, REQUESTS

if TYPE_CHECKING:
    from tests.integration.centralita.conftest import Campaign, Command

NEEDS_ADMIN = 2
"""The exit code of a command whose user is not permitted to do it."""
Run = Callable[..., "Command"]


@dataclass
class Server:
    """A NATS server with the streams of Centralita, on which no service runs."""

    access: Credentials
    address: str
    run: Run

    def as_(self, user: str, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> "Command":
        """Runs a command with the password of a user."""
        return self.run(
            *arguments, environment={"NATS_URL": self.access.url(self.address, user), **(environment or {})}
        )

    def json(self, user: str, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> Any:
        """Runs a command that succeeds, and returns what it prints."""
        done = self.as_(user, *arguments, "--json", environment=environment)
        assert done.code == 0, done.err
        return done.json()

    def messages(self, stream: str) -> int:
        """Returns the last sequence of a stream."""

        async def read() -> int:
            client = await nats.connect(self.access.url(self.address, ADMIN))
            try:
                return await last_sequence(client, stream)
            finally:
                await client.close()

        return asyncio.run(read())


@pytest.fixture
def server(tmp_path: Path, command: Run) -> Iterator[Server]:
    access = Credentials.generate()
    with nats_server(tmp_path / "server", access=access) as address:

        async def make_streams() -> None:
            client = await nats.connect(access.url(address, ADMIN))
            try:
                await provision(client)
            finally:
                await client.close()

        asyncio.run(make_streams())
        yield Server(access, address, command)


@pytest.fixture
def record(campaign: "Campaign", command: Run, tmp_path: Path) -> Path:
    """The log of the campaign, which the operator exports."""
    file = tmp_path / "record.jsonl.gz"
    exported = command("replay", "export", file, environment={"NATS_URL": campaign.nats_url})
    assert exported.code == 0, exported.err
    return file


def assert_needs_admin(done: "Command") -> None:
    assert done.code == NEEDS_ADMIN, (done.out, done.err)
    assert "Give --nats with the user admin." in " ".join(done.err.split())


def test_a_log_is_imported_read_and_removed(server: Server, record: Path, campaign: "Campaign") -> None:
    assert_needs_admin(server.as_(OPERATOR, "replay", "import", record, "--at-once"))
    assert server.messages(CALLS.name) == 0
    imported = server.json(ADMIN, "replay", "import", record, "--at-once")
    stored = server.messages(CALLS.name)

    call_id = str(campaign.ids[0])
    events = server.as_(OPERATOR, "tail", "--past", "--call", call_id, "--json")
    assert events.code == 0, events.err
    facts = [json.loads(line)["fact"] for line in events.out.splitlines()]
    assert {"call.created", "dial.placed", "call.concluded"} <= {*facts}
    assert server.as_(OPERATOR, "replay", "show", call_id).code == 0
    assert server.json(OPERATOR, "replay", "verify")["drifts"] == []
    exported = server.as_(OPERATOR, "replay", "export", record.with_name("again.jsonl.gz"))
    assert exported.code == 0, exported.err

    assert_needs_admin(server.as_(OPERATOR, "replay", "undo-import", imported["import_id"]))
    assert server.messages(CALLS.name) == stored
    assert server.json(ADMIN, "replay", "undo-import", imported["import_id"])["removed"] > 0


def test_ended_calls_are_archived(server: Server, record: Path, campaign: "Campaign", tmp_path: Path) -> None:
    server.json(ADMIN, "replay", "import", record, "--at-once")
    environment = {"MONGO_URL": campaign.mongo_url, "MONGO_DATABASE": "across_accounts"}
    rebuilt = server.as_(OPERATOR, "replay", "rebuild", environment=environment)
    assert rebuilt.code == 0, rebuilt.err
    line = ("archive", "--archive", tmp_path / "archive", "--ended-before", "2099-01-01", "--force")
    assert_needs_admin(server.as_(OPERATOR, *line, environment=environment))
    archived = server.json(ADMIN, *line, environment=environment)
    assert archived["calls"] >= len(campaign.ids)
    verified = server.as_(OPERATOR, "replay", "verify", "--archive", tmp_path / "archive")
    assert verified.code == 0, verified.err


def test_dead_letters_are_read_by_the_operator_and_resent_and_dropped_by_the_admin(server: Server) -> None:
    async def store() -> None:
        client = await nats.connect(server.access.url(server.address, ADMIN))
        try:
            for _ in range(2):
                ack = await client.jetstream().publish(CallRequested.event_name, b"{}")
                dead = DeadLetter(
                    subject=CallRequested.event_name,
                    stream=REQUESTS.name,
                    sequence=ack.seq,
                    consumer="orchestrator-requests",
                    deliveries=1,
                    reasons=("campaign_id: Field required",),
                )
                await store_dead_letter(client, dead)
        finally:
            await client.close()

    asyncio.run(store())
    assert [one["sequence"] for one in server.json(OPERATOR, "dead-letters", "list")] == [1, 2]
    assert server.as_(OPERATOR, "dead-letters", "show", "1").code == 0
    for act in (("retry", "1"), ("drop", "1", "--yes")):
        assert_needs_admin(server.as_(OPERATOR, "dead-letters", *act))
    assert server.messages(REQUESTS.name) == 2
    assert server.as_(ADMIN, "dead-letters", "retry", "1").code == 0
    assert server.as_(ADMIN, "dead-letters", "drop", "2", "--yes").code == 0
    assert server.messages(REQUESTS.name) == 3
    assert server.json(OPERATOR, "dead-letters", "list") == []
    assert server.messages(DEAD_LETTERS.name) == 2


def test_data_in_clear_is_sealed_by_the_admin(server: Server, tmp_path: Path) -> None:
    settings = secret_keys(tmp_path, {})

    async def request() -> None:
        client = await nats.connect(server.access.url(server.address, Service.UPSTREAM))
        try:
            await client.jetstream().publish(CallRequested.event_name, EXAMPLES[CallRequested.event_name].body())
        finally:
            await client.close()

    asyncio.run(request())
    assert_needs_admin(server.as_(OPERATOR, "seal", environment=settings))
    done = server.as_(ADMIN, "seal", environment=settings)
    assert done.code == 0, (done.out, done.err)


def test_a_request_without_an_orchestrator_is_stored_and_its_outcome_is_not_awaited_for_ever(server: Server) -> None:
    asked = server.as_(OPERATOR, "call", "+12125550123", "--request-id", "r-1")
    assert asked.code != 0
    assert "the request is stored, but no call-orchestrator answered" in " ".join(asked.err.split())
    assert server.messages(REQUESTS.name) == 1
