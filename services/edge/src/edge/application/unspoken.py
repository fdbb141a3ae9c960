"""A reply that nobody could hear: speech synthesis failed for all of it (law 9: open on quality)."""

import asyncio
from contextlib import suppress
from uuid import UUID

from contracts import AudioFailed, AudioReady, Call, Event, ReplyGenerated, SpeechStep
from contracts.script import greeting, render
from edge.ports import Facts

LONGEST_REPLY_SECONDS = 10.0
"""Twilio waits 15 s for a document."""
PAUSE_SECONDS = 0.1


async def speech_of(facts: Facts, call_id: UUID) -> list[Event]:
    """What the log says of sentences spoken and not spoken, and the last reply."""
    failed, ready, reply = await asyncio.gather(
        facts.read((f"{AudioFailed.fact}.{call_id}",)),
        facts.read((f"{AudioReady.fact}.{call_id}",)),
        facts.last(f"{ReplyGenerated.fact}.{call_id}"),
    )
    return [recorded.event for recorded in (*failed, *ready, *([reply] if reply else []))]


async def reply_of(facts: Facts, call: Call, attempt: int, turn: int) -> str | None:
    """The text of a turn's reply, waited for while it is being made; none if it does not come."""
    if turn == 0:
        return greeting(render(call.script_template, call.variables))
    with suppress(TimeoutError):
        async with asyncio.timeout(LONGEST_REPLY_SECONDS):
            while True:
                last = await facts.last(f"{ReplyGenerated.fact}.{call.call_id}")
                reply = last.event if last else None
                if isinstance(reply, ReplyGenerated) and (reply.attempt, reply.turn) == (attempt, turn):
                    return reply.text
                await asyncio.sleep(PAUSE_SECONDS)
    return None


def unspoken(events: list[Event], call: Call, attempt: int, turn: int) -> str | None:
    """The text of a turn's reply if nobody could hear it: voice has given it up, or every sentence failed."""
    attempts = (attempt,) if turn else (0, attempt)  # the greeting serves every attempt
    failed: set[int] = set()
    heard: set[int] = set()
    given_up = False
    reply: ReplyGenerated | None = None
    for event in events:
        match event:
            case AudioFailed() | AudioReady() if event.turn == turn and event.attempt in attempts:
                say = isinstance(event, AudioFailed) and event.fallback == SpeechStep.SAY.value
                given_up = given_up or say
                lost = say or (isinstance(event, AudioFailed) and event.fallback is None)
                (failed if lost else heard).add(event.sentence)
            case ReplyGenerated() if (event.attempt, event.turn) == (attempt, turn):
                reply = event
    if not failed or (0 in heard if given_up else heard):
        return None
    if turn == 0:
        return greeting(render(call.script_template, call.variables))
    return reply.text if reply and (given_up or len(failed) >= reply.sentences) else None
