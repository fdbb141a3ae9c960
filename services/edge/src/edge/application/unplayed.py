"""What of a turn nobody could hear: from some sentence on, voice has given it up (law 9: open on quality)."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from uuid import UUID

from contracts import AudioFailed, AudioReady, AudioRequested, Call, Event, ReplyGenerated, SpeechFallback
from contracts.script import greeting, render
from edge.ports import Facts

MAX_REPLY_SECONDS = 10.0
"""The longest wait for a reply; telephone providers give up a webhook after about 15 s."""
PAUSE_SECONDS = 0.1


def unspoken(events: Iterable[Event], attempt: int, turn: int) -> int | None:
    """The sentence from which on a turn was given up; none if it was not. What is newest of a sentence counts."""
    attempts = (attempt,) if turn else (0, attempt)  # the greeting serves every attempt
    newest: dict[int, str | None] = {}
    for event in events:
        if isinstance(event, AudioFailed | AudioReady) and event.turn == turn and event.attempt in attempts:
            newest[event.sentence] = event.fallback if isinstance(event, AudioFailed) else None
    return min((sentence for sentence, fallback in newest.items() if fallback == SpeechFallback.SAY), default=None)


def words(events: Iterable[Event], attempt: int, turn: int, sentence: int) -> str:
    """A turn's words from a sentence on, as far as they are known."""
    known: dict[int, str] = {}
    for event in events:
        if isinstance(event, AudioRequested) and (event.attempt, event.turn) == (attempt, turn):
            known.setdefault(event.sentence, event.text)
    return " ".join(text for number, text in sorted(known.items()) if number >= sentence)


async def given_up(facts: Facts, call_id: UUID, attempt: int, turn: int) -> int | None:
    """As `unspoken`, from the log."""
    outcomes = await facts.read((f"{AudioFailed.event_name}.{call_id}", f"{AudioReady.event_name}.{call_id}"))
    return unspoken((recorded.event for recorded in outcomes), attempt, turn)


async def words_from(facts: Facts, call: Call, attempt: int, turn: int, sentence: int) -> str | None:
    """A turn's words from a sentence on, waited for while they are being made; none if there are none."""
    if turn == 0:
        return greeting(render(call.script_template, call.variables))
    with suppress(TimeoutError):
        async with asyncio.timeout(MAX_REPLY_SECONDS):
            await _answered(facts, call.call_id, attempt, turn)
    asked = await facts.read((f"{AudioRequested.event_name}.{call.call_id}",))
    return words((recorded.event for recorded in asked), attempt, turn, sentence) or None


async def _answered(facts: Facts, call_id: UUID, attempt: int, turn: int) -> None:
    """Returns once the turn has all its sentences."""
    while True:
        last = await facts.last(f"{ReplyGenerated.event_name}.{call_id}")
        reply = last.event if last else None
        if isinstance(reply, ReplyGenerated) and (reply.attempt, reply.turn) >= (attempt, turn):
            return
        await asyncio.sleep(PAUSE_SECONDS)
