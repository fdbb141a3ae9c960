"""The permissions of each NATS user, derived from the owners of events and from what each service reads.

A service may publish the events that it owns and the JetStream requests that its work needs. It may subscribe to its
own consumers and its own inbox. This module only computes; `contracts.nats_configuration` writes the configuration.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from contracts import buckets, consumers, filters
from contracts.audit import ALL_ENTRIES
from contracts.buckets import ANSWERS, CALL_CLIPS, CLIPS, DIALS
from contracts.consumers import CONSUMERS, Consumer
from contracts.event import Service
from contracts.events import EVENTS
from contracts.events.timers import SCHEDULES_OF_CALLS
from contracts.queries import (
    CALL_REQUEST,
    OUTCOMES,
    CallingTimesQuery,
    CallListQuery,
    CampaignCallsQuery,
    CampaignListQuery,
    CampaignStatisticsQuery,
    NumberCallsQuery,
)
from contracts.streams import (
    AUDIT,
    CALLS,
    CHECKED_KEY,
    CONTACTS,
    DEAD_LETTERS,
    KEYS,
    NUMBERS,
    QUEUE,
    REQUESTS,
    SCHEDULES,
    Stream,
)

OPERATOR = "operator"
"""The user of the command line: reads everything, requests calls, and changes nothing else."""
ADMIN = "admin"
"""Provisions streams and consumers, imports logs and republishes dead letters. Without limits."""

OWN_PERMISSIONS = "$SYS.REQ.USER.INFO"
"""The server replies with the user, account and permissions of the requesting connection, and nothing else.

Every user may publish it, so that `centralita doctor` can compare the permissions in force with these."""

_API = "$JS.API"
_STATISTICS = CampaignStatisticsQuery.subject
_QUERIES = (
    _STATISTICS,
    CampaignCallsQuery.subject,
    CallListQuery.subject,
    NumberCallsQuery.subject,
    CampaignListQuery.subject,
)
"""What campaign-stats answers from MongoDB."""
_SERVER_TIME = f"{_API}.STREAM.INFO.{SCHEDULES.name}"
"""The request whose answer has the time of the server (`chassis.bus_clock`)."""

_KEY_CHANGES = (KEYS, KEYS.subjects)
"""Followed by every service that reads personal data, so that it drops a destroyed key."""


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


@dataclass(frozen=True, slots=True)
class Work:
    """What a service does on NATS beside publishing its events.

    `handles`: durable consumers, whose messages it may store as dead letters. `reads`: streams of which it gets stored
    messages. `follows`: the filters of their subjects whose messages it also receives as they are stored. `takes`: work
    queues whose messages it removes, with pull consumers that it creates and deletes. `consumes`: streams that it alone
    writes, and that it reads with temporary consumers. `answers`: requests to which it replies, each with its queue
    group. `publishes`: further subjects, each with its purpose beside it. `awaits`: subjects of answers to which it
    subscribes, beside its own inboxes.
    """

    handles: tuple[Consumer, ...] = ()
    reads: tuple[Stream, ...] = ()
    follows: tuple[tuple[Stream, tuple[str, ...]], ...] = ()
    takes: tuple[Stream, ...] = ()
    consumes: tuple[Stream, ...] = ()
    answers: tuple[tuple[str, str], ...] = ()
    publishes: tuple[str, ...] = ()
    awaits: tuple[str, ...] = ()


WORK: Mapping[Service, Work] = {
    Service.ORCHESTRATOR: Work(
        handles=(
            consumers.ORCHESTRATOR_REQUESTS,
            consumers.ORCHESTRATOR_COMMANDS,
            consumers.ORCHESTRATOR_CAMPAIGNS,
            consumers.ORCHESTRATOR_CONTACTS,
            consumers.ORCHESTRATOR_NUMBERS,
            consumers.ORCHESTRATOR_PERSONS,
            consumers.ORCHESTRATOR_FACTS,
            consumers.ORCHESTRATOR_FINISHES,
        ),
        reads=(CALLS, REQUESTS, CONTACTS, QUEUE, NUMBERS, SCHEDULES, KEYS, DEAD_LETTERS),
        follows=(
            (CALLS, (*filters.SLOT_FILTERS, *filters.CAMPAIGN_FILTERS)),
            (CONTACTS, filters.CONTACT_GROUP_FILTERS),
            (QUEUE, QUEUE.subjects),
            _KEY_CHANGES,
        ),
        takes=(CONTACTS,),
        answers=((CallingTimesQuery.subject, Service.ORCHESTRATOR),),
        publishes=(
            *KEYS.subjects,
            *SCHEDULES_OF_CALLS,
            f"{_API}.STREAM.PURGE.{SCHEDULES.name}",  # clears a deadline
            f"{_API}.STREAM.MSG.DELETE.{QUEUE.name}",  # leaves the queue
            f"{_API}.STREAM.MSG.DELETE.{REQUESTS.name}",  # erases a request in clear once it is decided
            # what the erasure of a person deletes
            *(f"{_API}.STREAM.MSG.DELETE.{stream.name}" for stream in (KEYS, CONTACTS, DEAD_LETTERS)),
            OUTCOMES,
        ),
    ),
    Service.VOICE: Work(
        handles=(
            consumers.VOICE_DIALS,
            consumers.VOICE_HANGUPS,
            consumers.VOICE_MESSAGES,
            consumers.VOICE_SETTLEMENTS,
        ),
        reads=(CALLS, KEYS, CALL_CLIPS.stream),
        follows=(
            (CALLS, (*filters.DIAL_FILTERS, *filters.TURN_FILTERS)),
            (CALLS, (*filters.ANSWERED_CALL_FILTERS, *filters.ENDED_CALL_FILTERS)),
            _KEY_CHANGES,
        ),
        consumes=(CLIPS.stream,),
        publishes=(
            CHECKED_KEY,
            _SERVER_TIME,
            f"$O.{CLIPS.name}.>",
            f"{_API}.STREAM.NAMES",  # nats-py finds the store's stream by its subject
            f"{_API}.STREAM.MSG.GET.{CLIPS.stream.name}",
            f"{_API}.STREAM.PURGE.{CLIPS.stream.name}",  # the pieces of a clip that was replaced
            f"$KV.{CALL_CLIPS.name}.*.*",
            f"{_API}.STREAM.PURGE.{CALL_CLIPS.stream.name}",  # the clips of a call that has ended
        ),
    ),
    Service.CONVERSATION: Work(
        handles=(consumers.CONVERSATION_TURNS,),
        reads=(CALLS, KEYS, ANSWERS.stream),
        follows=(_KEY_CHANGES,),
        publishes=(CHECKED_KEY, _SERVER_TIME, f"$KV.{ANSWERS.name}.*"),
    ),
    Service.EDGE: Work(
        reads=(CALLS, REQUESTS, CONTACTS, NUMBERS, KEYS, AUDIT, DIALS.stream),
        follows=((CALLS, CALLS.subjects), _KEY_CHANGES),
        answers=((CALL_REQUEST, Service.EDGE),),
        publishes=(
            *_QUERIES,
            CallingTimesQuery.subject,
            *KEYS.subjects,
            ALL_ENTRIES,
            f"$KV.{DIALS.name}.*.*",
            # the backlog: calls that wait for a slot, and undecided requests
            f"{_API}.STREAM.INFO.{QUEUE.name}",
            f"{_API}.CONSUMER.INFO.{REQUESTS.name}.{consumers.ORCHESTRATOR_REQUESTS.name}",
        ),
        awaits=(OUTCOMES,),
    ),
    Service.CAMPAIGN_STATS: Work(
        reads=(CALLS,),
        follows=((CALLS, filters.PROJECTION_FILTERS),),
        answers=tuple((subject, Service.CAMPAIGN_STATS) for subject in _QUERIES),
        publishes=(
            *(f"dead_letter.{subjects}" for subjects in filters.PROJECTION_FILTERS),
            # its gauges: pending messages of each consumer, and the size of each stream
            *(f"{_API}.CONSUMER.INFO.{consumer.stream.name}.{consumer.name}" for consumer in CONSUMERS),
            *(f"{_API}.STREAM.INFO.{stream.name}" for stream in buckets.WATCHED_STREAMS),
        ),
    ),
}


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
    return (*services, upstream, _operator(), User(ADMIN))


def _service(service: Service, work: Work) -> User:
    publish = [OWN_PERMISSIONS, *owned_by(service), *work.publishes]
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
    if work.answers:
        publish += ["_INBOX.>", "_R_.>"]  # the second: requests through an import of another account
    subscribe = [f"{consumer.deliver_subject} {consumer.name}" for consumer in work.handles]
    subscribe += [f"{subject} {queue}" for subject, queue in work.answers]
    subscribe += [stream.live(subject) for stream, subjects in work.follows for subject in subjects]
    subscribe += work.awaits
    return User(
        service,
        tuple(sorted(set(publish))),
        (*subscribe, f"{inbox_of(service)}.>"),
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
        (*asked_from_outside(), OWN_PERMISSIONS, _STATISTICS, *api),
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
