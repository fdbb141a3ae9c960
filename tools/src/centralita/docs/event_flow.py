"""``python -m centralita.docs.event_flow [PAGE …]``: who says what to whom, as a Mermaid flow chart.

An arrow into a stream names the families of facts that its owner publishes; an arrow out of one, what is handled there.
"""

import re
import sys
from pathlib import Path

from contracts import streams
from contracts.event import Service
from contracts.events import EVENTS
from contracts.permissions import WORK
from contracts.streams import CALLS, REQUESTS, Consumer, Stream

MARKED = re.compile(r"<!-- picture -->\n```mermaid\n(?P<chart>(?:(?!```).*\n)*)```$", re.MULTILINE)
"""Where a page holds the chart: the lines up to the next fence, which closes it."""

_OUTSIDE = {
    Service.VOICE: ("Twilio", "ElevenLabs"),
    Service.CONVERSATION: ("OpenAI",),
    Service.EDGE: ("REST and webhooks",),
    Service.CAMPAIGN_STATS: ("MongoDB",),
}
_DRAWN = (REQUESTS, CALLS)


def flowchart() -> str:
    """The chart's text, the same for the same contracts."""
    lines = ["flowchart LR", f'    {_node(Service.UPSTREAM)}(["upstream systems"])']
    lines += [f'    {stream.name}[("{stream.name}")]' for stream in _DRAWN]
    lines += [f'    {_node(service)}["{service}"]' for service in WORK]
    for service in (Service.UPSTREAM, *WORK):
        for stream in _DRAWN:
            if families := _families(service, stream):
                lines.append(f'    {_node(service)} -- "{", ".join(families)}" --> {stream.name}')
    for service, work in WORK.items():
        lines += [f'    {c.stream.name} -- "{_handled(c)}" --> {_node(service)}' for c in work.handles]
        if not work.handles and CALLS in work.follows:
            lines.append(f'    {CALLS.name} -- "everything, in order" --> {_node(service)}')
        lines += [f'    {_node(service)} <--> {name.split()[0]}(["{name}"])' for name in _OUTSIDE.get(service, ())]
    return "\n".join(lines)


def _node(service: Service) -> str:
    return service.replace("-", "_")


def _families(service: Service, stream: Stream) -> list[str]:
    owned = [event for event in EVENTS.values() if service in event.owners]
    inside = [event.event_name.split(".")[0] for event in owned if _stream_of(event.event_name) is stream]
    return [f"{family}.*" for family in dict.fromkeys(inside)]


def _stream_of(fact: str) -> Stream:
    """Requests stand in a stream of their own; of the rest, only what the log holds is drawn."""
    if any(subject.split(".")[:2] == fact.split(".") for subject in REQUESTS.subjects):
        return REQUESTS
    family = fact.split(".")[0]
    return CALLS if any(subject.split(".")[0] == family for subject in CALLS.subjects) else streams.QUEUE


def _handled(consumer: Consumer) -> str:
    """What a consumer is for: the last part of its name, e.g. ``dials``."""
    return consumer.name.rpartition("-")[2]


def renewed(text: str) -> str:
    """The page's text with the chart behind its mark ``<!-- picture -->``; the rest is left as it is."""
    return MARKED.sub(lambda _: f"<!-- picture -->\n```mermaid\n{flowchart()}\n```", text)


def renew(page: Path) -> None:
    """Writes the chart into a page."""
    page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        renew(Path(name))
    if not sys.argv[1:]:
        sys.stdout.write(flowchart() + "\n")
