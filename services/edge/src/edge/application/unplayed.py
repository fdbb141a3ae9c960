"""The unplayed remainder of a turn: the sentences that voice left to the telephone provider's voice (law 9)."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from uuid import UUID

from contracts import AudioFailed, AudioReady, AudioRequested, Call, Event, ReplyGenerated, SpeechFallback
from contracts.phrases import greeting_of
from edge.application.facts import read_facts
from edge.ports import CallLog
from telephony.instructions import GREETING_TURN

MAX_REPLY_SECONDS = 10.0
"""The longest wait for a reply; telephone providers give up a webhook after about 15 s."""
POLL_SECONDS = 0.1


def find_unplayed_sentence(events: Iterable[Event], attempt: int, turn: int) -> int | None:
    """Returns the first sentence of a turn that voice left to the provider's voice, or none.

    The newest event of a sentence counts: a sentence that failed may succeed later.
    """
    attempts = (attempt,) if turn else (0, attempt)  # one greeting serves every attempt
    newest: dict[int, str | None] = {}
    for event in events:
        if not isinstance(event, AudioFailed | AudioReady) or event.turn != turn or event.attempt not in attempts:
            continue
        if isinstance(event, AudioFailed):
            newest[event.sentence] = event.fallback
        else:
            newest |= dict.fromkeys((audio.sentence for audio in event.sentences), None)
    return min((sentence for sentence, fallback in newest.items() if fallback == SpeechFallback.SAY), default=None)


def join_sentences(events: Iterable[Event], attempt: int, turn: int, first_sentence: int) -> str:
    """Returns the text of a turn from a sentence on, as far as the events contain it."""
    texts: dict[int, str] = {}
    for event in events:
        if not isinstance(event, AudioRequested | ReplyGenerated) or (event.attempt, event.turn) != (attempt, turn):
            continue
        if isinstance(event, AudioRequested):
            texts.setdefault(event.sentence, event.text)
        elif event.last_sentence is not None:
            texts[event.sentences - 1] = event.last_sentence
    return " ".join(text for sentence, text in sorted(texts.items()) if sentence >= first_sentence)


async def read_remainder(log: CallLog, call: Call, turn: int, first_sentence: int | None, turn_sequence: int) -> str:
    """Returns the text of a turn from `first_sentence` on; if that is None, from the first unplayed sentence on.

    Empty if all of the turn was played. Waits up to MAX_REPLY_SECONDS for the end of a reply that is being generated.
    `turn_sequence` is that of the turn's `speech.heard`, 0 if it is not known.
    """
    call_id, attempt = call.call_id, call.attempt
    after_sequence = turn_sequence or call.granted_sequence or 0
    if first_sentence is None:
        outcomes = await read_facts(log, call_id, (AudioFailed, AudioReady), after_sequence=after_sequence)
        first_sentence = find_unplayed_sentence((stored.event for stored in outcomes), attempt, turn)
    if first_sentence is None:
        return ""
    if turn == GREETING_TURN:
        return greeting_of(call)
    reply_sequence: int | None = None
    with suppress(TimeoutError):
        async with asyncio.timeout(MAX_REPLY_SECONDS):
            reply_sequence = await _wait_for_reply(log, call_id, attempt, turn)
    requested = await read_facts(
        log, call_id, (AudioRequested, ReplyGenerated), after_sequence=after_sequence, known_sequence=reply_sequence
    )
    return join_sentences((stored.event for stored in requested), attempt, turn, first_sentence)


async def _wait_for_reply(log: CallLog, call_id: UUID, attempt: int, turn: int) -> int:
    """Returns the sequence of a `reply.generated` once the log contains every sentence of the turn.

    Each step is one direct get of a literal subject: a node that lags only delays the end.
    """
    while True:
        last = await log.last_of_any_node(ReplyGenerated.subject_for(call_id))
        if last and isinstance(last.event, ReplyGenerated) and (last.event.attempt, last.event.turn) >= (attempt, turn):
            return last.sequence
        await asyncio.sleep(POLL_SECONDS)
