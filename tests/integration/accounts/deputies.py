"""Plans by which a user lets JetStream of its own account act for it.

What the server delivers or publishes again travels with the rights of the account. It reaches what the account imports.
"""

import json
from collections.abc import Iterator

from tests.integration.accounts.attack import (
    FORGED,
    NO_MESSAGE,
    USERS,
    Attack,
    Plan,
    Target,
    payload_subject,
    readable,
    targets,
)

from contracts.accounts import CENTRAL, account_of, api_subject, owned_streams
from contracts.consumers import CONSUMERS, Consumer
from contracts.streams import CONTACTS, Stream
from contracts.work import WORK

OWNERS = tuple(user for user in USERS if owned_streams(account_of(user)))
"""The users whose account has JetStream."""
PULLED = "pulled"
"""A consumer of CONTACTS, by which call-orchestrator has taken the first message."""
FOREIGN = ("call.>", "deliver.>", "live.>", "outcome.>", "stats.>", "audit.>", "_INBOX.>", "timer.>")


def of_deputies(user: str) -> Iterator[Plan]:
    """Yields consumers and streams of the user's own account that aim at what the user may not do."""
    if user == CONTACTS.owner:
        yield from (_taken(user, target) for target in targets(user))
    yield from (_delivered(user, target, number) for number, target in enumerate(targets(user)))
    for target in targets(user)[::5]:
        yield _published_again(user, target)
    for consumer in CONSUMERS:
        if consumer not in _handled(user):
            first = 1 + [one for one in CONSUMERS if one.stream is consumer.stream].index(consumer)
            yield _acknowledged(user, consumer.stream.name, consumer.name, readable(user)[0], first)
    if CONTACTS in readable(user):
        yield _acknowledged(user, CONTACTS.name, PULLED, CONTACTS, 1)
    for api in (f"$JS.{CENTRAL}.API", "$JS.API"):
        external = {"api": api, "deliver": "deliver.mine"}
        for name in ("CALLS", "REQUESTS", "AUDIT"):
            yield _with_stream(user, sources=[{"name": name, "external": external}])
            yield _with_stream(user, subjects=None, mirror={"name": name, "external": external})
    for subject in FOREIGN:
        yield _with_stream(user, subjects=[subject])
        yield _with_stream(user, subjects=[subject], republish={"src": ">", "dest": "$JS.>"})


def _handled(user: str) -> tuple[Consumer, ...]:
    return next(work.handles for service, work in WORK.items() if service == user)


def _ask(user: str, request: str, **body: object) -> Attack:
    return Attack(user, f"$JS.API.{request}", body=json.dumps(body).encode() if body else b"", is_awaited=True)


def _emptied(user: str, *names: str) -> list[Attack]:
    """Returns requests that delete the streams of the account, which may have as many as it owns."""
    own = [one.name for one in owned_streams(account_of(user))]
    return [_ask(user, f"STREAM.DELETE.{name}") for name in (*own, *names)]


def _with_stream(user: str, **config: object) -> Plan:
    fields = {"name": "MINE", "storage": "memory", "subjects": ["mine.>"], "retention": "limits", **config}
    kept = {key: value for key, value in fields.items() if value is not None}
    return (
        *_emptied(user, "MINE", "CALLS", "REQUESTS", "CONTACTS"),
        _ask(user, "STREAM.CREATE.MINE", **kept),
        Attack(user, "mine.x", is_awaited=True),
    )


def _delivered(user: str, target: Target, number: int) -> Plan:
    subject = f"mine.{number}"
    config = {"name": f"c{number}", "deliver_subject": target.subject, "filter_subject": subject, "ack_policy": "none"}
    return (
        *_emptied(user),
        _ask(user, "STREAM.CREATE.MINE", name="MINE", subjects=["mine.>"]),
        Attack(user, subject, body=target.body, is_awaited=True, headers=(("Nats-Trace-Dest", FORGED),)),
        _ask(user, f"CONSUMER.CREATE.MINE.c{number}.{subject}", stream_name="MINE", config=config),
    )


def _taken(user: str, target: Target) -> Plan:
    """Returns a consumer of the work queue, which call-orchestrator may make also with the permissions of its user."""
    subject = payload_subject(CONTACTS, target.body)
    config = {"name": "taken", "deliver_subject": target.subject, "filter_subject": subject, "ack_policy": "explicit"}
    create = f"CONSUMER.CREATE.{CONTACTS.name}.taken.{subject}"
    return (
        _ask(user, create, stream_name=CONTACTS.name, config=config),
        _ask(user, f"CONSUMER.DELETE.{CONTACTS.name}.taken"),
    )


def _published_again(user: str, target: Target) -> Plan:
    *created, stored = _with_stream(user, subjects=["mine.x"], republish={"src": "mine.x", "dest": target.subject})
    return (*created, Attack(user, stored.subject, body=target.body, is_awaited=True))


def _acknowledged(user: str, stream: str, consumer: str, read: Stream, first_sequence: int) -> Plan:
    """Returns a stream and a consumer with the names of others, whose delivery is a request for a missing message.

    The server answers without a body, on the reply subject of the delivery: in its first format, that of the others.
    """
    request = api_subject("DIRECT.GET", read.name)
    config = {"durable_name": consumer, "deliver_subject": request, "ack_policy": "explicit"}
    return (
        *_emptied(user, "MINE", "CALLS", "REQUESTS", "CONTACTS"),
        _ask(user, f"STREAM.CREATE.{stream}", name=stream, subjects=["mine.>"], first_seq=first_sequence),
        Attack(user, "mine.x", body=NO_MESSAGE, is_awaited=True),
        _ask(user, f"CONSUMER.DURABLE.CREATE.{stream}.{consumer}", stream_name=stream, config=config),
    )
