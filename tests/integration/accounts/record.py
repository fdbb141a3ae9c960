"""What a server has in all its accounts, and what of it an attack has changed."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from tests.integration.accounts.attack import may_publish, may_remove

from contracts.accounts import CENTRAL, account_of, account_of_stream, owned_streams
from contracts.consumers import CONSUMERS
from contracts.permissions import users
from contracts.work import WORK

Seed = tuple[str, int, str]
"""A message that was there before: its stream, sequence and subject."""
_HANDLED = {consumer.name: str(service) for service, work in WORK.items() for consumer in work.handles}
ACCOUNTS = (CENTRAL, *sorted({account_of(user.name) for user in users() if owned_streams(account_of(user.name))}))
"""The accounts that have streams."""


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """A stream and its consumers, as the server describes them."""

    config: Mapping[str, Any]
    subjects: Mapping[str, int]
    consumers: Mapping[str, Mapping[str, Any]]
    seeds: frozenset[Seed]


Record = Mapping[tuple[str, str], StreamRecord]
"""By account and name."""


async def take_record(admin: Client, seeds: Sequence[Seed], *, has_accounts: bool) -> Record:
    """Returns all streams of all accounts."""
    found = {}
    for account in ACCOUNTS if has_accounts else (CENTRAL,):
        for name in await stream_names(admin, account):
            key = (account if has_accounts else account_of_stream(name), name)
            found[key] = await _stream(admin, f"$JS.{account}.API", name, seeds)
    return found


async def stream_names(admin: Client, account: str) -> list[str]:
    """Returns the streams of an account."""
    answer = await ask(admin, f"$JS.{account}.API.STREAM.NAMES")
    return list(answer.get("streams") or ())


async def ask(admin: Client, subject: str, **fields: object) -> dict[str, Any]:
    """Returns the answer of JetStream's API."""
    answer = await admin.request(subject, json.dumps(fields).encode() if fields else b"", timeout=60)
    found: dict[str, Any] = json.loads(answer.data)
    return found


async def _stream(admin: Client, api: str, name: str, seeds: Sequence[Seed]) -> StreamRecord:
    subjects: dict[str, int] = {}
    while True:
        info = await ask(admin, f"{api}.STREAM.INFO.{name}", subjects_filter=">", offset=len(subjects))
        page = info["state"].get("subjects") or {}
        subjects |= page
        if not page or len(subjects) >= info.get("total", 0):
            break
    consumers = (await ask(admin, f"{api}.CONSUMER.LIST.{name}")).get("consumers") or ()
    present = set()
    for seed in seeds:
        if seed[0] == name and "error" not in await ask(admin, f"{api}.STREAM.MSG.GET.{name}", seq=seed[1]):
            present.add(seed)
    return StreamRecord(info["config"], subjects, {one["name"]: one for one in consumers}, frozenset(present))


def harm(before: Record, after: Record, user: str) -> Iterator[str]:
    """Yields what has changed that the user may not change. It may do anything in its own account."""
    keys = {key for key in before.keys() | after.keys() if key[0] != account_of(user)}
    for key in sorted(keys):
        if key not in after or key not in before:
            yield f"stream {key}: {'deleted' if key in before else 'created'}"
        else:
            for line in _harm(before[key], after[key], key[1], user):
                yield f"stream {key[1]}: {line}"


def _harm(before: StreamRecord, after: StreamRecord, name: str, user: str) -> Iterator[str]:
    if before.config != after.config:
        yield f"config {[one for one in after.config if after.config[one] != before.config.get(one)]}"
    if not may_remove(user, name):
        for _, sequence, subject in sorted(before.seeds - after.seeds):
            if not (before.config.get("max_msgs_per_subject") == 1 and may_publish(user, subject)):
                yield f"message {sequence} on {subject} is gone"
    for subject, count in after.subjects.items():
        if count > before.subjects.get(subject, 0) and not may_publish(user, subject):
            yield f"a message on {subject} was stored"
    for consumer in before.consumers.keys() ^ after.consumers.keys():
        yield f"consumer {consumer} {'deleted' if consumer in before.consumers else 'created'}"
    for consumer in before.consumers.keys() & after.consumers.keys():
        first, second = before.consumers[consumer], after.consumers[consumer]
        if first["config"] != second["config"]:
            yield f"consumer {consumer} changed"
        if _HANDLED.get(consumer) != user and not may_remove(user, name) and _is_acknowledged(first, second):
            yield f"a message of consumer {consumer} was acknowledged"


def _is_acknowledged(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a message was: listeners acknowledge none."""
    floors = [one["ack_floor"]["stream_seq"] for one in (before, after)]
    return floors[0] != floors[1] or bool(after["num_ack_pending"] < before["num_ack_pending"])


assert _HANDLED.keys() == {one.name for one in CONSUMERS}
