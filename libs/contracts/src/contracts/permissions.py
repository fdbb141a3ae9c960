"""The permissions of each NATS user, derived from the owners of events and from what each service reads.

A service may publish the events that it owns and the JetStream requests that its work needs. It may subscribe to its
own consumers and its own inbox. This module only computes; `contracts.nats_configuration` writes the configuration.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from contracts.consumers import Consumer
from contracts.event import Service
from contracts.events import EVENTS
from contracts.queries import CALL_REQUEST, OUTCOMES, CampaignStatisticsQuery
from contracts.service_status import STATUS_REQUEST, status_subject
from contracts.work import DEAD_LETTER_USER, DEAD_LETTER_WORK, WORK, Work

OPERATOR = "operator"
"""The user of the command line: reads everything, requests calls, and changes nothing else."""
ADMIN = "admin"
"""Provisions streams and consumers, imports logs and republishes dead letters. Without limits."""

OWN_PERMISSIONS = "$SYS.REQ.USER.INFO"
"""The server replies with the user, account and permissions of the requesting connection, and nothing else.

Every user may publish it, so that `centralita doctor` can compare the permissions in force with these."""

_API = "$JS.API"


@dataclass(frozen=True, slots=True)
class User:
    """One user of the server. For `ADMIN`, an empty `publish` and `subscribe` mean everything."""

    name: str
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    never_subscribe: tuple[str, ...] = ()

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
    upstream = User(Service.UPSTREAM, asked, (OUTCOMES, "_INBOX.>"))  # in its own account, which does not contain ours
    return (*services, upstream, _operator(), _dead_letters(), User(ADMIN))


def _service(service: Service, work: Work) -> User:
    # `_R_`: the replies to requests through an import of another account.
    answering = ("_INBOX.>", "_R_.>") if work.answers else ()
    return _worker(service, work, (*owned_by(service), *answering))


def _dead_letters() -> User:
    """Returns the user that resends dead letters. It replies to the edge only, from which its requests come."""
    return _worker(DEAD_LETTER_USER, DEAD_LETTER_WORK, (f"{inbox_of(Service.EDGE)}.>",))


def _worker(name: str, work: Work, further: tuple[str, ...]) -> User:
    publish = [OWN_PERMISSIONS, status_subject(name), *further, *work.publishes]
    for consumer in work.handles:
        publish += _handling(consumer)
    for stream in (*work.reads, *work.consumes):
        publish.append(f"{_API}.STREAM.INFO.{stream.name}")
    for stream in work.reads:
        publish += [f"{_API}.DIRECT.GET.{stream.name}", f"{_API}.DIRECT.GET.{stream.name}.>"]
        publish.append(f"{_API}.STREAM.MSG.GET.{stream.name}")  # from the leader, which does not lag
    for stream in work.takes:
        publish += _taking(stream.name)
    for stream in work.consumes:
        publish += _consuming(stream.name)
    subscribe = [f"{consumer.deliver_subject} {consumer.name}" for consumer in work.handles]
    subscribe += [f"{subject} {queue}" for subject, queue in work.answers]
    subscribe += [stream.live(subject) for stream, subjects in work.follows for subject in subjects]
    subscribe += work.awaits
    return User(
        name,
        tuple(sorted(set(publish))),
        (*subscribe, STATUS_REQUEST, f"{inbox_of(name)}.>"),
    )


def _operator() -> User:
    info = (
        "INFO",
        "STREAM.NAMES",
        "STREAM.LIST",
        "STREAM.INFO.*",
        "STREAM.MSG.GET.*",
        "DIRECT.GET.*",
        "DIRECT.GET.*.>",
    )
    of_consumers = ("CONSUMER.NAMES.*", "CONSUMER.LIST.*", "CONSUMER.INFO.*.*")
    api = [f"{_API}.{verb}" for verb in (*info, *of_consumers)]
    return User(
        OPERATOR,
        (*asked_from_outside(), OWN_PERMISSIONS, CampaignStatisticsQuery.subject, STATUS_REQUEST, *api),
        (">",),
        never_subscribe=("deliver.>",),  # in the queue group of a consumer it would receive messages of a service
    )


def _handling(consumer: Consumer) -> Iterator[str]:
    path = f"{consumer.stream.name}.{consumer.name}"
    yield f"$JS.ACK.{path}.>"
    yield f"{_API}.CONSUMER.INFO.{path}"
    for subjects in consumer.filters:
        yield f"dead_letter.{subjects}"


def _taking(stream: str) -> Iterator[str]:
    """Yields the requests for the pull consumers of a work queue, and for removing its messages."""
    yield f"{_API}.CONSUMER.CREATE.{stream}.>"
    yield f"{_API}.CONSUMER.DURABLE.CREATE.{stream}.*"  # by which nats-py creates one with several filters
    yield f"{_API}.CONSUMER.INFO.{stream}.*"
    yield f"{_API}.CONSUMER.LIST.{stream}"
    yield f"{_API}.CONSUMER.MSG.NEXT.{stream}.*"
    yield f"{_API}.CONSUMER.DELETE.{stream}.*"
    yield f"{_API}.STREAM.PURGE.{stream}"
    yield f"$JS.ACK.{stream}.>"


def _consuming(stream: str) -> Iterator[str]:
    """Yields the requests for temporary consumers of a stream that no other service reads (ADR 28)."""
    yield f"{_API}.CONSUMER.CREATE.{stream}"
    yield f"{_API}.CONSUMER.CREATE.{stream}.>"
    yield f"{_API}.CONSUMER.INFO.{stream}.*"
    yield f"{_API}.CONSUMER.DELETE.{stream}.*"
    yield f"$JS.FC.{stream}.>"
