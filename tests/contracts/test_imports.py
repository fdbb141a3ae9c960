"""What the accounts import from each other: all that the contracts need, and nothing that would break the wall.

The expectations are computed from the streams, events, consumers and work, without the code of `contracts.imports`.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import pytest

from contracts import Service, permissions
from contracts import accounts as accounts_module
from contracts import imports as imports_module
from contracts.accounts import (
    ADMIN,
    CENTRAL,
    SYSTEM,
    account_of,
    account_of_stream,
    ack_subject,
    api_subject,
    owned_streams,
)
from contracts.buckets import BUCKETS, WATCHED_STREAMS, Bucket
from contracts.consumers import CONSUMERS, Consumer
from contracts.event import Event
from contracts.events import EVENTS
from contracts.imports import Import, Kind, exports, imports
from contracts.nats_configuration import configuration
from contracts.permissions import ACCOUNT_INFO, OWN_PERMISSIONS, REPLIES, User, users
from contracts.queries import CALL_REQUEST
from contracts.service_status import ALL_STATUSES, STATUS_REQUEST
from contracts.streams import STREAMS, Stream
from contracts.work import ANSWERED, WORK

OTHERS = tuple(user for user in users() if user.name != ADMIN)
READING_VERBS = ("CONSUMER.INFO", "STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET")
REMOVING = {
    (account_of(Service.ORCHESTRATOR), "STREAM.PURGE.SCHEDULES"),
    *(
        (account_of(user), f"STREAM.MSG.DELETE.{stream}")
        for user, streams in {
            Service.ORCHESTRATOR: ("REQUESTS", "KEYS", "DEAD_LETTERS"),
            "dead-letters": ("REQUESTS", "DEAD_LETTERS"),
        }.items()
        for stream in streams
    ),
}
"""The only requests of a service that change a stream of another account: docs/adr/0012 names them."""


def do_overlap(one: str, other: str) -> bool:
    """Returns whether some subject matches both filters."""
    first, second = one.split("."), other.split(".")
    for index in range(max(len(first), len(second))):
        if index >= len(first) or index >= len(second):
            return False
        if ">" in (first[index], second[index]):
            return True
        if "*" not in (first[index], second[index]) and first[index] != second[index]:
            return False
    return True


def includes(pattern: str, subject: str) -> bool:
    """Returns whether a filter includes all that another filter or a subject stands for."""
    expression = re.escape(pattern).replace(r"\*", "[^.]+")
    expression = expression.removesuffix(">") + ".+" if expression.endswith(">") else expression
    return re.fullmatch(expression, subject) is not None and (pattern.endswith(">") or ">" not in subject)


def imported_by(user: str, kind: Kind) -> list[Import]:
    return [one for one in imports() if one.importer == account_of(user) and one.kind is kind]


def storing(subject: str) -> str:
    """Returns the account whose stream stores messages on a subject."""
    (name,) = {stream.name for stream in WATCHED_STREAMS if any(includes(one, subject) for one in stream.subjects)}
    return account_of_stream(name)


def answers(user: str) -> set[str]:
    return {subject for subject, answering in ANSWERED.items() if answering == user}


def needs_no_import(user: User, subject: str) -> bool:
    """Returns whether the messages that a user publishes on a subject stay in its account, or are replies."""
    if subject in (OWN_PERMISSIONS, REPLIES) or includes("$JS.API.>", subject):
        return True
    if includes("outcome.>", subject) or includes(ALL_STATUSES, subject) or subject == STATUS_REQUEST:
        return True  # others import them
    if includes("$JS.ACK.>", subject):
        return account_of_stream(subject.split(".")[4]) == account_of(user.name)
    if subject in answers(user.name):
        return True
    is_request = (subject.startswith("$") and not subject.startswith(("$KV.", "$O."))) or subject in ANSWERED
    return not is_request and storing(subject) == account_of(user.name)


@pytest.mark.parametrize("account", sorted({account_of(user.name) for user in users()}))
def test_no_two_imports_of_one_account_overlap(account: str) -> None:
    """Else the server would store or deliver a message twice, or two would answer a request.

    The same stream of messages from two accounts is harmless: each message is published in one of them.
    """
    for one, other in combinations([one for one in imports() if one.importer == account], 2):
        if one.kind is other.kind is Kind.SERVICE:
            assert not do_overlap(one.local, other.local), (one, other)
        if one.kind is other.kind is Kind.STREAM and one.exporter == other.exporter:
            assert not do_overlap(one.subject, other.subject), (one, other)


@pytest.mark.parametrize("user", OTHERS, ids=lambda user: user.name)
def test_each_permission_to_publish_has_exactly_the_import_that_it_needs(user: User) -> None:
    found = imported_by(user.name, Kind.SERVICE)
    for subject in user.publish:
        fitting = [one for one in found if do_overlap(one.local, subject)]
        if needs_no_import(user, subject):
            assert fitting == [], subject
        else:
            assert [one.local for one in fitting] == [subject]
    assert {one.local for one in found} <= {*user.publish}, "each import has a permission"


@pytest.mark.parametrize("user", OTHERS, ids=lambda user: user.name)
def test_each_permission_to_subscribe_has_the_imports_that_it_needs_and_no_other(user: User) -> None:
    found = imported_by(user.name, Kind.STREAM)
    subscribed = {subject.partition(" ")[0] for subject in user.subscribe}
    for subject in subscribed:
        is_local = subject in answers(user.name) or subject.startswith("_INBOX.")
        if subject.startswith("live."):
            is_local = account_of_stream(subject.split(".")[1]) == account_of(user.name)
        assert bool([one for one in found if do_overlap(one.local, subject)]) != is_local, subject
    for one in found:
        assert any(do_overlap(one.local, subject) for subject in subscribed), one
        if one.local.startswith("outcome."):
            assert (one.local, one.subject) == ("outcome.*", f"outcome.{user.name}.*"), "those of others"
            continue
        assert one.local == one.subject
        is_whole_stream = re.fullmatch(r"live\.[A-Z_]+\.>", one.subject) is not None
        assert is_whole_stream or any(includes(subject, one.subject) for subject in subscribed), one


@pytest.mark.parametrize("user", OTHERS, ids=lambda user: user.name)
def test_what_a_user_publishes_reaches_the_account_that_stores_or_answers_it(user: User) -> None:
    for one in imported_by(user.name, Kind.SERVICE):
        if one.local in ANSWERED:
            assert (one.exporter, one.subject) == (account_of(ANSWERED[one.local]), one.local)
        elif one.local == ACCOUNT_INFO:
            assert (one.exporter, one.subject) == (SYSTEM, one.local)
        elif match := re.fullmatch(r"\$JS\.([A-Z_]+)\.API\.(.+)", one.local):
            assert (one.exporter, one.subject) == (match[1], f"$JS.API.{match[2]}")
        elif match := re.fullmatch(r"\$JS\.ACK\._\.[^.]+\.([^.]+)\..+", one.local):
            assert (one.exporter, one.subject) == (account_of_stream(match[1]), one.local)
        else:
            assert (one.exporter, one.subject) == (storing(one.local), one.local)


def test_only_admin_imports_what_changes_a_stream_or_a_consumer_of_another_account() -> None:
    for one in imports():
        if one.importer == CENTRAL or not do_overlap(one.subject, "$JS.API.>"):
            continue
        request = one.subject.removeprefix("$JS.API.")
        is_reading = any(request.startswith(f"{verb}.") for verb in READING_VERBS)
        assert is_reading or (one.importer, request) in REMOVING, one
        verb = next((verb for verb in READING_VERBS if is_reading and request.startswith(f"{verb}.")), "")
        stream = request.removeprefix(f"{verb}.").split(".")[0] if verb else request.rsplit(".", 1)[1]
        assert stream in {known.name for known in WATCHED_STREAMS}, f"a wildcard in place of a stream: {one}"


@pytest.mark.parametrize(
    "request_subject",
    [
        f"$JS.API.{verb}.{stream.name}{rest}"
        for stream in STREAMS
        for verb, rest in (
            ("CONSUMER.CREATE", ""),
            ("CONSUMER.CREATE", ".name.subject"),
            ("CONSUMER.DURABLE.CREATE", ".name"),
            ("CONSUMER.DELETE", ".name"),
            ("CONSUMER.MSG.NEXT", ".name"),
            ("CONSUMER.PAUSE", ".name"),
            ("STREAM.CREATE", ""),
            ("STREAM.UPDATE", ""),
            ("STREAM.DELETE", ""),
            ("STREAM.SNAPSHOT", ""),
            ("STREAM.RESTORE", ""),
            ("STREAM.LEADER.STEPDOWN", ""),
            ("STREAM.PEER.REMOVE", ""),
        )
    ],
)
def test_no_account_but_that_of_admin_imports_a_dangerous_request(request_subject: str) -> None:
    assert {one.importer for one in imports() if do_overlap(one.subject, request_subject)} <= {CENTRAL}


def test_upstream_imports_its_requests_and_outcomes_and_nothing_else() -> None:
    owned = {event.subjects() for event in EVENTS.values() if Service.UPSTREAM in event.owners}
    assert {one.local for one in imported_by(Service.UPSTREAM, Kind.SERVICE)} == {*owned, CALL_REQUEST}
    (outcomes,) = imported_by(Service.UPSTREAM, Kind.STREAM)
    assert outcomes.exporter == account_of(Service.ORCHESTRATOR)
    assert outcomes.subject == "outcome.upstream.*"


def test_each_export_of_the_configuration_names_known_accounts() -> None:
    known = {account_of(user.name) for user in users()}
    lines = re.findall(r"^ *\{(service|stream): \"([^\"]+)\"(.*)\}$", configuration(), re.MULTILINE)
    assert len(lines) == len(exports())
    for kind, subject, rest in lines:
        match = re.match(r", accounts: \[([A-Z_, ]+)\]", rest)
        assert match, f"{kind} {subject} is exported to every account"
        assert {*match[1].split(", ")} <= known


def test_no_account_imports_from_itself_and_the_system_account_nothing() -> None:
    assert [one for one in imports() if one.importer == one.exporter] == []
    assert [one for one in imports() if one.importer == SYSTEM] == []
    assert {one.subject for one in imports() if one.exporter == SYSTEM and one.importer != CENTRAL} == {ACCOUNT_INFO}


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_each_owner_of_an_event_reaches_its_stream(event: type[Event]) -> None:
    for owner in {*event.owners} - {Service.SCHEDULER}:
        stream = storing(event.subjects())
        local = {one.local for one in imported_by(owner, Kind.SERVICE) if one.exporter == stream}
        assert stream == account_of(owner) or event.subjects() in local


@pytest.mark.parametrize("consumer", CONSUMERS, ids=lambda consumer: consumer.name)
def test_one_account_receives_the_messages_of_a_consumer_and_acknowledges_them(consumer: Consumer) -> None:
    assert_handled(consumer)


def assert_handled(consumer: Consumer) -> None:
    name, stream = consumer.name, consumer.stream.name
    (service,) = {service for service, work in WORK.items() if consumer in work.handles}
    (receiving,) = {one for one in imports() if do_overlap(one.subject, consumer.deliver_subject)}
    assert (receiving.importer, receiving.kind) == (account_of(service), Kind.STREAM)
    acknowledging = {one.importer for one in imports() if do_overlap(one.subject, ack_subject(stream, name, ">"))}
    assert acknowledging == {account_of(service)}
    local = {one.local for one in imported_by(service, Kind.SERVICE)}
    assert {api_subject("CONSUMER.INFO", stream, name), *(f"dead_letter.{one}" for one in consumer.filters)} <= local


@pytest.mark.parametrize("subject", ANSWERED)
def test_each_query_is_imported_by_those_who_ask_and_by_admin(subject: str) -> None:
    asking = {account_of(user.name) for user in OTHERS if subject in user.publish}
    found = {one.importer for one in imports() if one.subject == subject and one.kind is Kind.SERVICE}
    assert found == (asking | {CENTRAL}) - {account_of(ANSWERED[subject])}
    assert asking, "a query that no user may send"


@pytest.mark.parametrize("bucket", BUCKETS, ids=lambda bucket: bucket.name)
def test_each_bucket_is_written_by_its_owner_and_by_admin(bucket: Bucket) -> None:
    stream = bucket.stream
    assert {one.importer for one in imports() if do_overlap(one.subject, bucket.subjects)} == {CENTRAL}
    assert account_of_stream(stream.name) == account_of(bucket.owner)
    assert stream in owned_streams(account_of(bucket.owner))


def assert_reached_by_admin(stream: Stream) -> None:
    account = account_of_stream(stream.name)
    found = [one for one in imports() if one.importer == CENTRAL and one.exporter == account]
    for local in (f"$JS.{account}.API.>", *stream.subjects, stream.live(">")):
        assert [one.local for one in found if one.local == local] == [local]


@pytest.mark.parametrize("stream", [one for one in WATCHED_STREAMS if one.owner], ids=lambda stream: stream.name)
def test_admin_reaches_each_stream_of_an_owner(stream: Stream) -> None:
    assert_reached_by_admin(stream)


@pytest.fixture
def extended(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Stream, Stream, Consumer]]:
    """Contracts with another shared stream, another one of voice, and a consumer that voice handles."""
    shared = Stream("PARCELS", ("parcel.*.*",), "shared")
    owned = Stream("CRATES", ("crate.*",), "of voice", owner=Service.VOICE)
    consumer = replace(CONSUMERS[0], name="voice-parcels", stream=shared, split_from=None)
    work = WORK[Service.VOICE]
    monkeypatch.setitem(
        WORK,
        Service.VOICE,
        replace(work, handles=(*work.handles, consumer), reads=(*work.reads, shared, owned)),
    )
    for module in (accounts_module, imports_module, permissions):
        monkeypatch.setattr(module, "WATCHED_STREAMS", (*WATCHED_STREAMS, shared, owned))
    monkeypatch.setattr(permissions, "STREAMS", (*STREAMS, shared, owned))
    accounts_module._accounts_of_streams.cache_clear()
    yield shared, owned, consumer
    accounts_module._accounts_of_streams.cache_clear()


def test_a_new_consumer_of_a_new_stream_is_covered(extended: tuple[Stream, Stream, Consumer]) -> None:
    shared, _, consumer = extended
    assert_handled(consumer)
    local = {one.local: one.exporter for one in imported_by(Service.VOICE, Kind.SERVICE)}
    for verb in ("STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET"):
        assert local[api_subject(verb, shared.name)] == CENTRAL
    assert local[api_subject("DIRECT.GET", shared.name, ">")] == CENTRAL


def test_a_new_stream_of_an_owner_is_covered(extended: tuple[Stream, Stream, Consumer]) -> None:
    _, owned, _ = extended
    assert account_of_stream(owned.name) == account_of(Service.VOICE)
    assert_reached_by_admin(owned)
    assert [one for one in imported_by(Service.VOICE, Kind.SERVICE) if owned.name in one.local] == []
    assert "$JS.API.DIRECT.GET.CRATES" in next(user for user in users() if user.name == Service.VOICE).publish
    assert "max_streams: 3" in configuration().partition("\n  VOICE: {")[2].partition("\n  }")[0]
