"""The envelope: short headers that round-trip, the names of older logs, and bodies without nulls."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from contracts import Envelope, InvalidMessage, decode
from contracts.envelope import HEADERS, headers_schema
from contracts.event import Event
from contracts.events import EVENTS
from contracts.examples import EXAMPLES
from contracts.instants import MAX_INSTANT

NOW = datetime(2026, 3, 2, 15, 0, 0, 123456, tzinfo=UTC)
CAUSE = Envelope("cause-1", "dial.placed.v1", "voice", NOW, "request-1", "claim-1", "00-trace-01")
EVENT = EXAMPLES["dial.claimed"]


def read(headers: dict[str, str]) -> Envelope:
    return Envelope.read(headers, subject="call.requested", id="REQUESTS/1", time=NOW)


def test_an_envelope_is_read_from_its_own_headers() -> None:
    envelope = Envelope.of(EVENT, id="id-1", source="voice", time=NOW, cause=CAUSE)
    assert read(envelope.headers()) == envelope
    assert set(envelope.headers()) == {*HEADERS.values(), "ce-specversion", "Nats-Msg-Id"}
    assert set(headers_schema()["properties"]) == {*HEADERS.values(), "ce-specversion"}


def test_an_event_carries_the_correlation_id_and_the_trace_of_its_cause() -> None:
    envelope = Envelope.of(EVENT, id="id-1", source="voice", time=NOW, cause=CAUSE)
    assert envelope.causation_id == CAUSE.id
    assert (envelope.correlation_id, envelope.traceparent) == (CAUSE.correlation_id, CAUSE.traceparent)


def test_only_headers_with_a_value_are_written() -> None:
    headers = Envelope.of(EVENT, id="id-1", source="voice", time=NOW).headers()
    assert list(headers) == ["ce-specversion", "ce-id", "ce-type", "ce-source", "ce-time", "Nats-Msg-Id"]


def test_the_names_of_older_logs_are_read() -> None:
    headers = {"centralita-correlation-id": "request-1", "centralita-causation-id": "cause-1", "ce-subject": "x"}
    assert (read(headers).correlation_id, read(headers).causation_id) == ("request-1", "cause-1")


def test_a_message_without_headers_is_identified_by_its_place() -> None:
    assert read({}) == Envelope("REQUESTS/1", "call.requested", "unnamed", NOW)


def test_an_empty_id_counts_as_none() -> None:
    assert read({"ce-id": ""}).id == "REQUESTS/1"


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-03-02T15:00:00.123456Z", NOW),
        ("2026-03-02T16:00:00.123456+01:00", NOW),
        ("2026-03-02T15:00:00.123456789Z", NOW),
        ("1772463600", NOW.replace(microsecond=0)),
        ("9999-12-31T23:59:59-12:00", MAX_INSTANT),
    ],
)
def test_a_time_is_read_in_utc(text: str, time: datetime) -> None:
    found = read({"ce-time": text}).time
    assert found == time
    assert found.utcoffset() == timedelta()


@pytest.mark.parametrize("text", ["yesterday", "", "2026-03-02T15:00:00"])
def test_a_time_that_is_no_instant_is_refused_by_the_name_of_its_header(text: str) -> None:
    with pytest.raises(InvalidMessage, match=r"^header ce-time: write an instant with its zone"):
        read({"ce-time": text})


def test_a_time_is_written_in_utc() -> None:
    envelope = replace(CAUSE, time=datetime.fromisoformat("2026-03-02T16:00:00+01:00"))
    assert envelope.headers()["ce-time"] == "2026-03-02T15:00:00Z"


@pytest.mark.parametrize("event", EXAMPLES.values(), ids=lambda event: event.event_name)
def test_a_body_has_no_nulls_and_decodes_to_the_same_event(event: Event) -> None:
    assert b"null" not in event.body()
    assert decode(event.subject, event.body()) == event


def models(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield kind
    for field in kind.model_fields.values():
        yield from models_in(field.annotation)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from models(annotation)
    for argument in get_args(annotation):
        yield from models_in(argument)


@pytest.mark.parametrize("event", EVENTS.values(), ids=lambda event: event.event_name)
def test_a_field_that_may_be_null_has_that_default(event: type[Event]) -> None:
    wrong = [
        f"{model.__name__}.{name}"
        for model in models(event)
        for name, field in model.model_fields.items()
        if type(None) in get_args(field.annotation) and (field.is_required() or field.default is not None)
    ]
    assert wrong == []
