"""``centralita demo --faults``: the vendors fail in the middle of the campaign, step by step, and are healed again.

Each phase lasts until the log and the services' metrics show what it is for, so nothing here depends on how fast the
machine is.
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

from centralita.demo.fallbacks import BREAKERS, Breakers, breakers, source_of
from centralita.embedded.system import System
from contracts import AudioFailed, AudioReady, CallRequested, ConversationEnded, InvalidMessage, ReplyGenerated, decode

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
"""Second models, breakers that a demo has time for, and few calls at once, so that there are some in every phase."""

SCRIPT_LINE = "Fallback: I am sorry, I cannot answer that just now. Could you say it once more, please?"
"""For the English scripts; the Spanish ones have none, so theirs is the language's last resort."""

Rule = dict[str, Any]
_POLL_SECONDS = 0.2


def _down(vendor: str, asks: str = "", probability: float = 1.0) -> Rule:
    return {"target": vendor, "kind": "status", "status": 503, "request_body": asks, "probability": probability}


_CREDENTIALS_REFUSED: Rule = {"target": "twilio", "kind": "status", "status": 401}
_FIRST_MODEL_DOWN, _FIRST_SPEECH_DOWN = _down("openai", f'"{FIRST_MODEL}"'), _down("elevenlabs", f'"{FIRST_SPEECH}"')


@dataclass(frozen=True, slots=True)
class Phase:
    """Which requests fail, and what must have been seen before the next one: steps, breakers open, breakers closed."""

    title: str
    rules: tuple[Rule, ...] = ()
    steps: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()

    def missing(self, steps: Mapping[str, int], known: Breakers) -> list[str]:
        """What it still waits for."""
        return [
            *(f"step {step}" for step in self.steps if not steps.get(step)),
            *(f"{name} opened" for name in self.opened if not known[name].opened),
            *(f"{name} closed again" for name in self.closed if not known[name].is_closed_again),
        ]


PHASES = (
    Phase("all is well", steps=("model", "voice")),
    Phase("Twilio refuses our credentials: nobody is dialled", (_CREDENTIALS_REFUSED,), opened=("twilio",)),
    Phase("Twilio takes them again", closed=("twilio",)),
    Phase("OpenAI fails now and then", (_down("openai", probability=0.5),), steps=("retry",)),
    Phase(
        "the first model and the first voice fail",
        (_FIRST_MODEL_DOWN, _FIRST_SPEECH_DOWN),
        steps=("second_model", "second_voice"),
        opened=("openai", "elevenlabs"),
    ),
    Phase(
        "ElevenLabs is down",
        (_FIRST_MODEL_DOWN, _down("elevenlabs")),
        steps=("clip", "say"),
        opened=("elevenlabs_fallback",),
    ),
    Phase(
        "ElevenLabs and OpenAI are down",
        (_down("openai"), _down("elevenlabs")),
        steps=("script_line", "last_resort", "technical_failure"),
        opened=("openai_fallback",),
    ),
    Phase(
        "the second model and the second voice are healed",
        (_FIRST_MODEL_DOWN, _FIRST_SPEECH_DOWN),
        closed=("openai_fallback", "elevenlabs_fallback"),
    ),
    Phase("all is healed", closed=BREAKERS),
)


def with_script_lines(wanted: Iterable[CallRequested]) -> list[CallRequested]:
    """The requests, the English ones with a line for when no model answers."""
    return [
        request.model_copy(update={"script_template": f"{request.script_template}\n\n{SCRIPT_LINE}"})
        if request.language == "en"
        else request
        for request in wanted
    ]


@dataclass
class Faults:
    """Goes through the phases while calls are made. `phase`: the present one; none once all are through."""

    system: System
    client: Client
    phase: Phase | None = PHASES[0]
    missing: list[str] = field(default_factory=list)
    _seen: Counter[str] = field(default_factory=Counter)

    async def watch(self) -> None:
        """From now on the steps that are taken are seen; to be called before the first call is asked for."""
        for event in (AudioReady, AudioFailed, ReplyGenerated, ConversationEnded):
            await self.client.subscribe(event.subjects(), cb=self._see)

    async def run(self) -> None:
        """Until the last phase has shown what it is for. The simulators are left in order."""
        async with httpx.AsyncClient(timeout=10) as http:
            try:
                for self.phase in PHASES:
                    await self._set(http, self.phase.rules)
                    await self._until_shown(http, self.phase)
                self.phase = None
            finally:
                await self._set(http, ())

    async def _until_shown(self, http: httpx.AsyncClient, phase: Phase) -> None:
        while True:
            self.missing = phase.missing(self._seen, await breakers(http, self.system))
            if not self.missing:
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _set(self, http: httpx.AsyncClient, rules: Iterable[Rule]) -> None:
        answer = await http.put(f"{self.system.vendors.control}/_simulator/faults", json=list(rules))
        answer.raise_for_status()

    async def _see(self, message: Msg) -> None:
        with suppress(InvalidMessage):
            if step := source_of(decode(message.subject, message.data)):
                self._seen[step] += 1
