"""Check that the permissions in force on the server are those of the contracts.

The server reports a user's permissions only to that user. So the doctor connects as every user whose password it
finds, and requests them. It subscribes only to its own inbox, so no service misses a message.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError

from chassis.addresses import connection
from chassis.findings import Finding, failed, listed, ok, skipped
from contracts.accounts import account_of
from contracts.permissions import OWN_PERMISSIONS, User, inbox_of, users

RELOAD = (
    "`make contracts` writes deploy/nats/permissions.conf; then make NATS reload it: `docker compose kill -s HUP "
    "nats`, elsewhere `nats-server --signal reload` on each node. `make up` writes its own whenever it is started"
)
ANSWER_SECONDS = 5


async def check(area: str, address: str, passwords: Mapping[str, str]) -> list[Finding]:
    """Returns a finding for each user with a password in `passwords`, and one for all others.

    `address`: that of the server, without a user.
    """
    known = [user for user in users() if passwords.get(user.name)]
    findings = await asyncio.gather(*(_check_user(area, address, user, passwords[user.name]) for user in known))
    if unknown := [user for user in users() if user not in known]:
        names = ", ".join(user.name for user in unknown)
        reason = (
            "their passwords are neither in this environment (NATS_PASSWORD_…) nor in the files of a `make up` here"
        )
        findings.append(skipped(area, f"permissions of {names}", reason))
    return findings


async def _check_user(area: str, address: str, user: User, password: str) -> Finding:
    name = f"permissions of {user.name}"
    client = Client()
    try:
        await client.connect(
            connection(address)["servers"],
            user=user.name,
            password=password,
            inbox_prefix=inbox_of(user.name),
            connect_timeout=ANSWER_SECONDS,
            allow_reconnect=False,  # see bus
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            error_cb=_ignore,
        )
    except (NatsError, OSError):
        await client.close()
        found = "the server does not know this user, or has another password for it than this environment"
        return failed(
            area, name, found, f"set {user.password_variable} to the same value for NATS and here; or: {RELOAD}"
        )
    try:
        answer = json.loads((await client.request(OWN_PERMISSIONS, timeout=ANSWER_SECONDS)).data)["data"]
    except NatsError:
        return failed(area, name, f"it may not request its permissions ({OWN_PERMISSIONS})", RELOAD)
    finally:
        await client.close()
    if different := "; ".join(differences(user, answer)):
        return failed(area, name, different, RELOAD)
    return ok(area, name, "equal to the contracts")


async def _ignore(_: Exception) -> None:
    """Ignores the reported error: the failed request becomes a finding."""


def differences(user: User, answer: Mapping[str, Any]) -> Iterable[str]:
    """Yields how the server's answer about a user differs from the contracts. An empty list allows everything."""
    if answer.get("account") != account_of(user.name):
        yield f"is in the account {answer.get('account')}, not {account_of(user.name)}"
    permissions = answer.get("permissions") or {}
    if permissions.get("responses"):
        yield "may publish to any reply subject (allow_responses)"
    for verb, allow in {"publish": user.publish, "subscribe": user.subscribe}.items():
        actual = permissions.get(verb) or {}
        act = "subscribe to" if verb == "subscribe" else verb
        yield from _list_differences(act, actual, set(allow))


def _list_differences(act: str, actual: Mapping[str, Any], allow: set[str]) -> Iterable[str]:
    allowed, denied = set(actual.get("allow") or ()), set(actual.get("deny") or ())
    if allow and not allowed:
        yield f"may {act} everything"
    elif allowed and not allow:
        yield from _listed(f"may {act} only", allowed)
    else:
        yield from _listed(f"may {act}", allowed - allow)
        yield from _listed(f"may not {act}", allow - allowed)
    yield from _listed(f"is forbidden to {act}", denied)


def _listed(text: str, subjects: set[str]) -> Iterable[str]:
    if subjects:
        yield listed(text, subjects)
