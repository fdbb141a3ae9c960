"""Which steps of the ladders a run has used, from its log, and what its breakers did, from the services' metrics."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

import httpx
from nats.aio.client import Client
from prometheus_client.parser import text_string_to_metric_families

from centralita.embedded.system import System
from chassis.event_log import EventLog
from contracts import AudioFailed, AudioReady, ConversationEnded, Disposition, Event, ReplyGenerated, SpeechFallback
from contracts.streams import CALLS

SPEECH = {
    "voice": "the voice that was asked for",
    "second_voice": "a second model or voice of ElevenLabs",
    "clip": "a clip of the same line",
    "say": "Twilio's own voice, to the end of the turn",
}
MODEL = {
    "model": "the model that was asked",
    "retry": "the same model once more",
    "second_model": "a second model",
    "script_line": "the script's own line",
    "last_resort": "the language's last resort",
    "technical_failure": "a goodbye, and the call failed",
}
"""The steps of each ladder from the top to the bottom, and what each is."""

BREAKERS = ("elevenlabs", "elevenlabs_fallback", "openai", "openai_fallback", "twilio")


@dataclass(frozen=True, slots=True)
class BreakerBook:
    """How often a breaker opened and closed, and its state now (0: closed)."""

    opened: int = 0
    closed: int = 0
    state: int = 0

    @property
    def is_closed_again(self) -> bool:
        """Whether it opened, and has closed since."""
        return self.opened > 0 and self.closed > 0 and self.state == 0


Breakers = Mapping[str, BreakerBook]


@dataclass(frozen=True, slots=True)
class Ladder:
    """What a run has used; `steps` by name, those that were not used at 0."""

    steps: Mapping[str, int]
    breakers: Breakers

    @property
    def problems(self) -> list[str]:
        """Every step that was not used, and every breaker that did not open and close again."""
        return [
            *(f"step {name} was not used" for name, times in self.steps.items() if not times),
            *(f"breaker {name} never opened" for name, book in self.breakers.items() if not book.opened),
            *(f"breaker {name} is not closed again" for name, book in self.breakers.items() if not _is_well(book)),
        ]


def source_of(event: Event) -> str | None:
    """The step that an event tells of; none if it tells of none."""
    match event:
        case AudioReady():
            return event.fallback.value if event.fallback else "voice"
        case AudioFailed(fallback=SpeechFallback.SAY):
            return SpeechFallback.SAY.value
        case ReplyGenerated():
            return event.source.value
        case ConversationEnded(disposition=Disposition.TECHNICAL_FAILURE):
            return Disposition.TECHNICAL_FAILURE.value
    return None


async def ladder(client: Client, system: System, calls: Iterable[UUID]) -> Ladder:
    """Reads the log of these calls, and asks voice and conversation for their breakers."""
    log = EventLog(client, CALLS.name, source="demo")
    used: Counter[str] = Counter()
    for call_id in calls:
        facts = await log.read([event.subject_for(call_id) for event in (AudioReady, AudioFailed, ReplyGenerated)])
        facts += await log.read([ConversationEnded.subject_for(call_id)])
        used.update(step for fact in facts if (step := source_of(fact.event)))
    async with httpx.AsyncClient(timeout=10) as http:
        books = await breakers(http, system)
    return Ladder({step: used[step] for step in (*SPEECH, *MODEL)}, books)


async def breakers(http: httpx.AsyncClient, system: System) -> Breakers:
    """Every breaker of `BREAKERS`, as the services count them."""
    opened: Counter[str] = Counter()
    closed: Counter[str] = Counter()
    state: Counter[str] = Counter()
    for service in ("voice", "conversation"):
        answer = await http.get(f"{system.urls[service]}/metrics")
        for family in text_string_to_metric_families(answer.raise_for_status().text):
            for sample in family.samples:
                if sample.name == "centralita_breaker_transitions_total":
                    by_state = {"open": opened, "closed": closed}.get(sample.labels["state"], Counter())
                    by_state[sample.labels["provider"]] += int(sample.value)
                elif sample.name == "centralita_breaker_state":
                    state[sample.labels["provider"]] += int(sample.value)
    return {name: BreakerBook(opened[name], closed[name], state[name]) for name in BREAKERS}


def _is_well(book: BreakerBook) -> bool:
    return not book.opened or book.is_closed_again
