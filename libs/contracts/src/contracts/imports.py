"""What each account of nats-server imports from others, derived from the permissions of its user.

Imports are the wall: a reply or a delivery that the server makes travels with the rights of the account, not of the
user, and reaches at most what the account imports. So an account imports nothing that its user may not do. A subject
that a user may publish is imported from the account that stores it or that answers it, and one that it may subscribe to
from the account in which it is published.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, groupby, zip_longest

from contracts.accounts import (
    CENTRAL,
    SYSTEM,
    account_of,
    account_of_stream,
    owned_streams,
    stored_again,
)
from contracts.askers import outcomes_for
from contracts.buckets import WATCHED_STREAMS
from contracts.event import Service
from contracts.permissions import ACCOUNT_INFO, OWN_PERMISSIONS, REPLIES, User, users
from contracts.queries import OUTCOMES, PUBLISHED_OUTCOMES
from contracts.service_status import ALL_STATUSES, STATUS_REQUEST, status_subject
from contracts.streams import Stream
from contracts.work import ANSWERED

CONNECTIONS = "$SYS.REQ.ACCOUNT.*.CONNZ"
"""Each server replies with the connections of an account. For admin, who must be alone during a migration."""
_API = "$JS.API."


class Kind(StrEnum):
    """What passes through an import."""

    SERVICE = "service"
    """Messages to the other account, and their replies."""
    STREAM = "stream"
    """Messages from the other account."""


@dataclass(frozen=True, slots=True, order=True)
class Import:
    """What one account imports from another one. `local`: the subject by which the account knows it."""

    importer: str
    exporter: str
    kind: Kind
    subject: str
    local: str

    @property
    def has_many_replies(self) -> bool:
        """Whether a request has several replies: the pages of a batch, the messages of a pull, one of each server."""
        return self.kind is Kind.SERVICE and (
            self.subject.startswith((f"{_API}DIRECT.GET.", f"{_API}>")) or self.subject in (ACCOUNT_INFO, CONNECTIONS)
        )


@dataclass(frozen=True, slots=True, order=True)
class Export:
    """What an account lets others import: exactly those that the contracts know."""

    exporter: str
    kind: Kind
    subject: str
    importers: tuple[str, ...]
    has_many_replies: bool


def accounts() -> tuple[str, ...]:
    """Returns all accounts, sorted, that of the system first."""
    return SYSTEM, *sorted({account_of(user.name) for user in users()})


def exports() -> tuple[Export, ...]:
    """Returns all exports of all accounts, sorted: what is imported from them, and nothing else."""
    found = []
    for exported, group in groupby(sorted(imports(), key=_exported), key=_exported):
        importing = list(group)
        importers = tuple(sorted({one.importer for one in importing}))
        found.append(Export(*exported, importers, importing[0].has_many_replies))
    return tuple(found)


def _exported(one: Import) -> tuple[str, Kind, str]:
    return one.exporter, one.kind, one.subject


def imports() -> tuple[Import, ...]:
    """Returns all imports of all accounts, sorted."""
    found = chain(chain.from_iterable(_imports_of(user) for user in users()), _imports_of_admin())
    return tuple(sorted({one for one in found if one.importer != one.exporter}))


def _imports_of(user: User) -> Iterator[Import]:
    account = account_of(user.name)
    for subject in user.publish:
        for exporter, exported in _server_of(subject):
            yield Import(account, exporter, Kind.SERVICE, exported, subject)
    for subject in user.subscribe:
        for exporter, exported in _source_of(subject.partition(" ")[0]):
            yield Import(account, exporter, Kind.STREAM, exported, exported)
    if OUTCOMES in user.subscribe:
        yield _outcomes(account, user)


def _outcomes(importer: str, asker: User) -> Import:
    """Returns the import of an asker's outcomes, which the importer receives without the name of the asker."""
    return Import(importer, account_of(Service.ORCHESTRATOR), Kind.STREAM, outcomes_for(asker.name), OUTCOMES)


def _imports_of_admin() -> Iterator[Import]:
    """Yields what the central account imports, for its only user: all that the others can do with their streams."""
    for subject in (ACCOUNT_INFO, CONNECTIONS):
        yield Import(CENTRAL, SYSTEM, Kind.SERVICE, subject, subject)
    for account in sorted({account_of(user.name) for user in users()}):
        for stream in owned_streams(account):
            yield Import(CENTRAL, account, Kind.SERVICE, f"{_API}>", f"$JS.{account}.API.>")
            for subject in (*stream.subjects, stored_again(stream.name, ">")):
                yield Import(CENTRAL, account, Kind.SERVICE, subject, subject)
            live = stream.live(">")
            yield Import(CENTRAL, account, Kind.STREAM, live, live)
    for subject, user in ANSWERED.items():
        yield Import(CENTRAL, account_of(user), Kind.SERVICE, subject, subject)
    for exporter, exported in _source_of(ALL_STATUSES):
        yield Import(CENTRAL, exporter, Kind.STREAM, exported, exported)
    for asker in users():
        if OUTCOMES in asker.subscribe:
            yield _outcomes(CENTRAL, asker)


def _server_of(subject: str) -> Iterator[tuple[str, str]]:
    """Yields the account that stores or answers messages on a subject, and the subject there.

    Yields none if the messages reach others through their imports, or are replies.
    """
    tokens = subject.split(".")
    if subject in ANSWERED:
        yield account_of(ANSWERED[subject]), subject
    elif subject == ACCOUNT_INFO:
        yield SYSTEM, subject
    elif subject.startswith(_API):
        return  # of streams of its own
    elif tokens[0] == "$JS" and tokens[2] == "API":
        yield tokens[1], _API + ".".join(tokens[3:])
    elif tokens[0] == "$JS":  # $JS.ACK._.<account>.<stream>.…
        yield account_of_stream(tokens[4]), subject
    elif subject in (REPLIES, OWN_PERMISSIONS, PUBLISHED_OUTCOMES, STATUS_REQUEST) or subject in _STATUSES:
        return
    else:
        yield account_of_stream(_stream_of(subject).name), subject


def _source_of(subject: str) -> Iterator[tuple[str, str]]:
    """Yields each account in which messages on a subject are published, and the subject there."""
    family, _, rest = subject.partition(".")
    if family == "deliver":
        yield CENTRAL, subject
    elif family == "live":  # as a whole: two imports that overlap would deliver a message twice
        stream = rest.partition(".")[0]
        yield account_of_stream(stream), f"live.{stream}.>"
    elif subject == ALL_STATUSES:
        for status, worker in _STATUSES.items():
            yield account_of(worker), status
    elif subject == STATUS_REQUEST:
        for user in users():
            if STATUS_REQUEST in user.publish:
                yield account_of(user.name), subject


_STATUSES = {status_subject(user.name): user.name for user in users() if status_subject(user.name) in user.publish}


def _stream_of(subject: str) -> Stream:
    """Returns the stream that stores messages on a subject. Raises LookupError."""
    for stream in WATCHED_STREAMS:
        if any(_matches(subject, pattern) for pattern in stream.subjects):
            return stream
    raise LookupError(f"no stream of the contracts stores {subject}, and no service answers it")


def _matches(subject: str, pattern: str) -> bool:
    """Returns whether `pattern` matches every subject that `subject`, which may be a filter, too, matches."""
    for part, expected in zip_longest(subject.split("."), pattern.split(".")):
        if expected == ">":
            return part is not None
        if part in (None, ">") or expected not in ("*", part):
            return False
    return True
