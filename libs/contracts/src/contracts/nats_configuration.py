"""``python -m contracts.nats_configuration`` prints the users and permissions for nats-server.

There are two accounts. Messages of one account are not visible in the other; requests and their replies pass through
exports and imports. So an upstream system can neither subscribe to our subjects nor name one of them for its reply.
"""

import json
import sys
from collections.abc import Iterable

from contracts.event import Service
from contracts.permissions import ADMIN, User, asked_from_outside, users
from contracts.queries import OUTCOMES

OURS = "CENTRALITA"
THEIRS = "UPSTREAM"


def account_of(user: User) -> str:
    """Returns the account of a user."""
    return THEIRS if user.name == Service.UPSTREAM else OURS


def configuration() -> str:
    """Returns the text to ``include`` in a nats-server configuration; passwords come from the environment."""
    known = users()
    ours = [user for user in known if account_of(user) == OURS]
    theirs = [user for user in known if account_of(user) == THEIRS]
    asked = asked_from_outside()
    exports = [f"{{service: {_text(subject)}, accounts: [{THEIRS}]}}" for subject in asked]
    exports.append(f"{{stream: {_text(OUTCOMES)}, accounts: [{THEIRS}]}}")
    imports = [f"{{service: {{account: {OURS}, subject: {_text(subject)}}}}}" for subject in asked]
    imports.append(f"{{stream: {{account: {OURS}, subject: {_text(OUTCOMES)}}}}}")
    parts = [
        "# Generated: `make contracts`. Users and permissions; see contracts.permissions and ADR 12.",
        "accounts {",
        *_account(OURS, ["jetstream: enabled", *_list("exports", exports)], ours),
        *_account(THEIRS, _list("imports", imports), theirs),
        "}",
    ]
    return "\n".join(parts) + "\n"


def _account(name: str, settings: Iterable[str], members: Iterable[User]) -> list[str]:
    lines = [*settings, "users: [", *(f"  {line}" for user in members for line in _user(user)), "]"]
    return [f"  {name}: {{", *(f"    {line}" for line in lines), "  }"]


def _user(user: User) -> list[str]:
    head = f"user: {_text(user.name)}, password: ${user.password_variable}"
    if user.name == ADMIN:
        return [f"{{{head}}}"]
    allowed = [
        *_list("publish", [], user.publish),
        *_list("subscribe", [], user.subscribe, user.never_subscribe),
    ]
    return [f"{{{head}, permissions: {{", *(f"  {line}" for line in allowed), "}}"]


def _list(name: str, items: list[str], allow: tuple[str, ...] | None = None, deny: tuple[str, ...] = ()) -> list[str]:
    """Returns the lines of a list; with `allow`, of the allowed and denied subjects."""
    if allow is None:
        return [f"{name}: [", *(f"  {item}" for item in items), "]"]
    lines = [f"{name}: {{", *(f"  {line}" for line in _list("allow", [_text(subject) for subject in allow]))]
    if deny:
        lines += [f"  {line}" for line in _list("deny", [_text(subject) for subject in deny])]
    return [*lines, "}"]


def _text(value: str) -> str:
    return json.dumps(value)


if __name__ == "__main__":
    sys.stdout.write(configuration())
