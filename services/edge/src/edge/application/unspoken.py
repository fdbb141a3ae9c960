"""A reply that nobody could hear: speech synthesis failed for all of it (law 9: open on quality)."""

import asyncio
from uuid import UUID

from contracts import AudioFailed, AudioReady, Call, Event, ReplyGenerated
from contracts.script import greeting, render
from edge.ports import Facts


async def speech_of(facts: Facts, call_id: UUID) -> list[Event]:
    """What the log says of sentences spoken and not spoken, and the last reply."""
    failed, ready, reply = await asyncio.gather(
        facts.read((f"{AudioFailed.fact}.{call_id}",)),
        facts.read((f"{AudioReady.fact}.{call_id}",)),
        facts.last(f"{ReplyGenerated.fact}.{call_id}"),
    )
    return [recorded.event for recorded in (*failed, *ready, *([reply] if reply else []))]


def unspoken(events: list[Event], call: Call, attempt: int, turn: int) -> str | None:
    """The text of a turn's reply if every sentence of it failed and nothing was heard in its place."""
    attempts = (attempt,) if turn else (0, attempt)  # the greeting serves every attempt
    failed: set[int] = set()
    heard: set[int] = set()
    reply: ReplyGenerated | None = None
    for event in events:
        match event:
            case AudioFailed() | AudioReady() if event.turn == turn and event.attempt in attempts:
                lost = isinstance(event, AudioFailed) and event.fallback is None
                (failed if lost else heard).add(event.sentence)
            case ReplyGenerated() if (event.attempt, event.turn) == (attempt, turn):
                reply = event
    if heard or not failed:
        return None
    if turn == 0:
        return greeting(render(call.script_template, call.variables))
    return reply.text if reply and len(failed) >= reply.sentences else None
