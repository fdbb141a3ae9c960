"""The envelope: few headers, which round-trip, the headers of older logs, and bodies without defaults."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from contracts import CallCreated, Envelope, InvalidMessage, decode
from contracts.documents import stream_of
from contracts.envelope import FIRST_STORED_HEADER, HEADERS, first_stored_at, headers_schema
from contracts.event import Event
from contracts.events import EVENTS
from contracts.examples import CALL, EXAMPLES
from contracts.instants import MAX_INSTANT
from contracts.sources import implied_source

NOW = datetime(2026, 3, 2, 15, 0, 0, 123456, tzinfo=UTC)
CAUSE = Envelope("cause-1", "voice", NOW, "request-1", "claim-1", "00-trace-01")
OLD_HEADERS = {
    "ce-specversion": "1.0",
    "ce-id": "id-1",
    "ce-type": "dial.claimed.v1",
    "ce-time": "2026-03-02T15:00:00Z",
}
"""The headers that older builds wrote, beside those of today."""


def read(headers: dict[str, str]) -> Envelope:
    return Envelope.read(headers, id="REQUESTS/1", time=NOW)


def test_an_envelope_is_read_from_its_own_headers_and_the_time_of_the_message() -> None:
    envelope = Envelope.of(id="id-1", source="voice", time=NOW, cause=CAUSE)
    headers = envelope.headers()
    assert list(headers) == ["Nats-Msg-Id", "ce-source", "ce-correlationid", "ce-causationid", "traceparent"]
    assert Envelope.read(headers, id=headers["Nats-Msg-Id"], time=NOW) == envelope
    assert set(headers_schema()["properties"]) == {*HEADERS.values(), "Nats-Msg-Id"}


def test_headers_of_older_builds_come_before_what_the_message_implies() -> None:
    headers = {**Envelope.of(id="id-1", source="voice", time=NOW).headers(), **OLD_HEADERS}
    later = NOW + timedelta(days=1)
    assert Envelope.read(headers, id="other", time=later) == Envelope("id-1", "voice", NOW.replace(microsecond=0))


def test_an_event_carries_the_correlation_id_and_the_trace_of_its_cause() -> None:
    envelope = Envelope.of(id="id-1", source="voice", time=NOW, cause=CAUSE)
    assert envelope.causation_id == CAUSE.id
    assert (envelope.correlation_id, envelope.traceparent) == (CAUSE.correlation_id, CAUSE.traceparent)


def test_only_headers_with_a_value_are_written() -> None:
    headers = Envelope.of(id="id-1", source="voice", time=NOW).headers()
    assert list(headers) == ["Nats-Msg-Id", "ce-source"]


def test_a_source_that_the_message_implies_has_no_header() -> None:
    envelope = Envelope.of(id="id-1", source="voice", time=NOW)
    assert list(envelope.headers("edge")) == ["Nats-Msg-Id", "ce-source"]
    headers = envelope.headers("voice")
    assert list(headers) == ["Nats-Msg-Id"]
    assert Envelope.read(headers, id="id-1", time=NOW, source="voice") == envelope
    assert Envelope.read({"ce-source": "edge"}, id="id-1", time=NOW, source="voice").source == "edge"


def test_the_names_of_older_logs_are_read() -> None:
    headers = {"centralita-correlation-id": "request-1", "centralita-causation-id": "cause-1", "ce-subject": "x"}
    assert (read(headers).correlation_id, read(headers).causation_id) == ("request-1", "cause-1")


def test_a_message_without_headers_is_identified_by_its_place() -> None:
    assert read({}) == Envelope("REQUESTS/1", "unnamed", NOW)


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


@pytest.mark.parametrize("event", EXAMPLES.values(), ids=lambda event: event.event_name)
def test_a_body_has_no_defaults_and_decodes_to_the_same_event(event: Event) -> None:
    body = event.body()
    fields = type(event).model_fields
    assert [name for name in json.loads(body) if getattr(event, name) == fields[name].default] == []
    assert b"null" not in body
    assert decode(event.subject, body) == event


def test_a_value_that_is_not_the_default_is_written() -> None:
    queued = CALL.model_copy(update={"is_queued": True, "undialled_attempts": 0})
    created = CallCreated(call=queued, occurred_at=NOW)
    written = json.loads(created.body())["call"]
    assert written["is_queued"] is True
    assert "undialled_attempts" not in written
    assert decode(created.subject, created.body()) == created


VERSION_2 = {
    "admission.granted",
    "admission.released",
    "audio.ready",
    "audio.requested",
    "call.callback_noted",
    "call.changed",
    "call.command_refused",
    "call.concluded",
    "call.created",
    "call.due",
    "call.hangup_requested",
    "call.message_requested",
    "call.message_started",
    "call.message_withdrawn",
    "call.put_off",
    "call.settlement_requested",
    "call.status_changed",
    "call.transfer_ended",
    "call.transfer_started",
    "campaign.paused",
    "campaign.resumed",
    "dial.cleared",
    "dial.refused",
    "queue.joined",
    "reply.generated",
    "telephony.status_reported",
    "timer.due",
}


def test_a_message_without_the_header_of_its_type_has_one_of_these_versions() -> None:
    """A higher version needs the header ``ce-type``, so that its messages differ from these (ADR 36)."""
    assert {name: event.version for name, event in EVENTS.items()} == {name: 1 + (name in VERSION_2) for name in EVENTS}


MEDIA_OF_VOICE = {"telephony.media_opened", "telephony.media_closed", "telephony.keys_pressed"}
SEVERAL_SOURCES = {"contact.added", "contact.group_added", "speech.heard", "telephony.digits_sent"}


def test_a_message_without_the_header_of_its_source_is_of_its_only_owner() -> None:
    """Stored messages of the other events have no source in their headers, so their owner never changes (ADR 43)."""
    streams = {name: stream_of(event).name for name, event in EVENTS.items()}
    sources = {name: implied_source(streams[name], EVENTS[name].subjects()) for name in EVENTS}
    without = {name for name, source in sources.items() if source is None}
    assert without == SEVERAL_SOURCES | {name for name, stream in streams.items() if stream == "REQUESTS"}
    named = {"call": "call-orchestrator", "dial": "voice", "telephony": "edge", "reply": "conversation"}
    for event_name, source in sources.items():
        family = event_name.split(".")[0]
        assert source in (None, "voice" if event_name in MEDIA_OF_VOICE else named.get(family, source))


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


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, NOW),
        ("2025-01-15T12:00:00+00:00", datetime(2025, 1, 15, 12, tzinfo=UTC)),
        ("2031-01-15T12:00:00+00:00", NOW),  # an upstream system cannot make its request younger
        ("2025-01-15T12:00:00", NOW),
        ("yesterday", NOW),
    ],
)
def test_a_message_that_was_stored_again_has_the_time_of_the_first_time(value: str | None, expected: datetime) -> None:
    headers = {} if value is None else {FIRST_STORED_HEADER: value}
    assert first_stored_at(headers, NOW) == expected
