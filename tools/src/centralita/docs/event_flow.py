"""``python -m centralita.docs.event_flow [PAGE …]``: draws which service publishes and consumes what, as a flow chart.

An arrow into a stream names the families of events that a service publishes. An arrow out of a stream names a consumer.
"""

import re
import sys
from pathlib import Path

from contracts.consumers import Consumer
from contracts.documents import stream_of
from contracts.event import Service
from contracts.events import EVENTS
from contracts.streams import CALLS, CONTACTS, NUMBERS, REQUESTS, Stream
from contracts.work import WORK

MARKED = re.compile(r"<!-- picture -->\n```mermaid\n(?P<chart>(?:(?!```).*\n)*)```$", re.MULTILINE)
"""The chart in a page: from its mark to the closing fence."""

_EXTERNAL_SYSTEMS = {
    Service.VOICE: ("Twilio", "ElevenLabs"),
    Service.CONVERSATION: ("OpenAI",),
    Service.EDGE: ("REST and webhooks",),
    Service.CAMPAIGN_STATS: ("MongoDB",),
}
_DRAWN_STREAMS = (REQUESTS, CONTACTS, NUMBERS, CALLS)


def flowchart() -> str:
    """Returns the Mermaid text of the chart."""
    lines = ["flowchart LR", f'    {_node(Service.UPSTREAM)}(["upstream systems"])']
    lines += [f'    {stream.name}[("{stream.name}")]' for stream in _DRAWN_STREAMS]
    lines += [f'    {_node(service)}["{service}"]' for service in WORK]
    for service in (Service.UPSTREAM, *WORK):
        for stream in _DRAWN_STREAMS:
            if families := _families(service, stream):
                lines.append(f'    {_node(service)} -- "{", ".join(families)}" --> {stream.name}')
    for service, work in WORK.items():
        lines += [f'    {c.stream.name} -- "{_purpose(c)}" --> {_node(service)}' for c in work.handles]
        lines += [f'    {stream.name} -- "contacts" --> {_node(service)}' for stream in work.takes]
        if not work.handles and any(stream is CALLS for stream, _ in work.follows):
            lines.append(f'    {CALLS.name} -- "everything, in order" --> {_node(service)}')
        systems = _EXTERNAL_SYSTEMS.get(service, ())
        lines += [f'    {_node(service)} <--> {name.split()[0]}(["{name}"])' for name in systems]
    return "\n".join(lines)


def _node(service: Service) -> str:
    return service.replace("-", "_")


def _families(service: Service, stream: Stream) -> list[str]:
    owned = [event for event in EVENTS.values() if service in event.owners and stream_of(event) is stream]
    return [f"{family}.*" for family in dict.fromkeys(event.event_name.split(".")[0] for event in owned)]


def _purpose(consumer: Consumer) -> str:
    """Returns the last part of the consumer's name, e.g. ``dials``."""
    return consumer.name.rpartition("-")[2]


def renewed(text: str) -> str:
    """Returns the text of a page with the present chart after ``<!-- picture -->``."""
    return MARKED.sub(lambda _: f"<!-- picture -->\n```mermaid\n{flowchart()}\n```", text)


def renew(page: Path) -> None:
    """Writes the present chart into a page."""
    page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        renew(Path(name))
    if not sys.argv[1:]:
        sys.stdout.write(flowchart() + "\n")
