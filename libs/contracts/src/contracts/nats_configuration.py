"""``python -m contracts.nats_configuration`` prints the accounts, users and permissions for nats-server.

Each user has an account of its own, in which the streams are that it owns. The shared streams are in a central account.
Messages of one account are not visible in another one; `contracts.imports` says what passes, and why that is the wall.
The permissions of a user are a second fence, and what `centralita doctor` reads.
"""

import json
import sys
from collections.abc import Iterable, Iterator

from contracts.accounts import ADMIN, CENTRAL, SYSTEM, account_of, api_mapping, has_jetstream, owned_streams
from contracts.imports import Import, exports, imports
from contracts.permissions import User, users
from contracts.queries import OUTCOMES, PUBLISHED_OUTCOMES
from contracts.streams import SEALED_STREAMS

REPLIES_WITHIN = "10s"
"""How long the server keeps the way back for a reply that may be followed by others: longer than our requests wait."""

_ACCOUNT_IN_ACKNOWLEDGEMENTS = "feature_flags: {js_ack_fc_v2: true}"
"""Acknowledgements name the account (`contracts.accounts.ack_subject`). Since nats-server 2.14."""


def configuration(*, has_permissions: bool = True) -> str:
    """Returns the text to ``include`` in a nats-server configuration; passwords come from the environment.

    `has_permissions`: False leaves the second fence out, so that a test can show that the first one holds alone.
    """
    known = {account_of(user.name): user for user in users()}
    parts = ["# Generated: `make contracts`. Accounts, users and permissions; see contracts.imports and ADR 12."]
    parts += [_ACCOUNT_IN_ACKNOWLEDGEMENTS, f"system_account: {_name(SYSTEM)}", "accounts {"]
    for account in (SYSTEM, CENTRAL, *sorted(known.keys() - {CENTRAL})):
        members = [_user(known[account], has_permissions=has_permissions)] if account in known else []
        parts += [f"  {_name(account)}: {{", *(f"    {line}" for line in _account(account, members)), "  }"]
    return "\n".join([*parts, "}"]) + "\n"


def open_configuration() -> str:
    """Returns the configuration of a server without users, where every client may do everything: for tests.

    All streams are in its only account. Their API has the subjects that it has with accounts, and so have outcomes.
    """
    owners = sorted({account for user in users() if has_jetstream(account := account_of(user.name))})
    outcomes = f'"{PUBLISHED_OUTCOMES}": "{OUTCOMES.replace("*", "$2")}"'
    mappings = [*(f"  {_mapping(owner)}" for owner in owners), f"  {outcomes}"]
    return "\n".join([_ACCOUNT_IN_ACKNOWLEDGEMENTS, "mappings: {", *mappings, "}", ""])


def _account(name: str, members: Iterable[list[str]]) -> Iterator[str]:
    if name == CENTRAL:
        yield "jetstream: enabled"
    elif owned := owned_streams(name):
        copies = sum(stream in SEALED_STREAMS for stream in owned)  # which `centralita seal` needs meanwhile
        yield f"jetstream: {{max_streams: {len(owned) + copies}}}"
    if has_jetstream(name):
        yield f"mappings: {{{_mapping(name)}}}"
    yield from _list("exports", _exports(name))
    yield from _list("imports", (_import(one) for one in imports() if one.importer == name))
    yield from _list("users", (line for member in members for line in member))


def _mapping(account: str) -> str:
    return ": ".join(map(_text, api_mapping(account)))


def _exports(account: str) -> Iterator[str]:
    for one in exports():
        if one.exporter == account:
            replies = f', response_type: stream, threshold: "{REPLIES_WITHIN}"' if one.has_many_replies else ""
            yield f"{{{one.kind}: {_text(one.subject)}, accounts: [{', '.join(one.importers)}]{replies}}}"


def _import(one: Import) -> str:
    local = f", to: {_text(one.local)}" if one.local != one.subject else ""
    return f"{{{one.kind}: {{account: {_name(one.exporter)}, subject: {_text(one.subject)}}}{local}}}"


def _user(user: User, *, has_permissions: bool) -> list[str]:
    head = f"user: {_text(user.name)}, password: ${user.password_variable}"
    if user.name == ADMIN or not has_permissions:
        return [f"{{{head}}}"]
    allowed = {"publish": user.publish, "subscribe": user.subscribe}
    lines = [line for act, subjects in allowed.items() for line in _allowed(act, subjects)]
    return [f"{{{head}, permissions: {{", *(f"  {line}" for line in lines), "}}"]


def _allowed(act: str, subjects: Iterable[str]) -> list[str]:
    return [f"{act}: {{", *(f"  {line}" for line in _list("allow", map(_text, subjects))), "}"]


def _list(name: str, items: Iterable[str]) -> list[str]:
    lines = [f"  {item}" for item in items]
    return [f"{name}: [", *lines, "]"] if lines else []


def _name(account: str) -> str:
    """Returns the name of an account in the configuration, where a bare ``$`` begins a variable."""
    return _text(account) if account.startswith("$") else account


def _text(value: str) -> str:
    return json.dumps(value)


if __name__ == "__main__":
    sys.stdout.write(configuration())
