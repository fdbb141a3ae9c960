"""The accounts of nats-server: one for the shared streams, and one for each user.

A message of one account is not visible in another one. It passes through an import alone (`contracts.imports`), and the
server replaces its reply subject by one of its own. A stream is in the account of its owner, or in the central one.
"""

from functools import cache
from hashlib import sha256
from string import ascii_lowercase, ascii_uppercase, digits

from contracts.buckets import WATCHED_STREAMS
from contracts.streams import SEALED_STREAMS, Stream, sealed_copy

ADMIN = "admin"
"""The user that provisions, imports logs and migrates. The only one in the central account; without limits."""
CENTRAL = "CENTRALITA"
"""The account of the shared streams. Its name is a part of their path on the server's disk."""
SYSTEM = "$SYS"
"""The account in which the server answers requests about itself. It has no user.

Its name is that of the server's default: a cluster keeps the list of its streams on disk under this name."""


def account_of(user: str) -> str:
    """Returns the account of a user."""
    return CENTRAL if user == ADMIN else user.upper().replace("-", "_")


def account_of_stream(stream: str) -> str:
    """Returns the account of a stream. One that the contracts do not know is in the central account."""
    return _accounts_of_streams().get(stream, CENTRAL)


@cache
def _accounts_of_streams() -> dict[str, str]:
    owned = {one.name: account_of(one.owner) for one in WATCHED_STREAMS if one.owner}
    return owned | {sealed_copy(one.name): owned[one.name] for one in SEALED_STREAMS if one.name in owned}


def owned_streams(account: str) -> tuple[Stream, ...]:
    """Returns the streams of an account that is not the central one."""
    return tuple(one for one in WATCHED_STREAMS if one.owner and account_of(one.owner) == account)


def stored_again(stream: str, subject: str) -> str:
    """Returns the subject on which admin stores a message of a stream once more, in a copy of the stream.

    The copy is in the account of the stream, and stores the message on `subject`. No service may publish there.
    """
    return f"stored_again.{stream}.{subject}"


def has_jetstream(account: str) -> bool:
    """Returns whether there are streams in an account."""
    return account == CENTRAL or bool(owned_streams(account))


def api_mapping(account: str) -> tuple[str, str]:
    """Returns the mapping by which the owner of streams finds their API under the same subjects as all others."""
    return f"$JS.{account}.API.>", "$JS.API.>"


def api_subject(verb: str, stream: str, *tokens: str, account: str | None = None) -> str:
    """Returns the subject of a request to JetStream's API about a stream, such as ``STREAM.INFO``.

    It is the same for every user, the owner of the stream included: as if the stream's account were a JetStream domain.
    No server has such a domain; the mappings and imports of the accounts make it (`contracts.nats_configuration`).
    `account`: in which the stream is, if it is not where it belongs.
    """
    return ".".join((f"$JS.{account or account_of_stream(stream)}.API.{verb}.{stream}", *tokens))


def ack_subject(stream: str, *tokens: str) -> str:
    """Returns the subject of acknowledgements of a stream's messages, which names the stream's account.

    The server's first format, ``$JS.ACK.<stream>.<consumer>.…``, does not. With it, an account with a stream and a
    consumer of the same names would let the server acknowledge messages of others: it answers a message that a consumer
    has delivered to a request of JetStream's API, on the reply subject of the delivery (ADR 80).
    """
    return ".".join(("$JS.ACK._", _hash_of(account_of_stream(stream)), stream, *tokens))


@cache
def _hash_of(account: str) -> str:
    """Returns how the server names an account in acknowledgements (``getHash`` in its ``util.go``)."""
    alphabet = digits + ascii_uppercase + ascii_lowercase
    return "".join(alphabet[byte % len(alphabet)] for byte in sha256(account.encode()).digest()[:8])
