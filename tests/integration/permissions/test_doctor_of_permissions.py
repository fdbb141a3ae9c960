"""The doctor compares the permissions in force on a running server with the contracts."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from centralita.commands.doctor import examine
from centralita.embedded import servers as embedded
from centralita.embedded.credentials import Credentials
from centralita.operations.doctor import permissions
from chassis.findings import Finding, Result
from contracts import Service
from contracts.accounts import ADMIN, CENTRAL, api_subject
from contracts.nats_configuration import configuration
from contracts.permissions import OPERATOR, OWN_PERMISSIONS, users
from contracts.streams import CALLS

if TYPE_CHECKING:
    from tests.integration.permissions.conftest import Connect, ServerWith

CONTRACTS = configuration()
INFO = api_subject("STREAM.INFO", CALLS.name)


def replaced(old: str, new: str) -> str:
    """Returns the configuration with `old`, which occurs once, replaced by `new`."""
    assert CONTRACTS.count(old) == 1
    return CONTRACTS.replace(old, new)


def in_list_of(user: str, subject: str, other: str | None) -> str:
    """Returns the configuration with a subject in this user's list replaced by another one, or without it."""
    head, tail = CONTRACTS.split(f'user: "{user}"')
    line = f'            "{subject}"\n'
    assert line in tail
    return f'{head}user: "{user}"{tail.replace(line, line.replace(subject, other) if other else "", 1)}'


def without(user: str, subject: str) -> str:
    """Returns the configuration without a subject in this user's list."""
    return in_list_of(user, subject, None)


async def check(address: str, access: Credentials) -> dict[str, Finding]:
    found = await permissions.check("NATS", address, access.passwords)
    return {one.check.removeprefix("permissions of "): one for one in found}


async def test_the_permissions_of_the_contracts_are_in_force_for_every_user(address: str, access: Credentials) -> None:
    found = await check(address, access)
    assert {name: one.result for name, one in found.items()} == {user.name: Result.OK for user in users()}


async def test_a_different_permission_is_named_with_its_user_and_the_remedy_works(
    server_with: "ServerWith", access: Credentials
) -> None:
    with server_with(in_list_of(Service.VOICE, "audio.failed.*", "call.created.*.*")) as (address, reload):
        found = await check(address, access)
        assert [name for name, one in found.items() if one.result is not Result.OK] == [Service.VOICE]
        assert found[Service.VOICE].found == "may publish call.created.*.*; may not publish audio.failed.*"
        assert "kill -s HUP nats" in found[Service.VOICE].advice
        reload(CONTRACTS)
        while (await check(address, access))[Service.VOICE].result is not Result.OK:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("text", "user", "description"),
    [
        (
            replaced('"deliver.voice-dials voice-dials"', '"deliver.>"'),
            Service.VOICE,
            "may subscribe to deliver.>; may not subscribe to",
        ),
        (
            without(Service.EDGE, OWN_PERMISSIONS),
            Service.EDGE,
            f"it may not request its permissions ({OWN_PERMISSIONS})",
        ),
        (without(OPERATOR, INFO), OPERATOR, f"may not publish {INFO}"),
        (replaced("$NATS_PASSWORD_EDGE", "another"), Service.EDGE, "the server does not know this user"),
        (
            replaced(
                f'{{user: "{ADMIN}", password: $NATS_PASSWORD_ADMIN}}',
                f'{{user: "{ADMIN}", password: $NATS_PASSWORD_ADMIN, permissions: {{publish: ["{OWN_PERMISSIONS}"]}}}}',
            ),
            ADMIN,
            f"may publish only {OWN_PERMISSIONS}",
        ),
    ],
)
async def test_every_kind_of_difference_is_named(
    server_with: "ServerWith", access: Credentials, text: str, user: str, description: str
) -> None:
    with server_with(text) as (address, _):
        found = await check(address, access)
        assert [name for name, one in found.items() if one.result is Result.FAILED] == [user]
        assert description in found[user].found
        assert found[user].advice


async def test_a_user_without_limits_is_found(tmp_path: Path, access: Credentials) -> None:
    with embedded.nats_server(tmp_path / "open") as address:
        found = await check(address, access)
    assert "may publish everything; may subscribe to everything" in found[Service.CONVERSATION].found
    assert f"is in the account $G, not {CENTRAL}" in found[ADMIN].found


async def test_the_doctor_finds_passwords_in_the_settings_and_names_users_without_one(
    connect: "Connect", address: str, access: Credentials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("NATS")]:
        monkeypatch.delenv(name)
    await connect(ADMIN)  # creates the streams
    file = tmp_path / "settings.env"
    file.write_text(f"NATS_PASSWORD_VOICE={access.passwords[Service.VOICE]}\nNATS_PASSWORD_EDGE=\n")
    found = {one.check: one for one in await examine(access.url(address, OPERATOR), file) if one.area == "NATS"}
    assert found["permissions of voice"].result is Result.OK
    assert found["permissions of operator"].result is Result.OK
    (others,) = [check for check, one in found.items() if one.result is Result.SKIPPED]
    assert (
        others == "permissions of call-orchestrator, conversation, edge, campaign-stats, upstream, dead-letters, admin"
    )
    assert not [secret for secret in access.passwords.values() if secret in str(found)]


async def test_the_settings_of_compose_are_sufficient(
    connect: "Connect", address: str, access: Credentials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("NATS")]:
        monkeypatch.delenv(name)
    await connect(ADMIN)  # creates the streams
    file = tmp_path / ".env"
    file.write_text("".join(f"{user.password_variable}={access.passwords[user.name]}\n" for user in users()))
    found = [one for one in await examine(address, file) if one.area == "NATS"]
    assert len(found) > len(users())
    assert {one.result for one in found} <= {Result.OK, Result.WARNING}, "no service subscribes; nothing else is wrong"


async def test_a_check_that_a_missing_permission_prevents_is_explained(
    server_with: "ServerWith", access: Credentials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("NATS")]:
        monkeypatch.delenv(name)
    with server_with(without(OPERATOR, INFO)) as (address, _):
        found = {one.check: one for one in await examine(access.url(address, OPERATOR))}
    assert found["permissions of operator"].found == f"may not publish {INFO}"
    assert found["stream CALLS"].result is Result.FAILED
