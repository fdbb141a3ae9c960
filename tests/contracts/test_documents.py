"""The generated documents are current and consistent."""

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from pydantic import ValidationError

from contracts import EVENTS, ChainEvent, CommandOutcome, Event, InvalidMessage, Service, call_id_of, decode
from contracts.__main__ import BESIDE_THE_PACKAGE, documents, drift
from contracts.consumers import CONSUMERS, ORCHESTRATOR_FACTS, Consumer
from contracts.documents import address_of, asyncapi, covers, schema_of, stream_of
from contracts.examples import CALL_ID, EXAMPLES
from contracts.filters import message_ids
from contracts.queries import CALL_REQUEST, CampaignStatisticsQuery
from contracts.streams import STREAMS

README = BESIDE_THE_PACKAGE / "README.md"
every_event = pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
every_consumer = pytest.mark.parametrize("consumer", CONSUMERS, ids=lambda consumer: consumer.name)


def event_types(kind: type[Event] = Event) -> Iterator[type[Event]]:
    for subtype in kind.__subclasses__():
        if "event_name" in vars(subtype) and subtype.__module__.startswith("contracts."):
            yield subtype
        yield from event_types(subtype)


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from references(item)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return asyncapi()


def test_the_stored_documents_are_current() -> None:
    assert drift(BESIDE_THE_PACKAGE) == []


def test_every_event_and_the_readmes_table_are_among_the_stored_documents() -> None:
    stored = documents(BESIDE_THE_PACKAGE)
    assert {f"schemas/{event.type_name()}.json" for event in EVENTS.values()} < set(stored)
    assert all(f"| `{address_of(event)}` |" in stored["README.md"] for event in EVENTS.values())


def test_every_event_type_is_registered_and_its_subject_begins_with_its_name() -> None:
    types = list(event_types())
    assert sorted(event.event_name for event in types) == sorted(EVENTS)
    assert all(event.subjects().split(".")[:2] == event.event_name.split(".") for event in types)


@every_event
def test_an_event_decodes_from_its_own_example(event: type[Event]) -> None:
    example = EXAMPLES[event.event_name]
    assert type(example) is event
    body = json.dumps(schema_of(event)["examples"][0]).encode()
    assert decode(example.subject, body) == example
    assert covers(event.subjects(), example.subject)


@pytest.mark.parametrize("event", [event for event in EVENTS.values() if issubclass(event, ChainEvent)])
def test_an_event_of_a_chain_is_on_one_literal_subject_and_read_from_its_former_one(event: type[ChainEvent]) -> None:
    example = EXAMPLES[event.event_name]
    assert example.subject == event.subjects() == event.event_name
    body, former_subject = example.model_dump_json().encode(), f"{event.event_name}.{CALL_ID}"
    assert decode(former_subject, body) == example
    assert [covers(wide, former_subject) for wide in event.former_subjects()] == [True]
    with pytest.raises(InvalidMessage, match="belongs on"):
        decode(f"{event.event_name}.{call_id_of('another')}", body)
    ids = {"call_id": str(CALL_ID)}
    assert message_ids(event.event_name, body) == message_ids(former_subject, body) == ids
    assert [message_ids(event.event_name, wrong) for wrong in (b"", b"[]", b"{}")] == [{}, {}, {}]


def test_a_consumer_delivers_the_former_subjects_too() -> None:
    assert {"admission.granted", "admission.granted.*"} < set(ORCHESTRATOR_FACTS.filters)


@every_event
def test_a_schema_is_valid_and_accepts_its_example(event: type[Event]) -> None:
    schema = schema_of(event)
    jsonschema.Draft202012Validator.check_schema(schema)
    checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    assert list(checker.iter_errors(schema["examples"][0])) == []
    assert list(checker.iter_errors({})) != []


@every_event
def test_an_event_belongs_to_exactly_one_stream(event: type[Event]) -> None:
    keeping = [stream for stream in STREAMS if any(covers(subject, event.subjects()) for subject in stream.subjects)]
    assert keeping == [stream_of(event)]


@every_event
def test_every_owner_of_an_event_is_a_service_that_publishes(event: type[Event]) -> None:
    assert event.owners
    assert event.owners <= set(Service) - {Service.CAMPAIGN_STATS}


@every_consumer
def test_a_consumer_delivers_only_events_of_its_stream(consumer: Consumer) -> None:
    for wanted in consumer.filters:
        assert any(covers(subject, wanted) for subject in consumer.stream.subjects)
    assert {stream_of(event) for event in consumer.events} == {consumer.stream}


@pytest.mark.parametrize("subject", [CALL_REQUEST, CampaignStatisticsQuery.subject])
def test_no_stream_stores_a_query_because_its_acknowledgement_would_be_the_answer(subject: str) -> None:
    assert not [stream for stream in STREAMS if any(covers(stored, subject) for stored in stream.subjects)]


@pytest.mark.parametrize(
    ("wide", "narrow", "does"),
    [
        ("call.*.*.*", "call.created.*.*", True),
        ("call.created.*.*", "call.*.*.*", False),
        ("call.*.*.*", "call.requested", False),
        ("dead_letter.>", "dead_letter.call.requested", True),
        ("dead_letter.>", "dead_letter", False),
        ("dial.*.*", "dial.placed.1.2", False),
    ],
)
def test_a_subject_covers_another(wide: str, narrow: str, does: bool) -> None:
    assert covers(wide, narrow) is does


def test_every_reference_in_the_asyncapi_document_has_a_target(document: dict[str, Any]) -> None:
    for reference in references(document):
        node: Any = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
        assert isinstance(node, dict)


def test_every_channel_declares_the_parameters_of_its_address(document: dict[str, Any]) -> None:
    assert document["asyncapi"] == "3.0.0"
    for channel in document["channels"].values():
        named = set(re.findall(r"\{(\w+)\}", channel["address"] or ""))
        assert named == set(channel.get("parameters", {}))
        assert channel["messages"]


def test_the_asyncapi_document_has_every_owner_and_every_consumer(document: dict[str, Any]) -> None:
    actions = {name: operation["action"] for name, operation in document["operations"].items()}
    sent = {f"{owner}.publishes.{event.event_name}" for event in EVENTS.values() for owner in event.owners}
    consumed = {f"{consumer.name}.consumes.{event.event_name}" for consumer in CONSUMERS for event in consumer.events}
    assert {name for name, action in actions.items() if action == "send"} == sent | {
        "call-orchestrator.publishes.outcome"
    }
    assert {name for name, action in actions.items() if action == "receive"} > consumed


def test_every_operation_names_messages_of_its_own_channel(document: dict[str, Any]) -> None:
    for operation in document["operations"].values():
        for side in (operation, *([operation["reply"]] if "reply" in operation else [])):
            channel = side["channel"]["$ref"]
            assert all(message["$ref"].startswith(f"{channel}/messages/") for message in side["messages"])


def test_every_message_has_a_payload_whose_schema_is_valid_and_accepts_its_examples(document: dict[str, Any]) -> None:
    for message in document["components"]["messages"].values():
        whole = {**message["payload"], "components": document["components"]}
        checker = jsonschema.Draft7Validator(whole)
        for example in message.get("examples", []):
            assert list(checker.iter_errors(example["payload"])) == []
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft7Validator.check_schema(schema)


def test_the_outcome_in_the_readme_is_valid_and_its_call_id_follows_from_its_request_id() -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    outcome = CommandOutcome.model_validate_json(shown)
    assert outcome.request_id is not None
    assert outcome.call_id == call_id_of(outcome.request_id)


def test_the_requests_that_the_readme_shows_for_the_command_line_are_valid() -> None:
    shown = re.findall(r"nats request \S+ '(.*?)'", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(shown) == 2
    for body in shown:
        assert decode("call.requested", body.encode()).event_name == "call.requested"
        assert "{{" not in body  # the command line would take it for a template of its own


def test_no_document_names_this_machine() -> None:
    stored = "".join(documents(BESIDE_THE_PACKAGE).values())
    assert str(BESIDE_THE_PACKAGE) not in stored


def _validated_fields(event: type[Event]) -> Collection[str]:
    """The fields of a request or command. Facts carry values of validated requests, which are not validated again."""
    return event.model_fields if event.owners & {Service.UPSTREAM, Service.EDGE} else ()


@pytest.mark.parametrize("campaign_id", ["a.b", "*", ">", "a b", "a\n", "", "ñ", "$JS", "a" * 101])
@pytest.mark.parametrize("event", [event for event in EVENTS.values() if "campaign_id" in _validated_fields(event)])
def test_a_campaign_id_is_exactly_one_token_of_a_subject(event: type[Event], campaign_id: str) -> None:
    body = {**EXAMPLES[event.event_name].model_dump(), "campaign_id": campaign_id}
    with pytest.raises(ValidationError, match="campaign_id"):
        event.model_validate(body)
