"""A command without its servers prints one sentence: what is missing, and which command to run."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pymongo.errors import NetworkTimeout

from campaign_stats.store import connect
from centralita.commands.connections import mongo_errors
from centralita.commands.exit_codes import CommandFailed, ExitCode
from centralita.embedded.credentials import Credentials
from centralita.embedded.servers import nats_server
from centralita.replay.export_file import ExportWriter
from centralita.replay.scope import Scope
from contracts.permissions import OPERATOR

if TYPE_CHECKING:
    from tests.integration.centralita.conftest import Command

START = "Start it with `centralita up`, or give --nats."
NEEDING_NATS = [
    ("call", "+12125550123"),
    ("tail",),
    ("replay", "export", "log.gz"),
    ("replay", "undo-import", "an-import"),
    ("replay", "verify"),
    ("replay", "rebuild", "--mongo", "mongodb://127.0.0.1:1/"),
    ("replay", "show", "a-call"),
    ("dead-letters", "list"),
    ("dead-letters", "show", "1"),
    ("dead-letters", "retry", "--all"),
]


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return Credentials.generate()


@pytest.fixture(scope="module")
def empty_server(credentials: Credentials, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A NATS server with our users and without our streams."""
    with nats_server(tmp_path_factory.mktemp("empty"), access=credentials) as url:
        yield url


@pytest.mark.parametrize("arguments", NEEDING_NATS, ids=" ".join)
def test_without_nats_every_command_names_the_address_and_the_remedy(
    arguments: tuple[str, ...], command: "Callable[..., Command]"
) -> None:
    ended = command(*arguments, environment={"NATS_URL": "nats://127.0.0.1:1"})
    assert (ended.code, ended.err.strip()) == (3, f"NATS does not answer at nats://127.0.0.1:1. {START}")


@pytest.mark.parametrize("user", ["", "operator:wrong@"])
def test_a_missing_user_and_a_wrong_password_are_wrong_use(
    user: str, empty_server: str, command: "Callable[..., Command]"
) -> None:
    ended = command("tail", environment={"NATS_URL": empty_server.replace("//", f"//{user}")})
    assert "wrong" not in ended.err
    assert ended.err.startswith(f"NATS at {empty_server} ")
    assert "nats://USER:PASSWORD@HOST:PORT" in ended.err
    assert ended.code in (2, 3), "3: the server closed the connection before nats-py read the reason"


def test_missing_streams_are_named_with_the_command_that_creates_them(
    empty_server: str, credentials: Credentials, command: "Callable[..., Command]"
) -> None:
    ended = command("tail", environment={"NATS_URL": credentials.url(empty_server, OPERATOR)})
    assert ended.code == 3
    assert "does not have the streams of Centralita" in ended.err
    assert "`python -m chassis.provision`" in ended.err


def test_an_import_by_the_operator_is_refused_and_the_error_names_the_user_admin(
    empty_server: str, credentials: Credentials, command: "Callable[..., Command]", tmp_path: Path
) -> None:
    with ExportWriter(tmp_path / "log.gz") as writer:
        writer.close(Scope(), {}, ())
    url = credentials.url(empty_server, OPERATOR)
    ended = command("replay", "import", tmp_path / "log.gz", environment={"NATS_URL": url})
    assert ended.code == 2
    assert "does not permit this user: operator." in ended.err
    assert "Give --nats with the user admin." in ended.err


def test_mongodb_that_does_not_answer_is_named(campaign: object, command: "Callable[..., Command]") -> None:
    url = str(getattr(campaign, "nats_url", ""))
    ended = command(
        "replay", "rebuild", "--json", "--mongo", "mongodb://u:secret@127.0.0.1:1/", environment={"NATS_URL": url}
    )
    assert (ended.code, ended.err.strip()) == (
        3,
        "MongoDB does not answer at 127.0.0.1:1 (ServerSelectionTimeoutError). Start it with `centralita up`, or give "
        "--mongo.",
    )


def test_mongodb_that_needs_too_long_is_not_reported_as_absent() -> None:
    failed = pytest.raises(CommandFailed, match="did not answer in time")
    with failed as raised, mongo_errors("mongodb://u:secret@127.0.0.1:27017/"):
        raise NetworkTimeout("timed out")
    assert raised.value.code == ExitCode.UNREACHABLE


async def test_a_client_for_whole_collections_waits_as_long_for_heartbeats_and_connections() -> None:
    """A server that is busy with a command on 100,000 documents answers neither of them for more than 3 seconds."""
    client = connect("mongodb://127.0.0.1:1/", collection_seconds=600)
    options = client.options
    assert options.server_selection_timeout == 600
    assert options.pool_options.connect_timeout == options.pool_options.socket_timeout == 600
    await client.close()
