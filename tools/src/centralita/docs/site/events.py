"""Pages of the events: one per family, from the AsyncAPI document."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from centralita.docs.site.schemas import Field, anchor, fields_of, title_of
from centralita.docs.site.templating import render

DOCUMENT = "libs/contracts/asyncapi.json"
SCHEMAS = "libs/contracts/schemas"
FOLDER = "events"
_VALUES = "values.md"
_REQUESTS = "requests.md"
_REPLY = ".reply"


@dataclass(frozen=True, slots=True)
class Event:
    """One event as the templates show it."""

    name: str
    type: str
    subject: str
    stream: str
    meaning: str
    owners: tuple[str, ...]
    consumers: tuple[str, ...]
    parameters: tuple[tuple[str, str], ...]
    fields: list[Field]
    examples: tuple[str, ...]

    @property
    def family(self) -> str:
        """Return the first token of the name."""
        return self.name.partition(".")[0]

    @property
    def address(self) -> str:
        """Return the place of the event in the pages of its folder."""
        return f"{self.family}.md#{anchor(self.name)}"


def event_pages(document: Mapping[str, Any]) -> dict[str, str]:
    """Returns the Markdown of every page, by its path."""
    links = _Links(document)
    events = [event for name in document["channels"] for event in _events(document, name, links)]
    families = list(dict.fromkeys(event.family for event in events))
    pages = {
        f"{family}.md": render(
            "event_family",
            family=family,
            schema_folder=SCHEMAS,
            events=[event for event in events if event.family == family],
        )
        for family in families
    }
    shown = {_payload(document, name) for name in document["components"]["messages"]}
    values = sorted((name, schema) for name, schema in _schemas(document).items() if name not in shown)
    introduction = "Types that are fields of several events, and the headers of every event (Envelope)."
    return {
        f"{FOLDER}/{path}": text
        for path, text in {
            "index.md": render("event_index", version=document["info"]["version"], events=events),
            **pages,
            _REQUESTS: render("requests", requests=_requests(document, links)),
            _VALUES: render("values", title="Types of events", introduction=introduction, schemas=values, link=links),
        }.items()
    }


class _Links:
    """The place of each schema: payloads are described with their event, others on a page of their own."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._places: dict[str, str] = {}
        for name, channel in document["channels"].items():
            page = f"{name.partition('.')[0]}.md" if "x-stream" in channel else _REQUESTS
            for message in channel["messages"]:
                place = f"{page}#{anchor(name.removesuffix(_REPLY))}"
                self._places.setdefault(_payload(document, message), place)

    def __call__(self, name: str) -> str:
        return self._places.get(name, f"{_VALUES}#{anchor(title_of(name))}")


def _events(document: Mapping[str, Any], name: str, links: _Links) -> Iterator[Event]:
    channel = document["channels"][name]
    if "x-stream" not in channel:
        return
    for type_name in channel["messages"]:
        message = document["components"]["messages"][type_name]
        payload = _schemas(document)[_payload(document, type_name)]
        yield Event(
            name=name,
            type=type_name,
            subject=channel["address"],
            stream=channel["x-stream"],
            meaning=channel["description"],
            owners=tuple(channel["x-owners"]),
            consumers=tuple(_operators(document, "consumes", name)),
            parameters=tuple((key, value.get("description", "")) for key, value in channel["parameters"].items())
            if "parameters" in channel
            else (),
            fields=fields_of(payload, links),
            examples=tuple(_json(example["payload"]) for example in message.get("examples", ())),
        )


def _requests(document: Mapping[str, Any], links: _Links) -> list[dict[str, object]]:
    found = []
    for name, channel in document["channels"].items():
        services = _operators(document, "answers", name)
        if not services:
            continue
        reply = document["channels"][f"{name}{_REPLY}"]
        roles = [("Request", message) for message in channel["messages"]]
        roles += [("Answer", message) for message in reply["messages"]]
        found.append(
            {
                "subject": channel["address"],
                "service": services[0],
                "messages": [_message(document, role, message, links) for role, message in roles],
            }
        )
    return found


def _message(document: Mapping[str, Any], role: str, name: str, links: _Links) -> dict[str, object]:
    schema = _schemas(document)[_payload(document, name)]
    meaning = schema.get("description", "")
    return {"role": role, "name": name, "meaning": meaning, "fields": fields_of(schema, links)}


def _operators(document: Mapping[str, Any], verb: str, channel: str) -> list[str]:
    """Returns the consumers or services of a channel: operations are named ``<who>.<verb>.<channel>``."""
    suffix = f".{verb}.{channel}"
    return [name.removesuffix(suffix) for name in document["operations"] if name.endswith(suffix)]


def _payload(document: Mapping[str, Any], message: str) -> str:
    reference: str = document["components"]["messages"][message]["payload"]["$ref"]
    return reference.rpartition("/")[2]


def _schemas(document: Mapping[str, Any]) -> dict[str, Any]:
    return dict(document["components"]["schemas"])


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
