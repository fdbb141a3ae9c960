"""A service, and provisioning, that meet a server without the accounts of the contracts say what to do."""

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import nats
import pytest
from structlog.testing import capture_logs

from centralita.embedded.credentials import Credentials
from chassis import leader_retry
from chassis.account_checks import LOAD_ACCOUNTS, LOAD_PERMISSIONS
from chassis.provision import provision
from chassis.provisioned import wait_until_provisioned
from contracts import Service
from contracts.accounts import ADMIN
from contracts.nats_configuration import configuration
from contracts.permissions import inbox_of

if TYPE_CHECKING:
    from tests.integration.permissions.conftest import ServerWith

CONTRACTS = configuration()
PLAIN = ""
OLDER = """accounts {
  CENTRALITA: {
    jetstream: enabled
    users: [
      {user: voice, password: $NATS_PASSWORD_VOICE, permissions: {
        publish: {allow: ["$JS.API.STREAM.INFO.CALLS", "$SYS.REQ.USER.INFO"]}, subscribe: {allow: ["_INBOX.voice.>"]}}}
      {user: admin, password: $NATS_PASSWORD_ADMIN}
    ]
  }
}
"""
"""As older builds had it: one account of the same name for all users."""
INFO = "API.STREAM.INFO.CALLS"
IMPORTED = f'{{service: {{account: CENTRALITA, subject: "$JS.{INFO}"}}, to: "$JS.CENTRALITA.{INFO}"}}'
WITHOUT_AN_IMPORT = CONTRACTS.replace(IMPORTED, "")


async def first_warning(address: str, access: Credentials, service: Service) -> dict[str, Any]:
    """Returns the first warning of a service that waits."""
    client = await nats.connect(
        access.url(address, service), inbox_prefix=inbox_of(service), connect_timeout=60, error_cb=_ignore
    )
    with capture_logs() as logs:
        waiting = asyncio.create_task(wait_until_provisioned(client, service))
        while not logs:
            assert not waiting.done(), waiting.exception()
            await asyncio.sleep(0.05)
        waiting.cancel()
    await client.close()
    return dict(logs[0])


async def _ignore(_: Exception) -> None:
    """Ignores refused publications, which nats-py reports here."""


@pytest.mark.parametrize("text", [PLAIN, OLDER], ids=["plain", "older"])
async def test_a_service_names_the_file_that_the_server_lacks_and_waits(
    server_with: "ServerWith", access: Credentials, text: str
) -> None:
    with server_with(text) as (address, _):
        warning = await first_warning(address, access, Service.VOICE)
    assert warning["event"] == "not_provisioned"
    assert warning["log_level"] == "warning"
    assert warning["reason"].startswith("nats-server has not the accounts of this version: the user voice is in ")
    assert warning["advice"] == LOAD_ACCOUNTS


async def test_a_service_names_the_file_if_an_import_is_missing(
    server_with: "ServerWith", access: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader_retry, "MAX_ELECTION_SECONDS", 0.0)  # a server without a leader would not answer, either
    with server_with(WITHOUT_AN_IMPORT) as (address, _):
        warning = await first_warning(address, access, Service.CAMPAIGN_STATS)
    assert warning["reason"].startswith("JetStream does not answer (")
    assert warning["advice"] == LOAD_PERMISSIONS
    assert "deploy/nats/permissions.conf" in LOAD_PERMISSIONS


async def test_a_service_waits_for_provisioning_and_then_starts(server_with: "ServerWith", access: Credentials) -> None:
    with server_with(CONTRACTS) as (address, _):
        warning = await first_warning(address, access, Service.VOICE)
        assert (warning["reason"], warning["advice"]) == (
            "stream not found",
            "run python -m chassis.provision as the user admin",
        )
        admin = await nats.connect(access.url(address, ADMIN), connect_timeout=60)
        await provision(admin)
        await admin.close()
        voice = await nats.connect(access.url(address, Service.VOICE), inbox_prefix=inbox_of(Service.VOICE))
        await wait_until_provisioned(voice, Service.VOICE)
        await voice.close()


@pytest.mark.parametrize("text", [PLAIN, OLDER], ids=["plain", "older"])
def test_provisioning_names_the_file_that_the_server_lacks_and_changes_nothing(
    server_with: "ServerWith", access: Credentials, text: str
) -> None:
    with server_with(text) as (address, _):
        ended = subprocess.run(
            [sys.executable, "-m", "chassis.provision"],
            env=os.environ | {"NATS_URL": access.url(address, ADMIN)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr.startswith("Nothing was changed: nats-server has not the accounts of this version: ")
    assert "deploy/nats/permissions.conf" in ended.stderr
    assert "docs/production.md" in ended.stderr
    assert "Traceback" not in ended.stderr
