"""Who may say and hear what on NATS: the owners of events, the readers of streams and consumers, as data.

A service may publish the facts it owns, and the little that its own work asks of JetStream; it hears its own consumers
and its own inbox. Nothing here does input or output: `contracts.nats_configuration` writes it down for the server.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from contracts import streams
from contracts.audit import ALL_ENTRIES
from contracts.event import Service
from contracts.events import EVENTS
from contracts.events.timers import schedule_subject
from contracts.queries import CALL_REQUEST, CampaignStatisticsQuery
from contracts.streams import ANSWERS, AUDIT, CALLS, CLIPS, CONSUMERS, DEAD_LETTERS, QUEUE, STREAMS, Consumer, Stream

OPERATOR = "operator"
"""Whoever looks after the system, and the command line: reads everything, asks for calls, changes nothing else."""
ADMIN = "admin"
"""Makes the streams and consumers (`chassis.provision`), imports logs, sends dead letters again. No limits."""

OWN_PERMISSIONS = "$SYS.REQ.USER.INFO"
"""Asked, the server tells whoever asks its own user, account and permissions, and nothing else. Everybody may ask it:
so `centralita doctor` sees whether what is in force is what stands here."""

_API = "$JS.API"
_STATISTICS = CampaignStatisticsQuery.subject


@dataclass(frozen=True, slots=True)
class User:
    """One identity. An empty `publish` and `subscribe` of `ADMIN` mean: everything."""

    name: str
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    never_publish: tuple[str, ...] = ()
    never_subscribe: tuple[str, ...] = ()

    @property
    def password_variable(self) -> str:
        """The environment variable in which the server and compose find the password."""
        return f"NATS_PASSWORD_{self.name.upper().replace('-', '_')}"


@dataclass(frozen=True, slots=True)
class Work:
    """What a service does on NATS beside publishing the facts that it owns.

    `handles`: durable consumers, whose messages it may give up on. `reads`: streams it gets messages of directly.
    `follows`: streams it reads in order, by consumers that nobody else knows. `answers`: requests it replies to, each
    in the queue group that follows. `publishes`: further subjects, each for a reason that stands beside it.
    """

    handles: tuple[Consumer, ...] = ()
    reads: tuple[Stream, ...] = ()
    follows: tuple[Stream, ...] = ()
    answers: tuple[tuple[str, str], ...] = ()
    publishes: tuple[str, ...] = ()


WORK: Mapping[Service, Work] = {
    Service.ORCHESTRATOR: Work(
        handles=(streams.ORCHESTRATOR_REQUESTS, streams.ORCHESTRATOR_CAMPAIGNS, streams.ORCHESTRATOR_FACTS),
        reads=(CALLS,),
        follows=(CALLS, QUEUE),
        publishes=(
            schedule_subject("*"),
            f"{_API}.STREAM.PURGE.{CALLS.name}",  # clears a deadline
            f"{_API}.STREAM.MSG.DELETE.{QUEUE.name}",  # leaves the queue
            "_INBOX.>",  # the outcome of a command, to the inbox that its header names
        ),
    ),
    Service.VOICE: Work(
        handles=(
            streams.VOICE_DIALS,
            streams.VOICE_HANGUPS,
            streams.VOICE_SETTLEMENTS,
            streams.VOICE_GREETINGS,
        ),
        reads=(CALLS,),
        follows=(CALLS, CLIPS.stream),
        publishes=(
            f"$O.{CLIPS.name}.>",
            f"{_API}.STREAM.NAMES",  # nats-py finds the store's stream by its subject
            f"{_API}.STREAM.MSG.GET.{CLIPS.stream.name}",
            f"{_API}.STREAM.PURGE.{CLIPS.stream.name}",  # the pieces of a clip that was replaced
        ),
    ),
    Service.CONVERSATION: Work(
        handles=(streams.CONVERSATION_TURNS,),
        reads=(CALLS, ANSWERS.stream),
        publishes=(f"$KV.{ANSWERS.name}.*",),
    ),
    Service.EDGE: Work(
        reads=(CALLS, AUDIT),
        answers=((CALL_REQUEST, Service.EDGE),),
        publishes=(_STATISTICS, ALL_ENTRIES),
    ),
    Service.CAMPAIGN_STATS: Work(
        follows=(CALLS,),
        answers=((_STATISTICS, Service.CAMPAIGN_STATS),),
        publishes=(  # its gauges: what waits for each consumer, and how many letters are dead
            *(f"{_API}.CONSUMER.INFO.{consumer.stream.name}.{consumer.name}" for consumer in CONSUMERS),
            f"{_API}.STREAM.INFO.{DEAD_LETTERS.name}",
        ),
    ),
}


def inbox_of(user: str) -> str:
    """The prefix of a user's inboxes, to be given to the NATS client: nobody else's answers are heard under it."""
    return f"_INBOX.{user}"


def is_inbox(subject: str) -> bool:
    """Whether an answer may be sent there. Whoever answers may publish more than whoever asks: see to it."""
    return subject.startswith("_INBOX.")


def owned_by(service: Service) -> tuple[str, ...]:
    """The filters of the facts that are a service's to publish."""
    return tuple(event.subjects() for event in EVENTS.values() if service in event.owners)


def asked_from_outside() -> tuple[str, ...]:
    """All that upstream systems may say."""
    return (*owned_by(Service.UPSTREAM), CALL_REQUEST)


def users() -> tuple[User, ...]:
    """Everybody who may connect."""
    services = tuple(_service(service, work) for service, work in WORK.items())
    asked = (*asked_from_outside(), OWN_PERMISSIONS)
    upstream = User(Service.UPSTREAM, asked, ("_INBOX.>",))  # of its own account: ours are not in it
    return (*services, upstream, _operator(), User(ADMIN))


def _service(service: Service, work: Work) -> User:
    publish = [OWN_PERMISSIONS, *owned_by(service), *work.publishes]
    for consumer in work.handles:
        publish += _handling(consumer)
    for stream in (*work.reads, *work.follows):
        publish.append(f"{_API}.STREAM.INFO.{stream.name}")
    for stream in work.reads:
        publish += [f"{_API}.DIRECT.GET.{stream.name}", f"{_API}.DIRECT.GET.{stream.name}.>"]
        publish.append(f"{_API}.STREAM.MSG.GET.{stream.name}")  # of the leader, who does not lag
    for stream in work.follows:
        publish += _following(stream.name)
    if work.answers:
        publish += ["_INBOX.>", "_R_.>"]  # the second: whoever asks through an import of another account
    heard = [f"{consumer.deliver_subject} {consumer.name}" for consumer in work.handles]
    heard += [f"{subject} {queue}" for subject, queue in work.answers]
    return User(
        service,
        tuple(sorted(set(publish))),
        (*heard, f"{inbox_of(service)}.>"),
        never_publish=tuple(_durable(stream.name for stream in work.follows)),
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
    consumers = ("CONSUMER.NAMES.*", "CONSUMER.LIST.*")
    api = [f"{_API}.{verb}" for verb in (*info, *consumers)]
    return User(
        OPERATOR,
        (*asked_from_outside(), OWN_PERMISSIONS, _STATISTICS, *api, *_following("*")),
        (">",),
        never_publish=tuple(_durable(stream.name for stream in STREAMS)),
        never_subscribe=("deliver.>",),  # in a consumer's queue group it would take its messages
    )


def _handling(consumer: Consumer) -> Iterator[str]:
    place = f"{consumer.stream.name}.{consumer.name}"
    yield f"$JS.ACK.{place}.>"
    yield f"{_API}.CONSUMER.INFO.{place}"
    for subjects in consumer.filters:
        yield f"dead_letter.{subjects}"


def _following(stream: str) -> Iterator[str]:
    """A consumer of one's own, pull or ordered. Which of the stream's subjects it gets, the server cannot limit."""
    yield f"{_API}.CONSUMER.CREATE.{stream}"
    yield f"{_API}.CONSUMER.CREATE.{stream}.>"
    yield f"{_API}.CONSUMER.INFO.{stream}.*"
    yield f"{_API}.CONSUMER.MSG.NEXT.{stream}.*"
    yield f"{_API}.CONSUMER.DELETE.{stream}.*"
    yield f"$JS.FC.{stream}.>"


def _durable(names: Iterator[str]) -> Iterator[str]:
    """Making anew or deleting the durable consumers of these streams, which are everybody's."""
    for name in names:
        for consumer in CONSUMERS:
            if consumer.stream.name == name:
                yield f"{_API}.CONSUMER.CREATE.{name}.{consumer.name}"
                yield f"{_API}.CONSUMER.CREATE.{name}.{consumer.name}.>"
                yield f"{_API}.CONSUMER.DELETE.{name}.{consumer.name}"
