"""Generates the documents of the contracts: JSON schemas, an AsyncAPI document, and the table in the README."""

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from contracts.callback_times import CallbackTime, CallbackTimeQuery
from contracts.consumers import CONSUMERS
from contracts.envelope import headers_schema
from contracts.event import CampaignDecision, CampaignEvent, Event, NumberEvent, Service
from contracts.events import EVENTS
from contracts.examples import EXAMPLES
from contracts.outcomes import Outcomes, OutcomesQuery
from contracts.provider_calls import ProviderCallsQuery
from contracts.queries import (
    CALL_REQUEST,
    AdmissionQuery,
    AdmissionState,
    CallingTimes,
    CallingTimesQuery,
    CallList,
    CallListQuery,
    CampaignCalls,
    CampaignCallsQuery,
    CampaignList,
    CampaignListQuery,
    CampaignStatistics,
    CampaignStatisticsQuery,
    CommandOutcome,
    NumberCallsQuery,
)
from contracts.streams import STREAMS, Stream

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PARAMETERS = {
    "call_id": "the call's id, a UUID; the partition key",
    "campaign_id": "the campaign's id",
    "status": "the call's status after the event",
    "zone_group": "identifies where the person may be: country, regions and time zones",
    "number_digest": "keyed digest of the number",
}

Document = dict[str, Any]


def schema_of(event: type[Event]) -> Document:
    """Returns the JSON schema of an event's body, with its example."""
    return {
        "$schema": DIALECT,
        "$id": f"urn:centralita:event:{event.type_name()}",
        **event.model_json_schema(),
        "examples": [_example(event)],
    }


def stream_of(event: type[Event]) -> Stream:
    """Returns the stream that stores an event. Raises ValueError unless exactly one does."""
    (stream,) = [stream for stream in STREAMS if any(covers(subject, event.subjects()) for subject in stream.subjects)]
    return stream


def covers(wide: str, narrow: str) -> bool:
    """Returns whether the filter `wide` matches every subject that `narrow` matches."""
    these, those = wide.split("."), narrow.split(".")
    if these[-1] == ">" and len(those) >= len(these):
        these, those = these[:-1], those[: len(these) - 1]
    return len(these) == len(those) and all(this in ("*", that) for this, that in zip(these, those, strict=True))


def address_of(event: type[Event]) -> str:
    """Returns the subject with named parameters, e.g. ``call.created.{call_id}.{status}``."""
    family, fact, *wildcards = event.subjects().split(".")
    if issubclass(event, NumberEvent):
        names: tuple[str, ...] = ("number_digest",)
    elif issubclass(event, CampaignEvent | CampaignDecision):
        names = ("campaign_id", "zone_group", "number_digest")
    else:
        names = ("call_id", "status")
    return ".".join([family, fact, *(f"{{{name}}}" for name in names[: len(wildcards)])])


def asyncapi() -> Document:
    """Returns the AsyncAPI 3.0 document of all messages on the bus."""
    bodies: list[type[BaseModel]] = [
        *EVENTS.values(),
        CommandOutcome,
        CampaignStatisticsQuery,
        CampaignStatistics,
        CampaignCallsQuery,
        CampaignCalls,
        CallListQuery,
        CallList,
        NumberCallsQuery,
        ProviderCallsQuery,
        CampaignListQuery,
        CampaignList,
        OutcomesQuery,
        Outcomes,
        CallingTimesQuery,
        CallingTimes,
        CallbackTimeQuery,
        CallbackTime,
        AdmissionQuery,
        AdmissionState,
    ]
    _, schemas = models_json_schema(
        [(body, "validation") for body in bodies], ref_template="#/components/schemas/{model}"
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Centralita",
            "version": "1.0.0",
            "description": "Phone calls by AI agents: every event on NATS JetStream, with CloudEvents attributes",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"nats": {"host": "127.0.0.1:4222", "protocol": "nats", "description": "NATS with JetStream"}},
        "channels": {**{event.event_name: _channel(event) for event in EVENTS.values()}, **_service_channels()},
        "operations": dict([*_publications(), *_subscriptions(), *_services()]),
        "components": {
            "messages": {**{event.type_name(): _message(event) for event in EVENTS.values()}, **_service_messages()},
            "schemas": {**schemas["$defs"], "Envelope": headers_schema()},
        },
    }


def events_table() -> str:
    """Returns the events as a Markdown table: subject, version, owners, stream, meaning."""
    rows = [
        f"| `{address_of(event)}` | {event.version} | {', '.join(sorted(event.owners))} | `{stream_of(event).name}` "
        f"| {_meaning(event)} |"
        for event in EVENTS.values()
    ]
    return "\n".join(["| subject | version | published by | stream | meaning |", "|---|---|---|---|---|", *rows])


def _example(event: type[Event]) -> Any:
    return json.loads(EXAMPLES[event.event_name].body())


def _meaning(event: type[Event]) -> str:
    return " ".join((event.__doc__ or "").split()).replace("``", "`")


def _reference(*path: str) -> Document:
    return {"$ref": "#/" + "/".join(path)}


def _channel(event: type[Event]) -> Document:
    address = address_of(event)
    return {
        "address": address,
        "description": _meaning(event),
        "parameters": {name: {"description": text} for name, text in _PARAMETERS.items() if f"{{{name}}}" in address},
        "messages": {event.type_name(): _reference("components", "messages", event.type_name())},
        "x-stream": stream_of(event).name,
        "x-owners": sorted(event.owners),
    }


def _message(event: type[Event]) -> Document:
    note = " An upstream system need not send any header." if Service.UPSTREAM in event.owners else ""
    return {
        "name": event.type_name(),
        "title": event.__name__,
        "summary": _meaning(event) + note,
        "contentType": "application/json",
        "headers": _reference("components", "schemas", "Envelope"),
        "payload": _reference("components", "schemas", event.__name__),
        "examples": [{"payload": _example(event)}],
    }


def _operation(action: str, event: type[Event], description: str) -> Document:
    return {
        "action": action,
        "channel": _reference("channels", event.event_name),
        "messages": [_reference("channels", event.event_name, "messages", event.type_name())],
        "description": description,
    }


def _publications() -> Iterator[tuple[str, Document]]:
    for event in EVENTS.values():
        for owner in sorted(event.owners):
            yield f"{owner}.publishes.{event.event_name}", _operation("send", event, f"{owner} publishes it")


def _subscriptions() -> Iterator[tuple[str, Document]]:
    for consumer in CONSUMERS:
        for event in consumer.events:
            description = f"durable consumer {consumer.name} with the filter {', '.join(consumer.filters)}"
            yield f"{consumer.name}.consumes.{event.event_name}", _operation("receive", event, description)


_SERVICES: tuple[tuple[str, Service, str, str], ...] = (
    (CALL_REQUEST, Service.EDGE, "CallRequested", "CommandOutcome"),
    (CampaignStatisticsQuery.subject, Service.CAMPAIGN_STATS, "CampaignStatisticsQuery", "CampaignStatistics"),
    (CampaignCallsQuery.subject, Service.CAMPAIGN_STATS, "CampaignCallsQuery", "CampaignCalls"),
    (CallListQuery.subject, Service.CAMPAIGN_STATS, "CallListQuery", "CallList"),
    (NumberCallsQuery.subject, Service.CAMPAIGN_STATS, "NumberCallsQuery", "CallList"),
    (ProviderCallsQuery.subject, Service.CAMPAIGN_STATS, "ProviderCallsQuery", "CallList"),
    (CampaignListQuery.subject, Service.CAMPAIGN_STATS, "CampaignListQuery", "CampaignList"),
    (OutcomesQuery.subject, Service.CAMPAIGN_STATS, "OutcomesQuery", "Outcomes"),
    (CallingTimesQuery.subject, Service.ORCHESTRATOR, "CallingTimesQuery", "CallingTimes"),
    (CallbackTimeQuery.subject, Service.ORCHESTRATOR, "CallbackTimeQuery", "CallbackTime"),
    (AdmissionQuery.subject, Service.ORCHESTRATOR, "AdmissionQuery", "AdmissionState"),
)


_OUTCOME_CHANNELS = (
    ("outcome", "outcome.{id}", "id: the UUIDv5 of the request's ce-id in the name space of call ids"),
    ("outcome.published", "outcome.{asker}.{id}", "asker: upstream, edge or operator, who receives outcome.{id}"),
)


def _service_channels() -> Document:
    channels: Document = {}
    for subject, _, question, answer in _SERVICES:
        channels[subject] = {
            "address": subject,
            "messages": {question: _reference("components", "messages", question)},
        }
        channels[f"{subject}.reply"] = {
            "address": None,
            "description": "the inbox that the request names",
            "messages": {answer: _reference("components", "messages", answer)},
        }
    for channel, address, description in _OUTCOME_CHANNELS:
        channels[channel] = {
            "address": address,
            "description": description,
            "parameters": {name: {} for name in re.findall(r"{(\w+)}", address)},
            "messages": {CommandOutcome.__name__: _reference("components", "messages", CommandOutcome.__name__)},
        }
    return channels


def _service_messages() -> Document:
    names = {name for _, _, question, answer in _SERVICES for name in (question, answer)}
    return {
        name: {
            "name": name,
            "contentType": "application/json",
            "payload": _reference("components", "schemas", name),
        }
        for name in sorted(names)
    }


def _services() -> Iterator[tuple[str, Document]]:
    yield (
        f"{Service.ORCHESTRATOR}.publishes.outcome",
        {
            "action": "send",
            "channel": _reference("channels", "outcome.published"),
            "messages": [_reference("channels", "outcome.published", "messages", CommandOutcome.__name__)],
            "description": "the outcome of each request and command, once; it is not stored",
        },
    )
    for asker in (Service.UPSTREAM, Service.EDGE):
        yield (
            f"{asker}.receives.outcome",
            {
                "action": "receive",
                "channel": _reference("channels", "outcome"),
                "messages": [_reference("channels", "outcome", "messages", CommandOutcome.__name__)],
                "description": "the outcomes of its own requests and commands",
            },
        )
    for subject, service, question, answer in _SERVICES:
        yield (
            f"{service}.answers.{subject}",
            {
                "action": "receive",
                "channel": _reference("channels", subject),
                "messages": [_reference("channels", subject, "messages", question)],
                "reply": {
                    "channel": _reference("channels", f"{subject}.reply"),
                    "messages": [_reference("channels", f"{subject}.reply", "messages", answer)],
                },
            },
        )
