"""The doctor compares the accounts in force on a running server with the contracts, and its remedy works."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import nats
import pytest
from nats.aio.client import Client

from centralita.commands.doctor import examine
from centralita.embedded.credentials import Credentials
from centralita.embedded.servers import nats_server
from centralita.operations.doctor import accounts
from chassis.account_checks import LOAD_ACCOUNTS
from chassis.bus_checks import MAY_NOT_READ
from chassis.findings import MAX_LISTED, Finding, Result
from contracts import Service
from contracts.accounts import ADMIN, CENTRAL, SYSTEM
from contracts.nats_configuration import configuration
from contracts.permissions import ACCOUNT_INFO, OPERATOR, inbox_of, users

if TYPE_CHECKING:
    from tests.integration.permissions.conftest import Connect, ServerWith

CONTRACTS = configuration()
FORGED = "$JS.API.STREAM.DELETE.CALLS"
WITHOUT_ACCOUNTS = 'authorization: {users: [{user: "operator", password: $NATS_PASSWORD_OPERATOR}]}\n'


def in_account(name: str, old: str, new: str, text: str = CONTRACTS) -> str:
    """Returns the configuration with `old`, which occurs once in the account, replaced by `new`."""
    name = f'"{name}"' if name == SYSTEM else name
    head, _, rest = text.partition(f"\n  {name}: {{\n")
    body, end, tail = rest.partition("\n  }\n")
    assert body.count(old) == 1, (name, old, body.count(old))
    return f"{head}\n  {name}: {{\n{body.replace(old, new)}{end}{tail}"


def with_forged_import() -> str:
    """Returns a configuration in which voice may delete the log: the second fence would still refuse it."""
    exported = in_account(CENTRAL, "exports: [\n", f'exports: [\n      {{service: "{FORGED}", accounts: [VOICE]}}\n')
    line = f'{{service: {{account: CENTRALITA, subject: "{FORGED}"}}, to: "$JS.CENTRALITA.API.STREAM.DELETE.CALLS"}}'
    return in_account("VOICE", "imports: [\n", f"imports: [\n      {line}\n", exported)


DIFFERENCES: dict[str, tuple[Callable[[], str], dict[str, str]]] = {
    "an import that the contracts do not have": (
        with_forged_import,
        {CENTRAL: f"exports {FORGED} to VOICE", "VOICE": "imports $JS.CENTRALITA.API.STREAM.DELETE.CALLS"},
    ),
    "a missing import": (
        lambda: in_account("VOICE", '      {service: {account: CENTRALITA, subject: "dial.placed.*"}}\n', ""),
        {"VOICE": "does not import dial.placed.* from CENTRALITA"},
    ),
    "an import under another subject": (
        lambda: in_account(
            "VOICE",
            'account: CENTRALITA, subject: "dial.cleared"}',
            'account: CENTRALITA, subject: "dial.cleared"}, to: "d"',
        ),
        {"VOICE": "does not import dial.cleared from CENTRALITA; imports dial.cleared from CENTRALITA as d"},
    ),
    "an export to one account more": (
        lambda: in_account(
            CENTRAL,
            '"reply.generated.*", accounts: [CONVERSATION]',
            '"reply.generated.*", accounts: [CONVERSATION, VOICE]',
        ),
        {CENTRAL: "exports reply.generated.* to VOICE"},
    ),
    "an export to every account": (
        lambda: in_account(CENTRAL, '"reply.generated.*", accounts: [CONVERSATION]', '"reply.generated.*"'),
        {
            CENTRAL: "does not export reply.generated.* to CONVERSATION; exports reply.generated.* to every account",
        },
    ),
    "an export whose further replies are lost": (
        lambda: in_account(
            CENTRAL,
            '"$JS.API.DIRECT.GET.AUDIT", accounts: [EDGE, OPERATOR], response_type: stream, threshold: "10s"',
            '"$JS.API.DIRECT.GET.AUDIT", accounts: [EDGE, OPERATOR]',
        ),
        {CENTRAL: "has another kind of replies to $JS.API.DIRECT.GET.AUDIT (Singleton, not Streamed)"},
    ),
    "another mapping": (
        lambda: in_account("VOICE", '"$JS.API.>"}', '"$JS.API.STREAM.>"}'),
        {
            "VOICE": "does not map $JS.VOICE.API.> to $JS.API.>; maps $JS.VOICE.API.> to $JS.API.STREAM.>",
        },
    ),
    "streams in an account without any": (
        lambda: in_account("UPSTREAM", "imports: [\n", "jetstream: enabled\n    imports: [\n"),
        {"UPSTREAM": "JetStream is on, not off"},
    ),
    "an account without its streams": (
        lambda: in_account("EDGE", "    jetstream: {max_streams: 1}\n", ""),
        {"EDGE": "JetStream is off, not on"},
    ),
}


@asynccontextmanager
async def connected(address: str, access: Credentials, user: str) -> AsyncIterator[Client]:
    client = await nats.connect(access.url(address, user), inbox_prefix=inbox_of(user), connect_timeout=60)
    try:
        yield client
    finally:
        await client.close()


async def check(address: str, access: Credentials, user: str = OPERATOR) -> dict[str, Finding]:
    async with connected(address, access, user) as client:
        return {one.check.removeprefix("account "): one for one in await accounts.check("NATS", client)}


@pytest.fixture(autouse=True)
def _without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("NATS")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("user", [OPERATOR, ADMIN])
async def test_the_accounts_of_the_contracts_are_in_force(address: str, access: Credentials, user: str) -> None:
    found = await check(address, access, user)
    assert {name: one.result for name, one in found.items()} == {"accounts": Result.OK}
    assert found["accounts"].found.startswith(f"{len({*users()}) + 1} accounts and ")


@pytest.mark.parametrize("difference", DIFFERENCES)
async def test_each_difference_is_named_with_its_account_and_the_remedy_works(
    server_with: "ServerWith", access: Credentials, difference: str
) -> None:
    change, expected = DIFFERENCES[difference]
    with server_with(change()) as (address, reload):
        found = await check(address, access)
        assert {name: one.found for name, one in found.items() if one.result is not Result.OK} == expected
        assert {one.result for one in found.values()} == {Result.FAILED}
        assert all("reload" in one.advice for one in found.values())
        reload(CONTRACTS)
        while (await check(address, access)).keys() != {"accounts"}:
            await asyncio.sleep(0.05)


async def test_a_user_of_the_system_account_is_found_while_it_is_connected(
    server_with: "ServerWith", access: Credentials
) -> None:
    text = in_account(SYSTEM, "exports: [\n", 'users: [{user: "sys", password: "made-up"}]\n    exports: [\n')
    with server_with(text) as (address, _):
        assert (await check(address, access)).keys() == {"accounts"}, "the server names no users, only connections"
        client = await nats.connect(address, user="sys", password="made-up", connect_timeout=60)
        try:
            found = await check(address, access)
        finally:
            await client.close()
    assert found[SYSTEM].found == "has 1 connections; no user of the contracts is in it"


async def test_an_account_that_the_contracts_do_not_know_is_a_warning(
    server_with: "ServerWith", access: Credentials
) -> None:
    with server_with(CONTRACTS.replace("\naccounts {\n", "\naccounts {\n  OTHERS: {jetstream: enabled}\n", 1)) as (
        address,
        _,
    ):
        found = await check(address, access)
    assert found.keys() == {"other accounts"}
    assert found["other accounts"].result is Result.WARNING
    assert found["other accounts"].found == "the contracts do not know OTHERS"


async def test_a_missing_account_is_one_finding_that_names_few_subjects(
    server_with: "ServerWith", access: Credentials
) -> None:
    with server_with(re.sub(r"(?<!PASSWORD_)CALL_ORCHESTRATOR", "ORCHESTRATOR", CONTRACTS)) as (address, _):
        found = await check(address, access)
    assert found["CALL_ORCHESTRATOR"].found == "Account CALL_ORCHESTRATOR does not exist"
    assert found["other accounts"].found == "the contracts do not know ORCHESTRATOR"
    assert found[CENTRAL].found.count(" to CALL_ORCHESTRATOR") == MAX_LISTED
    assert " more; exports " in found[CENTRAL].found


async def test_who_may_not_request_the_accounts_is_told_so(server_with: "ServerWith", access: Credentials) -> None:
    without_permission = in_account("OPERATOR", f'            "{ACCOUNT_INFO}"\n', "")
    without_import = in_account(
        "OPERATOR", f'      {{service: {{account: "{SYSTEM}", subject: "{ACCOUNT_INFO}"}}}}\n', ""
    )
    with server_with(without_permission) as (address, reload):
        assert (await check(address, access))["accounts"].found == f"operator may not request them ({ACCOUNT_INFO})"
        voice = (await check(address, access, Service.VOICE))["accounts"]
        assert (voice.found, voice.advice) == ("the server does not show them to voice", MAY_NOT_READ)
        reload(without_import)
        text = f"the server does not answer {ACCOUNT_INFO}"
        while (await check(address, access))["accounts"].found != text:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("text", [WITHOUT_ACCOUNTS, ""], ids=["with a user", "plain"])
async def test_a_server_without_accounts_is_one_finding(
    server_with: "ServerWith", access: Credentials, tmp_path: Path, text: str
) -> None:
    file = tmp_path / ".env"
    file.write_text("".join(f"{user.password_variable}={access.passwords[user.name]}\n" for user in users()))
    with server_with(text) as (address, _):
        found = [one for one in await examine(address, file) if one.area == "NATS"]
    assert [(one.check, one.result) for one in found if one.result is not Result.SKIPPED] == [
        ("accounts", Result.FAILED)
    ]
    assert len(found) == 2
    assert found[0].found.startswith("nats-server has not the accounts of this version: ")
    assert found[0].advice == LOAD_ACCOUNTS


async def test_a_server_of_a_test_has_no_accounts_to_compare(tmp_path: Path) -> None:
    with nats_server(tmp_path / "open") as address:
        client = await nats.connect(address, connect_timeout=60)
        try:
            (found,) = await accounts.check("NATS", client)
        finally:
            await client.close()
    assert found.result is Result.SKIPPED


async def test_the_doctor_compares_the_accounts(connect: "Connect", address: str, access: Credentials) -> None:
    await connect(ADMIN)  # creates the streams
    found = {one.check: one for one in await examine(access.url(address, OPERATOR)) if one.area == "NATS"}
    assert found["accounts"].result is Result.OK
