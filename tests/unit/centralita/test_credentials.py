"""The passwords of an embedded run: one for each user, in a private file, never printed."""

import io
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.console import Console
from structlog.testing import capture_logs

from centralita.embedded.credentials import (
    Credentials,
    find_password,
    is_embedded_run,
    with_credentials,
    without_credentials,
)
from centralita.embedded.views import started
from chassis.connection_errors import on_bus_error
from contracts.accounts import ADMIN
from contracts.permissions import OPERATOR, users

ADDRESS = "nats://127.0.0.1:4222"


def test_every_user_and_every_run_has_its_own_password() -> None:
    one, other = Credentials.generate(), Credentials.generate()
    assert one.passwords.keys() == {user.name for user in users()}
    assert len({*one.passwords.values(), *other.passwords.values()}) == 2 * len(users())
    assert not any(password in repr(one) for password in one.passwords.values())


def test_stored_credentials_are_used_for_the_address_of_the_run_and_for_no_other(tmp_path: Path) -> None:
    access, file = Credentials.generate(), tmp_path / "access.json"
    assert with_credentials(ADDRESS, OPERATOR, file) == ADDRESS
    access.store(file, ADDRESS)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert with_credentials(ADDRESS, OPERATOR, file) == access.url(ADDRESS, OPERATOR)
    assert with_credentials(ADDRESS, ADMIN, file) == access.url(ADDRESS, ADMIN)
    for given in ("nats://127.0.0.1:4223", "nats://other:user@127.0.0.1:4222"):
        assert with_credentials(given, OPERATOR, file) == given
        assert not is_embedded_run(given, file)
    assert is_embedded_run(ADDRESS, file)


def test_a_password_is_found_in_the_url_or_in_the_stored_credentials_of_its_address(tmp_path: Path) -> None:
    access, file = Credentials.generate(), tmp_path / "access.json"
    as_operator = access.url(ADDRESS, OPERATOR)
    assert find_password(as_operator, OPERATOR, file) == access.passwords[OPERATOR]
    assert find_password(as_operator, ADMIN, file) is None
    access.store(file, ADDRESS)
    for url in (ADDRESS, as_operator):
        assert find_password(url, ADMIN, file) == access.passwords[ADMIN]
    assert find_password("nats://127.0.0.1:4223", ADMIN, file) is None


def test_the_view_of_a_running_system_contains_no_password() -> None:
    url = Credentials.generate().url(ADDRESS, OPERATOR)
    assert without_credentials(url) == ADDRESS
    vendors = SimpleNamespace(real=(), simulated=("twilio",))
    system: Any = SimpleNamespace(nats_url=url, mongo_url="mongodb://127.0.0.1:1/?x", urls={}, vendors=vendors)
    console = Console(width=200, file=io.StringIO())
    console.print(started(system))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert ADDRESS in shown
    assert OPERATOR not in shown


async def test_a_permission_violation_is_logged_as_an_error_without_ids() -> None:
    with capture_logs() as lines:
        await on_bus_error(Exception('nats: permissions violation for publish to "dial.placed.0123-abcd"'))
        await on_bus_error(ConnectionResetError("of nats://voice:password@127.0.0.1"))
    refused, connection_error = lines
    assert refused["log_level"] == "error"
    assert (refused["event"], refused["operation"], refused["family"]) == ("bus_refused", "publish", "dial.placed")
    assert (connection_error["log_level"], connection_error["error"]) == ("warning", "ConnectionResetError")
    assert "0123" not in str(lines)
    assert "password" not in str(lines)
