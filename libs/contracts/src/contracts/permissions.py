"""The permissions of each NATS user, derived from the owners of events and from what each service reads.

A service may publish the events that it owns and the JetStream requests that its work needs. It may subscribe to its
own consumers and its own inbox. This module only computes; `contracts.nats_configuration` writes the configuration.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from contracts.accounts import ADMIN, account_of, ack_subject, api_subject
from contracts.buckets import WATCHED_STREAMS
from contracts.consumers import CONSUMERS, Consumer
from contracts.event import Service
from contracts.events import EVENTS
from contracts.queries import CALL_REQUEST, OUTCOMES, CampaignStatisticsQuery
from contracts.service_status import ALL_STATUSES, STATUS_REQUEST, status_subject
from contracts.streams import STREAMS
from contracts.work import DEAD_LETTER_USER, DEAD_LETTER_WORK, WORK, Work

OPERATOR = "operator"
"""The user of the command line: reads everything, requests calls, and changes nothing else."""
ACCOUNT_INFO = "$SYS.REQ.SERVER.PING.ACCOUNTZ"
"""Each server replies with the names of its accounts, or the exports and imports of one, for `centralita doctor`."""
REPLIES = "_R_.>"
"""Where the server expects the reply to a request from another account."""
OWN_PERMISSIONS = "$SYS.REQ.USER.INFO"
"""The server replies with the user, account and permissions of the requesting connection, and nothing else.

Every user may publish it, so that `centralita doctor` can compare the permissions in force with these."""


@dataclass(frozen=True, slots=True)
class User:
    """One user of the server. For `ADMIN`, an empty `publish` and `subscribe` mean everything."""

    name: str
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()

    @property
    def password_variable(self) -> str:
        """The environment variable in which the server and compose find the password."""
        return f"NATS_PASSWORD_{self.name.upper().replace('-', '_')}"


def inbox_of(user: str) -> str:
    """Returns the prefix of a user's inboxes, for the NATS client. No other service may subscribe to it."""
    return f"_INBOX.{user}"


def owned_by(service: Service) -> tuple[str, ...]:
    """Returns the filters of the events that a service owns."""
    return tuple(event.subjects() for event in EVENTS.values() if service in event.owners)


def asked_from_outside() -> tuple[str, ...]:
    """Returns all subjects on which upstream systems may publish."""
    return (*owned_by(Service.UPSTREAM), CALL_REQUEST)


def users() -> tuple[User, ...]:
    """Returns every user of the server."""
    services = tuple(_service(service, work) for service, work in WORK.items())
    asked = (*asked_from_outside(), OWN_PERMISSIONS)
    upstream = User(Service.UPSTREAM, asked, (OUTCOMES, "_INBOX.>"))
    return (*services, upstream, _operator(), _worker(DEAD_LETTER_USER, DEAD_LETTER_WORK), User(ADMIN))


def _service(service: Service, work: Work) -> User:
    return _worker(service, work, owned_by(service))


def _worker(name: str, work: Work, owned: tuple[str, ...] = ()) -> User:
    publish = [OWN_PERMISSIONS, status_subject(name), *owned, *work.publishes]
    if work.answers:
        publish.append(REPLIES)
    for consumer in work.handles:
        publish += _handling(consumer)
    for stream in work.reads:
        publish.append(api_subject("STREAM.INFO", stream.name))
    for stream in work.reads:
        publish += _reading(stream.name)
    for stream in work.takes:
        publish += _taking(stream.name)
    subscribe = [f"{consumer.deliver_subject} {consumer.name}" for consumer in work.handles]
    subscribe += [f"{subject} {queue}" for subject, queue in work.answers]
    subscribe += [stream.live(subject) for stream, subjects in work.follows for subject in subjects]
    subscribe += work.awaits
    return User(
        name,
        tuple(sorted({mapped(subject, name) for subject in publish})),
        (*subscribe, STATUS_REQUEST, f"{inbox_of(name)}.>"),
    )


def mapped(subject: str, user: str) -> str:
    """Returns the subject by which the server checks a permission: it applies the mappings of an account before."""
    return subject.replace(f"$JS.{account_of(user)}.API.", "$JS.API.")


def _operator() -> User:
    publish = [*asked_from_outside(), OWN_PERMISSIONS, ACCOUNT_INFO, CampaignStatisticsQuery.subject, STATUS_REQUEST]
    publish += [api_subject("STREAM.INFO", stream.name) for stream in WATCHED_STREAMS]
    for stream in STREAMS:
        publish += _reading(stream.name)
    publish += [api_subject("CONSUMER.INFO", one.stream.name, one.name) for one in CONSUMERS]
    live = [stream.live(">") for stream in STREAMS if not stream.schedules]
    return User(OPERATOR, tuple(sorted(set(publish))), (*live, OUTCOMES, ALL_STATUSES, "_INBOX.>"))


def _reading(stream: str) -> Iterator[str]:
    """Yields the requests for stored messages, by any node and by the leader, which does not lag."""
    yield api_subject("DIRECT.GET", stream)
    yield api_subject("DIRECT.GET", stream, ">")
    yield api_subject("STREAM.MSG.GET", stream)


def _handling(consumer: Consumer) -> Iterator[str]:
    yield ack_subject(consumer.stream.name, consumer.name, ">")
    yield api_subject("CONSUMER.INFO", consumer.stream.name, consumer.name)
    for subjects in consumer.filters:
        yield f"dead_letter.{subjects}"


def _taking(stream: str) -> Iterator[str]:
    """Yields the requests for the pull consumers of a work queue, and for removing its messages."""
    yield api_subject("CONSUMER.CREATE", stream, ">")
    yield api_subject("CONSUMER.DURABLE.CREATE", stream, "*")  # by which nats-py creates one with several filters
    yield api_subject("CONSUMER.INFO", stream, "*")
    yield api_subject("CONSUMER.LIST", stream)
    yield api_subject("CONSUMER.MSG.NEXT", stream, "*")
    yield api_subject("CONSUMER.DELETE", stream, "*")
    yield api_subject("STREAM.PURGE", stream)
    yield ack_subject(stream, ">")
