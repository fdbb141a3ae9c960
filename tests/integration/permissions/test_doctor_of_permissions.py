"""The doctor asks the running server, as each user, what it permits, and names what the contracts do not say."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from centralita.commands.doctor import examine
from centralita.embedded import servers as embedded
from centralita.embedded.credentials import Credentials
from centralita.operations.doctor import permissions
from centralita.operations.doctor.checks import Finding, Result
from contracts import Service
from contracts.nats_configuration import configuration
from contracts.permissions import ADMIN, OPERATOR, OWN_PERMISSIONS, users

if TYPE_CHECKING:
    from tests.integration.permissions.conftest import Connect

OURS = configuration()
Altered = Callable[[str], AbstractContextManager[tuple[str, Callable[[str], None]]]]


@pytest.fixture
def altered(tmp_path: Path, access: Credentials, monkeypatch: pytest.MonkeyPatch) -> Altered:
    """Runs a server on another text than the contracts'; what is yielded with its address lets it read one anew."""

    @contextmanager
    def server(text: str) -> Iterator[tuple[str, Callable[[str], None]]]:
        monkeypatch.setattr(embedded, "configuration", lambda: text)
        with embedded.nats_server(tmp_path / "altered", access=access) as address:
            (ports,) = (tmp_path / "altered" / "ports").glob("*.ports")

            def reload(other: str) -> None:
                (tmp_path / "altered" / "permissions.conf").write_text(other)
                os.kill(int(ports.stem.rpartition("_")[2]), signal.SIGHUP)

            yield address, reload

    return server


def exchanged(old: str, new: str) -> str:
    """The configuration with one thing exchanged, of which there is one."""
    assert OURS.count(old) == 1
    return OURS.replace(old, new)


def without(user: str, subject: str) -> str:
    """The configuration in which this user's list lacks a subject."""
    head, tail = OURS.split(f'user: "{user}"')
    line = f'            "{subject}"\n'
    assert line in tail
    return f'{head}user: "{user}"{tail.replace(line, "", 1)}'


async def asked(address: str, access: Credentials) -> dict[str, Finding]:
    found = await permissions.check("NATS", address, access.passwords)
    return {one.check.removeprefix("permissions of "): one for one in found}


async def test_what_the_contracts_say_is_in_force_for_every_user(address: str, access: Credentials) -> None:
    found = await asked(address, access)
    assert {name: one.result for name, one in found.items()} == {user.name: Result.OK for user in users()}


async def test_an_altered_permission_is_named_with_its_user_and_the_remedy_mends_it(
    altered: Altered, access: Credentials
) -> None:
    with altered(exchanged('"audio.failed.*"', '"call.created.*.*"')) as (address, reload):
        found = await asked(address, access)
        assert [name for name, one in found.items() if one.result is not Result.OK] == [Service.VOICE]
        assert found[Service.VOICE].found == "may publish call.created.*.*; may not publish audio.failed.*"
        assert "kill -s HUP nats" in found[Service.VOICE].advice
        reload(OURS)
        while (await asked(address, access))[Service.VOICE].result is not Result.OK:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("text", "user", "says"),
    [
        (
            exchanged('"deliver.voice-dials voice-dials"', '"deliver.>"'),
            Service.VOICE,
            "may hear deliver.>; may not hear",
        ),
        (exchanged('"deliver.>"\n', '"nobody"\n'), OPERATOR, "is not denied to hear deliver.>"),
        (without(Service.EDGE, OWN_PERMISSIONS), Service.EDGE, f"it may not ask what it may ({OWN_PERMISSIONS})"),
        (without(OPERATOR, "$JS.API.STREAM.INFO.*"), OPERATOR, "may not publish $JS.API.STREAM.INFO.*"),
        (exchanged("$NATS_PASSWORD_EDGE", "another"), Service.EDGE, "the server does not know this user"),
        (
            exchanged(
                f'{{user: "{ADMIN}", password: $NATS_PASSWORD_ADMIN}}',
                f'{{user: "{ADMIN}", password: $NATS_PASSWORD_ADMIN, permissions: {{publish: ["{OWN_PERMISSIONS}"]}}}}',
            ),
            ADMIN,
            f"may publish only {OWN_PERMISSIONS}",
        ),
    ],
)
async def test_other_differences_are_named_too(
    altered: Altered, access: Credentials, text: str, user: str, says: str
) -> None:
    with altered(text) as (address, _):
        found = await asked(address, access)
        assert [name for name, one in found.items() if one.result is Result.FAILED] == [user]
        assert says in found[user].found
        assert found[user].advice


async def test_a_user_without_limits_is_found(tmp_path: Path, access: Credentials) -> None:
    with embedded.nats_server(tmp_path / "open") as address:
        found = await asked(address, access)
    assert "may publish everything; may hear everything" in found[Service.CONVERSATION].found
    assert "is in the account $G, not CENTRALITA" in found[ADMIN].found


async def test_the_doctor_finds_passwords_in_the_settings_and_says_whose_it_has_not(
    connect: "Connect", address: str, access: Credentials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("NATS")]:
        monkeypatch.delenv(name)
    await connect(ADMIN)  # the streams are there
    file = tmp_path / "settings.env"
    file.write_text(f"NATS_PASSWORD_VOICE={access.passwords[Service.VOICE]}\nNATS_PASSWORD_EDGE=\n")
    found = {one.check: one for one in await examine(access.url(address, OPERATOR), file) if one.area == "NATS"}
    assert found["permissions of voice"].result is Result.OK
    assert found["permissions of operator"].result is Result.OK
    (others,) = [check for check, one in found.items() if one.result is Result.SKIPPED]
    assert others == "permissions of call-orchestrator, conversation, edge, campaign-stats, upstream, admin"
    assert not [secret for secret in access.passwords.values() if secret in str(found)]


async def test_beside_compose_its_own_settings_are_enough(
    connect: "Connect", address: str, access: Credentials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("NATS")]:
        monkeypatch.delenv(name)
    await connect(ADMIN)  # the streams are there
    file = tmp_path / ".env"
    file.write_text("".join(f"{user.password_variable}={access.passwords[user.name]}\n" for user in users()))
    found = [one for one in await examine(address, file) if one.area == "NATS"]
    assert len(found) > len(users())
    assert {one.result for one in found} <= {Result.OK, Result.WARNING}, "nobody listens, and that is all"


async def test_what_may_not_be_asked_for_want_of_a_permission_is_explained(
    altered: Altered, access: Credentials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("NATS")]:
        monkeypatch.delenv(name)
    with altered(without(OPERATOR, "$JS.API.STREAM.INFO.*")) as (address, _):
        found = {one.check: one for one in await examine(access.url(address, OPERATOR))}
    assert found["permissions of operator"].found == "may not publish $JS.API.STREAM.INFO.*"
    assert found["connection"].result is Result.FAILED
