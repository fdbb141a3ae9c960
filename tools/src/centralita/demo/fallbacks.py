"""The fallbacks that a run has used, read from its log, and its circuit breakers, read from the services' metrics."""

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
    "voice": "the requested voice",
    "second_voice": "a second model or voice of ElevenLabs",
    "clip": "a clip of the same line",
    "say": "Twilio's own voice, until the end of the turn",
}
MODEL = {
    "model": "the configured model",
    "retry": "the same model once more",
    "second_model": "a second model",
    "script_line": "the fallback line of the script",
    "last_resort": "the last resort of the language",
    "technical_failure": "a goodbye; the call fails",
}
"""Each fallback chain: its sources in order, with what the callee hears."""

BREAKERS = ("elevenlabs", "elevenlabs_fallback", "openai", "openai_fallback", "twilio")


@dataclass(frozen=True, slots=True)
class BreakerCounts:
    """How often a breaker has opened and closed, and its present state (0: closed)."""

    opened: int = 0
    closed: int = 0
    state: int = 0

    @property
    def is_closed_again(self) -> bool:
        """Whether the breaker has opened, and is closed now."""
        return self.opened > 0 and self.closed > 0 and self.state == 0


Breakers = Mapping[str, BreakerCounts]


@dataclass(frozen=True, slots=True)
class FallbackUsage:
    """How often a run has used each source (0: never), and its breakers."""

    sources: Mapping[str, int]
    breakers: Breakers

    @property
    def problems(self) -> list[str]:
        """Every source that was not used, and every breaker that did not open and close again."""
        return [
            *(f"{name} was not used" for name, count in self.sources.items() if not count),
            *(f"breaker {name} never opened" for name, counts in self.breakers.items() if not counts.opened),
            *(
                f"breaker {name} is not closed again"
                for name, counts in self.breakers.items()
                if counts.opened and not counts.is_closed_again
            ),
        ]


def sources_of(event: Event) -> list[str]:
    """Returns the sources whose use the event records, one for each sentence or reply."""
    match event:
        case AudioReady():
            return [audio.fallback.value if audio.fallback else "voice" for audio in event.sentences]
        case AudioFailed(fallback=SpeechFallback.SAY):
            return [SpeechFallback.SAY.value]
        case ReplyGenerated():
            return [event.source.value]
        case ConversationEnded(disposition=Disposition.TECHNICAL_FAILURE):
            return [Disposition.TECHNICAL_FAILURE.value]
    return []


async def fallback_usage(client: Client, system: System, calls: Iterable[UUID]) -> FallbackUsage:
    """Reads the events of these calls, and the breakers of voice and conversation."""
    log = EventLog(client, CALLS.name, source="demo")
    used: Counter[str] = Counter()
    for call_id in calls:
        events = await log.read([event.subject_for(call_id) for event in (AudioReady, AudioFailed, ReplyGenerated)])
        events += await log.read([ConversationEnded.subject_for(call_id)])
        used.update(source for stored in events for source in sources_of(stored.event))
    async with httpx.AsyncClient(timeout=10) as http:
        counts = await breakers(http, system)
    return FallbackUsage({source: used[source] for source in (*SPEECH, *MODEL)}, counts)


async def breakers(http: httpx.AsyncClient, system: System) -> Breakers:
    """Returns the counts of every breaker in `BREAKERS`, summed over the services."""
    opened: Counter[str] = Counter()
    closed: Counter[str] = Counter()
    state: Counter[str] = Counter()
    for service in ("voice", "conversation"):
        response = await http.get(f"{system.urls[service]}/metrics")
        for family in text_string_to_metric_families(response.raise_for_status().text):
            for sample in family.samples:
                if sample.name == "centralita_breaker_transitions_total":
                    by_state = {"open": opened, "closed": closed}.get(sample.labels["state"], Counter())
                    by_state[sample.labels["provider"]] += int(sample.value)
                elif sample.name == "centralita_breaker_state":
                    state[sample.labels["provider"]] += int(sample.value)
    return {name: BreakerCounts(opened[name], closed[name], state[name]) for name in BREAKERS}
