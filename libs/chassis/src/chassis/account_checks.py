"""Whether nats-server has the accounts of the contracts, and what to do if it has not.

On a server without them, or with those of an older build, no request of this build has an answer: neither the subjects
of JetStream's API (`contracts.accounts.api_subject`) nor the permissions exist there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from nats.errors import NoRespondersError

from chassis.jetstream_info import ask
from contracts.accounts import ADMIN, account_of, api_subject
from contracts.permissions import OWN_PERMISSIONS, users
from contracts.streams import CALLS

LOAD_ACCOUNTS = (
    "stop all services, give nats-server the file deploy/nats/permissions.conf of this version, and restart it. Then "
    "run, as the user admin, `python -m chassis.migrate` on data of an older build (docs/production.md, Upgrade), or "
    "`python -m chassis.provision` on a new server"
)
"""The remedy. A reload is not enough: streams that are outside of the accounts must be moved into them."""
LOAD_PERMISSIONS = (
    "let nats-server load deploy/nats/permissions.conf of this version (docs/production.md, Access to NATS), and put "
    "the right user into NATS_URL"
)
_PROBE = api_subject("STREAM.INFO", CALLS.name)


@dataclass(frozen=True, slots=True)
class OwnUser:
    """The user of a connection, as the server describes it. `publish` is empty if it may publish everything."""

    name: str
    account: str
    publish: frozenset[str]

    def may_publish(self, subject: str) -> bool:
        """Returns whether the permissions have this subject, literally."""
        return not self.publish or subject in self.publish


async def read_own_user(client: Client) -> OwnUser | None:
    """Returns the user of the connection; None if the server does not tell it."""
    answer: Mapping[str, Any] | None = (await ask(client, OWN_PERMISSIONS)).get("data")
    if answer is None:
        return None
    publish = ((answer.get("permissions") or {}).get("publish") or {}).get("allow") or ()
    return OwnUser(answer.get("user") or "", answer.get("account") or "", frozenset(publish))


async def find_missing_accounts(client: Client) -> str | None:
    """Returns how the server shows that it has not the accounts of the contracts; None if it has them.

    None, too, if a server without accounts answers the subjects of the contracts, as that of a test does.
    """
    own = await read_own_user(client)
    if own is None:
        return None
    is_known = own.name in {user.name for user in users()} and own.account == account_of(own.name)
    if is_known and own.name != ADMIN:  # whose account had the same name in older builds
        return None
    if own.may_publish(_PROBE) and not await _has_no_responders(client, _PROBE):
        return None
    user = f"the user {own.name} is" if own.name else "a connection without a user is"
    return f"nats-server has not the accounts of this version: {user} in {own.account}, where {_PROBE} has no answer"


async def _has_no_responders(client: Client, subject: str) -> bool:
    try:
        await client.request(subject)
    except NoRespondersError:
        return True
    except TimeoutError:
        return False
    return False
