"""Whether the server has in force what the contracts say of each user.

The server tells a user its own permissions, and nobody else's: so the doctor connects as every user whose password is
to be found here, and asks. It listens to nothing but its own inbox, so it takes no message from anybody.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError

from centralita.operations.doctor.checks import Finding, failed, ok, skipped
from chassis.addresses import connection
from contracts.nats_configuration import account_of
from contracts.permissions import OWN_PERMISSIONS, User, inbox_of, users

RELOAD = (
    "`make contracts` writes deploy/nats/permissions.conf as these contracts have it; then NATS must read it again: "
    "`docker compose kill -s HUP nats`; `make up` writes its own whenever it is started"
)
ANSWER_SECONDS = 5
_SHOWN = 4
_ACTS = (("publish", "publish"), ("subscribe", "hear"))


async def check(area: str, address: str, passwords: Mapping[str, str]) -> list[Finding]:
    """A finding for each user that has a password in `passwords`, and one for all others. `address`: without a user."""
    asked = [user for user in users() if passwords.get(user.name)]
    findings = await asyncio.gather(*(_user(area, address, user, passwords[user.name]) for user in asked))
    if others := [user for user in users() if user not in asked]:
        names = ", ".join(user.name for user in others)
        where = "only they can ask; no password of theirs in this environment (NATS_PASSWORD_…) or of a `make up` here"
        findings.append(skipped(area, f"permissions of {names}", where))
    return findings


async def _user(area: str, address: str, user: User, password: str) -> Finding:
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
            error_cb=_silent,
        )
    except (NatsError, OSError):
        await client.close()
        found = "the server does not know this user, or by another password than the one that is here"
        return failed(area, name, found, f"give {user.password_variable} to NATS and here alike; or: {RELOAD}")
    try:
        told = json.loads((await client.request(OWN_PERMISSIONS, timeout=ANSWER_SECONDS)).data)["data"]
    except NatsError:
        return failed(area, name, f"it may not ask what it may ({OWN_PERMISSIONS})", RELOAD)
    finally:
        await client.close()
    if different := "; ".join(differences(user, told)):
        return failed(area, name, different, RELOAD)
    return ok(area, name, "as these contracts say")


async def _silent(_: Exception) -> None:
    """A refusal is a finding."""


def differences(user: User, told: Mapping[str, Any]) -> Iterable[str]:
    """In which ways what the server says of a user is not what the contracts say. An empty list allows everything."""
    if told.get("account") != account_of(user):
        yield f"is in the account {told.get('account')}, not {account_of(user)}"
    permissions = told.get("permissions") or {}
    if permissions.get("responses"):
        yield "may answer on whatever subject it is asked to (allow_responses)"
    wanted = {"publish": (user.publish, user.never_publish), "subscribe": (user.subscribe, user.never_subscribe)}
    for act, verb in _ACTS:
        there = permissions.get(act) or {}
        allowed, denied = set(there.get("allow") or ()), set(there.get("deny") or ())
        allow, deny = map(set, wanted[act])
        if allow and not allowed:
            yield f"may {verb} everything"
        elif allowed and not allow:
            yield from _listed(f"may {verb} only", allowed)
        else:
            yield from _listed(f"may {verb}", allowed - allow)
            yield from _listed(f"may not {verb}", allow - allowed)
        yield from _listed(f"is denied to {verb}", denied - deny)
        yield from _listed(f"is not denied to {verb}", deny - denied)


def _listed(says: str, subjects: set[str]) -> Iterable[str]:
    if subjects:
        more = f" and {len(subjects) - _SHOWN} more" if len(subjects) > _SHOWN else ""
        yield f"{says} {', '.join(sorted(subjects)[:_SHOWN])}{more}"
