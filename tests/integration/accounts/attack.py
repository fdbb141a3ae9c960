"""Messages by which a user harms what it may not touch, and the subjects at which they aim."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain

from chassis.subject_filters import is_literal, matcher
from contracts.accounts import ADMIN, account_of, account_of_stream, ack_subject, api_subject
from contracts.buckets import WATCHED_STREAMS
from contracts.consumers import CONSUMERS, Consumer
from contracts.examples import EXAMPLES
from contracts.permissions import User, inbox_of, mapped, users
from contracts.queries import CALL_REQUEST, CampaignStatisticsQuery
from contracts.service_status import status_subject
from contracts.streams import AUDIT, CALLS, DEAD_LETTERS, KEYS, REQUESTS, SCHEDULES, STREAMS, Stream
from contracts.work import WORK

USERS = {user.name: user for user in users() if user.name != ADMIN}
SHARED = (CALLS, REQUESTS, AUDIT, KEYS, DEAD_LETTERS, SCHEDULES)
OWNED = tuple(one for one in WATCHED_STREAMS if one.owner)
NO_MESSAGE = b'{"seq": 1000000000}'
SHARE = 4
"""Each request and fact has every fourth target as its reply subject, and the next one has the others."""
FORGED = "audit.forged.x"
"""Where consumers of an attacker deliver to: a subject of AUDIT."""


@dataclass(frozen=True, slots=True)
class Attack:
    """One message. `is_awaited`: the next one follows its answer."""

    user: str
    subject: str
    reply: str = ""
    body: bytes = b"{}"
    headers: tuple[tuple[str, str], ...] = ()
    is_awaited: bool = False


Plan = tuple[Attack, ...]
"""What a user publishes in this order; most plans are one message."""


@dataclass(frozen=True, slots=True)
class Target:
    """A subject of which the user may not publish, and the body that does harm there. `kind`: for the control."""

    kind: str
    subject: str
    body: bytes = b""
    stream: str = field(default="")


def literal(filters: str, name: str = "x") -> str:
    """Returns one subject that the filter matches."""
    return ".".join(name if token in ("*", ">") else token for token in filters.split("."))


@cache
def may_publish(user: str, subject: str) -> bool:
    """Returns whether the contracts permit it."""
    return matcher(USERS[user].publish)(mapped(subject, user))


@cache
def may_remove(user: str, stream: str) -> bool:
    """Returns whether the user may delete messages of a stream."""
    return any(may_publish(user, api_subject(verb, stream)) for verb in ("STREAM.PURGE", "STREAM.MSG.DELETE"))


def _json(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def _api_targets(stream: Stream) -> Iterator[tuple[str, str, bytes]]:
    """Yields the kind, the request after the API's prefix, and the body of what changes a stream."""
    name = stream.name
    durable = next((one.name for one in CONSUMERS if one.stream is stream), "mine")
    delivering = {"deliver_subject": FORGED, "ack_policy": "none"}
    yield "delete", f"STREAM.DELETE.{name}", b""
    yield "purge", f"STREAM.PURGE.{name}", b""
    yield "update", f"STREAM.UPDATE.{name}", _json(name=name, subjects=[f"mine.{name}"], max_msgs=1)
    yield "delete message", f"STREAM.MSG.DELETE.{name}", _json(seq=1)
    yield "create consumer", f"CONSUMER.CREATE.{name}", _json(stream_name=name, config=delivering)
    named = _json(stream_name=name, config={**delivering, "name": "mine"})
    yield "create named consumer", f"CONSUMER.CREATE.{name}.mine", named
    changed = _json(stream_name=name, config={**delivering, "durable_name": durable})
    yield "redefine consumer", f"CONSUMER.DURABLE.CREATE.{name}.{durable}", changed
    yield "delete consumer", f"CONSUMER.DELETE.{name}.{durable}", b""


@cache
def api_targets() -> tuple[Target, ...]:
    """Returns all requests that change a stream, by each prefix by which an account may know its API."""
    return tuple(
        Target(kind, prefix + request, body, stream.name)
        for stream in (*SHARED, *OWNED)
        for prefix in ("$JS.API.", f"$JS.{account_of_stream(stream.name)}.API.")
        for kind, request, body in _api_targets(stream)
    )


@cache
def fact_targets() -> tuple[Target, ...]:
    """Returns subjects that are stored, delivered or answered."""
    facts = [Target("fact", event.subject, b"{}") for event in EXAMPLES.values()]
    facts += [Target("fact", literal(subject), b"{}") for one in OWNED for subject in one.subjects]
    facts += [Target("fact", subject, b"{}") for subject in (FORGED, "dead_letter.speech.heard.x", "key.x")]
    deliveries = [Target("delivery", one.deliver_subject, b"{}") for one in CONSUMERS]
    live = [Target("delivery", one.live(literal(one.subjects[0])), b"{}", one.name) for one in STREAMS]
    acts = [
        CALL_REQUEST,
        CampaignStatisticsQuery.subject,
        "dead_letters.drop",
        "outcome.x",
        *(f"outcome.{user}.x" for user in USERS),
        status_subject("x"),
    ]
    inboxes = [f"{inbox_of(user)}.x" for user in (*USERS, ADMIN)]
    return (*facts, *deliveries, *live, *(Target("act", subject, b"{}") for subject in (*acts, *inboxes)))


def targets(user: str) -> tuple[Target, ...]:
    """Returns what the user may not do. Streams of its own account are not among it."""
    found = chain(api_targets(), fact_targets())
    return tuple(
        one
        for one in found
        if not may_publish(user, one.subject)
        and not one.subject.startswith(f"{inbox_of(user)}.")
        and not (one.stream and account_of_stream(one.stream) == account_of(user))
    )


@cache
def payloads() -> tuple[bytes, ...]:
    """Returns the bodies of all targets: each is stored once in every stream, so that a reader lets it be sent."""
    return tuple(dict.fromkeys(one.body for one in chain(api_targets(), fact_targets())))


def payload_subject(stream: Stream, body: bytes) -> str:
    """Returns the subject on which a stream has this body."""
    pattern = next(one for one in stream.subjects if not is_literal(one))
    return literal(pattern, f"payload-{payloads().index(body)}")


def readable(user: str) -> list[Stream]:
    """Returns the shared streams of which the user gets messages, and those of other owners."""
    return [
        one
        for one in STREAMS
        if may_publish(user, api_subject("DIRECT.GET", one.name)) and account_of_stream(one.name) != account_of(user)
    ]


def of_replies(user: User) -> Iterator[Plan]:
    """Yields each request that the user may send, with each target as its reply subject."""
    found = targets(user.name)
    for offset, stream in enumerate(readable(user.name)):
        for number, target in enumerate(found, offset):
            yield from _by_reading(user.name, stream, target, number)
    requests = [one for one in user.publish if ".DIRECT.GET." not in one and ".STREAM.MSG.GET." not in one]
    for offset, request in enumerate(requests):
        for target in found[offset % SHARE :: SHARE]:
            headers = () if request.startswith("$") else (("reply_to", target.subject),)
            yield (Attack(user.name, literal(request), target.subject, target.body, headers),)


def _by_reading(user: str, stream: Stream, target: Target, number: int) -> Iterator[Plan]:
    """Yields a request whose answer is the body that does harm, and one whose answer has none."""
    subject = payload_subject(stream, target.body)
    asked = _json(last_by_subj=subject)
    direct = api_subject("DIRECT.GET", stream.name)
    others = (
        Attack(user, f"{direct}.{subject}", target.subject, b""),
        Attack(user, api_subject("STREAM.MSG.GET", stream.name), target.subject, asked),
        Attack(user, direct, target.subject, _json(seq=1, batch=3, next_by_subj=subject)),
        Attack(user, direct, target.subject, NO_MESSAGE),
    )
    yield (Attack(user, direct, target.subject, asked),)
    yield (others[number % len(others)],)


def of_direct_requests(user: User) -> Iterator[Plan]:
    """Yields each target as a message of the user itself: foreign facts, consumers with foreign deliver subjects."""
    for target in targets(user.name):
        yield (Attack(user.name, target.subject, f"{inbox_of(user.name)}.x", target.body),)
    for consumer in CONSUMERS:
        if consumer.name not in {one.name for one in _handled(user.name)}:
            ack = ack_subject(consumer.stream.name, consumer.name, "1.1.1.1.0")
            for subject in (ack, f"$JS.ACK.{consumer.stream.name}.{consumer.name}.1.1.1.1.0"):
                yield (Attack(user.name, subject, body=b"+TERM"),)
    for subject in (
        "_R_.aaaaaa.bbbbbbbbbbbb",
        "$SYS.REQ.SERVER.PING",
        "$SYS.REQ.SERVER.x.RELOAD",
        "$JS.EVENT.ADVISORY.x",
    ):
        yield (Attack(user.name, subject, FORGED),)


def _handled(user: str) -> Sequence[Consumer]:
    return next((work.handles for service, work in WORK.items() if service == user), ())


HEADERS = (
    (("Nats-Rollup", "all"),),
    (("Nats-Rollup", "sub"),),
    (("Nats-TTL", "1s"),),
    (("Nats-Incr", "1"),),
    (("Nats-Batch-Id", "b"), ("Nats-Batch-Sequence", "1"), ("Nats-Batch-Commit", "1")),
    (("Nats-Trace-Dest", FORGED),),
    (("Nats-Trace-Dest", "$JS.API.STREAM.DELETE.CALLS"), ("Nats-Trace-Only", "true")),
    (("Nats-Request-Info", json.dumps({"acc": "CENTRALITA", "user": ADMIN})),),
)
"""Headers by which the server does more with a message than to store it."""


def of_headers(user: User) -> Iterator[Plan]:
    """Yields each subject of the user with each header, and schedules of foreign subjects."""
    subjects = [literal(one) for one in user.publish if one != "_R_.>"]
    for subject in subjects:
        for headers in (*HEADERS, *_schedules(subject)):
            yield (Attack(user.name, subject, f"{inbox_of(user.name)}.x", headers=headers),)
    for subject in (*(event.subject for event in EXAMPLES.values()), *map(literal, SCHEDULES.subjects)):
        if not may_publish(user.name, subject):
            yield (Attack(user.name, subject, headers=HEADERS[0]),)


def _schedules(subject: str) -> Iterator[tuple[tuple[str, str], ...]]:
    past = ("Nats-Schedule", "@at 2020-01-01T00:00:00Z")
    for target in (
        FORGED,
        "call.created.x.pending",
        "timer.due.x",
        "$JS.API.STREAM.DELETE.CALLS",
        "deliver.voice-dials",
    ):
        if target != subject:
            yield past, ("Nats-Schedule-Target", target)
    fired = ("Nats-Schedule-Target", "timer.fired.x")
    yield past, fired, ("Nats-Schedule-Source", "call.requested")
    yield past, fired, ("Nats-Schedule-Rollup", "all")
