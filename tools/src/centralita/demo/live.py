"""The demo with live conversations: callees who interrupt, cough, dictate, ask, and say that they listen.

Meanwhile a process of voice is killed in the middle of a sentence. At the end, the words in the recordings must be
those in the log, and the log must replay.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from nats.aio.client import Client
from nats.aio.msg import Msg
from rich.console import Console
from rich.table import Table

from centralita.demo import tool_call
from centralita.demo.callees import Callees
from centralita.demo.failure import DemoFailed
from centralita.demo.replay_commands import replay
from centralita.embedded.system import System
from chassis.event_log import EventLog
from contracts import (
    AudioRequested,
    CallRequested,
    ConversationMode,
    DialPlaced,
    Event,
    MediaLost,
    SpeechHeard,
    SpeechInterrupted,
    SpeechPlayed,
)
from contracts.filters import call_facts_filter
from contracts.streams import CALLS

COUNT = 6
TIMEOUT_SECONDS = 240
CALLEES = Callees(ConversationMode.LIVE, speed=1.0)
"""Speech has the speed of speech: voice sends audio by a real clock."""
BEHAVIOURS = ("human", "interrupts", "backchannels", "coughs", "dictates", "human")
ASKING = 0
"""The number of the callee who asks a question that a tool answers (`centralita.demo.tool_call`)."""
DELAY_SECONDS = 1.5
"""From the end of a reply to the callee's answer. It is longer than the pause after a cough, so a reply is resumed."""
VOICES = ("voice", "voice-2")
"""Each is killed until a stream is lost: which of them holds one is not known outside."""
_LOSS_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Recording:
    """The audio of one call: what the callee said, and the seconds of the agent that were heard."""

    words: tuple[str, ...]
    heard_seconds: float
    streams: int

    @classmethod
    def of(cls, document: dict[str, Any]) -> "Recording":
        """Returns the recording that the simulator describes."""
        said = [one["text"] for one in document["utterances"] if one["speaker"] == "callee"]
        streams = document["streams"]
        return cls(words_of(said), sum(one["played_seconds"] for one in streams), len(streams))


def words_of(texts: Sequence[str]) -> tuple[str, ...]:
    """Returns the words without punctuation marks, in lower case."""
    return tuple(word for text in texts for piece in text.lower().split() if (word := piece.strip(".,;:!?¿¡…“”\"'")))


def is_part(words: Sequence[str], of: Sequence[str]) -> bool:
    """Returns whether the words are part of others, in their order."""
    others = iter(of)
    return all(word in others for word in words)


async def assign_callees(system: System, wanted: Sequence[CallRequested]) -> None:
    """Gives each callee its behaviour, in the language of its call."""
    if system.vendors.control is None:
        return
    async with httpx.AsyncClient(base_url=system.vendors.control, timeout=30) as http:
        for number, request in enumerate(wanted):
            settings: dict[str, object] = {"language": request.language, "delay_seconds": DELAY_SECONDS}
            if request.campaign_id == tool_call.CAMPAIGN_ID:
                settings["phrases"] = tool_call.PHRASES
            body = {"behaviour": BEHAVIOURS[number % len(BEHAVIOURS)], "settings": settings}
            answer = await http.put(f"/_simulator/callees/{request.phone_number}", json=body)
            answer.raise_for_status()


async def kill_in_a_sentence(client: Client, system: System) -> None:
    """Kills a process of voice while it speaks a sentence. The process is restarted."""
    has_sentence, has_loss = asyncio.Event(), asyncio.Event()

    async def on_sentence(_: Msg) -> None:
        has_sentence.set()

    async def on_loss(_: Msg) -> None:
        has_loss.set()

    sentences = await client.subscribe(CALLS.live(AudioRequested.subjects()), cb=on_sentence)
    losses = await client.subscribe(CALLS.live(MediaLost.subjects()), cb=on_loss)
    try:
        while not has_loss.is_set():
            for name in VOICES:
                has_sentence.clear()
                await has_sentence.wait()
                system.services[name].kill()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOSS_SECONDS):
                        await has_loss.wait()
                        return
    finally:
        await sentences.unsubscribe()
        await losses.unsubscribe()


async def show_agreement(
    console: Console, system: System, log: EventLog, calls: Sequence[UUID], recordings: Path, settings: dict[str, str]
) -> None:
    """Compares the recordings with the log, shows both, and replays the log. Raises DemoFailed."""
    recorded = {path.stem: Recording.of(json.loads(path.read_text())) for path in recordings.glob("*.json")}
    table = Table(title="Live calls: the recording and the log", title_justify="left")
    for column in ("callee", "streams", "turns", "interrupted", "pauses", "resumed", "words", "in the log"):
        table.add_column(column, justify="left" if column == "callee" else "right")
    problems = []
    for number, call_id in enumerate(calls):
        events = [stored.event for stored in await log.read((call_facts_filter(call_id),))]
        recording = recorded.get(_provider_call_id(events))
        if recording is None:
            problems.append(f"{call_id} has no recording")
            continue
        heard = words_of([event.text for event in events if isinstance(event, SpeechHeard)])
        if not is_part(heard, recording.words):
            problems.append(f"{call_id}: words in the log are not in the recording")
        played = [event for event in events if isinstance(event, SpeechPlayed)]
        table.add_row(
            "asks" if number == ASKING else BEHAVIOURS[number % len(BEHAVIOURS)],
            str(recording.streams),
            str(sum(isinstance(event, SpeechHeard) for event in events)),
            str(sum(isinstance(event, SpeechInterrupted) for event in events)),
            str(sum(event.pauses for event in played)),
            str(sum(event.resumes for event in played)),
            str(len(recording.words)),
            str(len(heard)),
        )
    console.print(table)
    if problems:
        raise DemoFailed("; ".join(problems))
    await replay(system, settings, "verify")
    console.print("The words in the log are those in the recordings, in their order. centralita replay verify: equal")
    console.print(f"{len(recorded)} recordings: {recordings}/*.wav (left: callee, right: agent, as it was heard)")


def _provider_call_id(events: Sequence[Event]) -> str:
    return next((event.provider_call_id for event in reversed(events) if isinstance(event, DialPlaced)), "")
