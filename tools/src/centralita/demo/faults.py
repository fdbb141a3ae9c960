"""``centralita demo --faults``: the vendors fail during the campaign, phase by phase, and recover.

Each phase lasts until the log and the services' metrics show its intended effect, so that the speed of the machine does
not matter.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from nats.aio.client import Client
from nats.aio.msg import Msg

from centralita.demo.fallbacks import BREAKERS, Breakers, breakers, sources_of
from centralita.embedded.system import System
from chassis.direct_get import stored_message
from contracts import AudioFailed, AudioReady, CallRequested, ConversationEnded, InvalidMessage, ReplyGenerated, decode
from contracts.personal import without_keys
from contracts.streams import CALLS

FIRST_MODEL, SECOND_MODEL = "gpt-4.1-mini", "gpt-4o-mini"
FIRST_SPEECH, SECOND_SPEECH = "eleven_flash_v2_5", "eleven_multilingual_v2"

SETTINGS: Mapping[str, str] = {
    "OPENAI_MODEL": FIRST_MODEL,
    "OPENAI_FALLBACK_MODEL": SECOND_MODEL,
    "ELEVENLABS_MODEL_ID": FIRST_SPEECH,
    "ELEVENLABS_FALLBACK_MODEL_ID": SECOND_SPEECH,
    "BREAKER_FAILURES": "3",
    "BREAKER_COOL_DOWN_SECONDS": "1",
    "MAX_CONCURRENT_CALLS": "8",
}
"""Second models, breakers that open and close quickly, and few concurrent calls, so that every phase has some."""

SCRIPT_LINE = "Fallback: I am sorry, I cannot answer that just now. Could you say it once more, please?"
"""For the English scripts. The Spanish scripts have none, so their calls use the last resort of the language."""

Rule = dict[str, Any]
_POLL_SECONDS = 0.2


def _down(vendor: str, request_body: str = "", probability: float = 1.0) -> Rule:
    return {"target": vendor, "kind": "status", "status": 503, "request_body": request_body, "probability": probability}


_CREDENTIALS_REFUSED: Rule = {"target": "twilio", "kind": "status", "status": 401}
_FIRST_MODEL_DOWN, _FIRST_SPEECH_DOWN = _down("openai", f'"{FIRST_MODEL}"'), _down("elevenlabs", f'"{FIRST_SPEECH}"')


@dataclass(frozen=True, slots=True)
class Phase:
    """Which requests fail, and what must happen before the next phase: sources used, breakers opened and closed."""

    title: str
    rules: tuple[Rule, ...] = ()
    sources: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()

    def missing(self, used: Mapping[str, int], known: Breakers) -> list[str]:
        """Returns what has not happened yet."""
        return [
            *(f"use of {source}" for source in self.sources if not used.get(source)),
            *(f"{name} opened" for name in self.opened if not known[name].opened),
            *(f"{name} closed again" for name in self.closed if not known[name].is_closed_again),
        ]


PHASES = (
    Phase("no vendor fails", sources=("model", "voice")),
    Phase("Twilio refuses our credentials: no call is dialled", (_CREDENTIALS_REFUSED,), opened=("twilio",)),
    Phase("Twilio accepts the credentials again", closed=("twilio",)),
    Phase("OpenAI fails for half of the requests", (_down("openai", probability=0.5),), sources=("retry",)),
    Phase(
        "the first model and the first voice fail",
        (_FIRST_MODEL_DOWN, _FIRST_SPEECH_DOWN),
        sources=("second_model", "second_voice"),
        opened=("openai", "elevenlabs"),
    ),
    Phase(
        "ElevenLabs is down",
        (_FIRST_MODEL_DOWN, _down("elevenlabs")),
        sources=("clip", "say"),
        opened=("elevenlabs_fallback",),
    ),
    Phase(
        "ElevenLabs and OpenAI are down",
        (_down("openai"), _down("elevenlabs")),
        sources=("script_line", "last_resort", "technical_failure"),
        opened=("openai_fallback",),
    ),
    Phase(
        "the second model and the second voice recover",
        (_FIRST_MODEL_DOWN, _FIRST_SPEECH_DOWN),
        closed=("openai_fallback", "elevenlabs_fallback"),
    ),
    Phase("all vendors recover", closed=BREAKERS),
)


def with_script_lines(wanted: Iterable[CallRequested]) -> list[CallRequested]:
    """Returns the requests; the English scripts get a fallback line."""
    return [
        request.model_copy(update={"script_template": f"{request.script_template}\n\n{SCRIPT_LINE}"})
        if request.language == "en"
        else request
        for request in wanted
    ]


@dataclass
class Faults:
    """Runs the phases while calls are made. `phase` is the present one, None after the last."""

    system: System
    client: Client
    phase: Phase | None = PHASES[0]
    missing: list[str] = field(default_factory=list)
    _used: Counter[str] = field(default_factory=Counter)

    async def watch(self) -> None:
        """Starts to record the used sources. Call it before the first call is requested."""
        for event in (AudioReady, AudioFailed, ReplyGenerated, ConversationEnded):
            await self.client.subscribe(CALLS.live(event.subjects()), cb=self._count)

    async def run(self) -> None:
        """Runs every phase. At the end it removes all faults from the simulators."""
        async with httpx.AsyncClient(timeout=10) as http:
            try:
                for self.phase in PHASES:
                    await self._set(http, self.phase.rules)
                    await self._complete(http, self.phase)
                self.phase = None
            finally:
                await self._set(http, ())

    async def _complete(self, http: httpx.AsyncClient, phase: Phase) -> None:
        while True:
            self.missing = phase.missing(self._used, await breakers(http, self.system))
            if not self.missing:
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _set(self, http: httpx.AsyncClient, rules: Iterable[Rule]) -> None:
        response = await http.put(f"{self.system.vendors.control}/_simulator/faults", json=list(rules))
        response.raise_for_status()

    async def _count(self, message: Msg) -> None:
        stored = stored_message(message)
        with suppress(InvalidMessage):
            self._used.update(sources_of(decode(stored.subject, stored.data, without_keys(stored.headers))))
