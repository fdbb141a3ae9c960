"""Applies `edge.domain.dialogue` to the log: reads a call's state, appends what was reported, claims turns.

A webhook may arrive twice, or at two replicas at once. Its event id follows from the provider's ids, so the log stores
the event once. The guard of `speech.heard` makes an utterance claim one turn only.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from uuid import UUID

import uuid_utils

from chassis.event_log import Conflict, Guard, StoredEvent
from contracts import AudioFailed, Call, ConversationEnded, SpeechHeard
from contracts.vocabulary import CallStatus
from edge.application.calls import call_in, last_decision
from edge.application.errors import NotInProgress, UnknownCall
from edge.application.unplayed import read_remainder
from edge.domain.dialogue import (
    Answered,
    ClaimTurn,
    Dialogue,
    Occurrence,
    ReadRemainder,
    RefuseText,
    TextReceived,
    UtteranceReceived,
    decide,
    play,
)
from edge.ports import CallLog, Speech, Unavailable
from telephony.instructions import GREETING_TURN, Instruction, PlayTurn, Utterance
from telephony.provider import Report

MAX_CLAIMS = 4
"""How often an utterance tries to claim a turn; two simultaneous writers need two."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A dialogue, and the events that it was read from."""

    dialogue: Dialogue
    newest: StoredEvent
    last_heard: StoredEvent | None


class DialogueService:
    """Turn-taking on the lines of calls. Methods raise UnknownCall, and Unavailable if the log cannot be used."""

    def __init__(self, log: CallLog, speech: Speech) -> None:
        self._log = log
        self._speech = speech

    async def read_traceparent(self, call_id: UUID) -> str | None:
        """Returns the trace context of the call's newest state, or none if it cannot be read."""
        with suppress(UnknownCall, Unavailable):
            return (await last_decision(self._log, call_id)).envelope.traceparent
        return None

    async def record(self, report: Report) -> None:
        """Appends the event of a report."""
        newest = await last_decision(self._log, report.event.call_id)
        await self._log.append(report.event, cause=newest.envelope, event_id=report.event_id)

    async def answer(self, report: Report) -> Instruction:
        """Appends that the callee has answered. Returns the instruction that plays or speaks the greeting."""
        call_id, answered = report.event.call_id, Answered(report.event.attempt)
        _, instruction = await asyncio.gather(self.record(report), self.respond(call_id, answered))
        return instruction

    async def respond(self, call_id: UUID, occurrence: Occurrence) -> Instruction:
        """Returns the next instruction. Claims a turn for an utterance first, unless the log contains the utterance."""
        for _ in range(MAX_CLAIMS):
            loaded = await self._load(call_id, occurrence)
            match await self._decide(loaded, occurrence):
                case ClaimTurn() as claim:
                    with suppress(Conflict):
                        return await self._claim(loaded, claim)
                case RefuseText():
                    status = loaded.dialogue.status
                    state = "ending" if status is CallStatus.IN_PROGRESS else status.value
                    raise NotInProgress(f"text is accepted during a conversation only, and this call is {state}")
                case instruction:
                    return instruction
        raise Unavailable("other writers keep claiming the turn")

    @asynccontextmanager
    async def send_text(self, call_id: UUID, text: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Claims a turn for a text in place of an utterance. Yields the reply's ``audio/mpeg`` during its synthesis.

        Raises NotInProgress and SpeechUnavailable.
        """
        utterance = Utterance(text, None, str(uuid_utils.uuid7()))
        instruction = await self.respond(call_id, TextReceived(utterance))
        assert isinstance(instruction, PlayTurn)  # noqa: S101  a text is refused, or claims a turn
        async with self._speech.stream_turn(call_id, instruction.attempt, instruction.turn) as audio:
            yield audio

    async def _decide(self, loaded: _Loaded, occurrence: Occurrence) -> Instruction | ClaimTurn | RefuseText:
        dialogue = loaded.dialogue
        while isinstance(decision := decide(dialogue, occurrence), ReadRemainder):
            call = call_in(loaded.newest)
            remainder = await read_remainder(self._log, call, dialogue.attempt, decision.turn, decision.sentence)
            dialogue = replace(dialogue, remainder=remainder)
        return decision

    async def _claim(self, loaded: _Loaded, claim: ClaimTurn) -> Instruction:
        """Appends the utterance at its turn. Raises Conflict if another one was appended since the state was read."""
        dialogue, utterance = loaded.dialogue, claim.utterance
        event = SpeechHeard(
            call_id=dialogue.call_id,
            attempt=dialogue.attempt,
            turn=claim.turn,
            text=utterance.text,
            confidence=utterance.confidence,
            language=dialogue.language,
        )
        guard = Guard(event.subject, loaded.last_heard.sequence if loaded.last_heard else 0)
        cause, event_id = loaded.newest.envelope, utterance.event_id
        stored = await self._log.append(event, cause=cause, event_id=event_id, guard=guard)
        # Another replica may have stored this utterance first, at another turn.
        return play(dialogue, _turn_of(stored, call_in(loaded.newest)))

    async def _load(self, call_id: UUID, occurrence: Occurrence) -> _Loaded:
        newest, last_heard, ended, failed = await asyncio.gather(
            last_decision(self._log, call_id),
            self._log.last(SpeechHeard.subject_for(call_id)),
            self._log.last(ConversationEnded.subject_for(call_id)),
            self._log.last(AudioFailed.subject_for(call_id)),
        )
        call = call_in(newest)
        last_turn = _turn_of(last_heard, call)
        dialogue = Dialogue(
            call_id=call_id,
            language=call.language,
            attempt=call.attempt,
            status=call.status,
            is_line_open=call.may_use_line(call.attempt),
            last_turn=last_turn,
            claimed_turn=await self._claimed_turn(call, last_turn, occurrence),
            has_ended=_has_ended(ended, call),
            has_failed_audio=failed is not None,
        )
        return _Loaded(dialogue, newest, last_heard)

    async def _claimed_turn(self, call: Call, last_turn: int, occurrence: Occurrence) -> int | None:
        """Returns the turn that this utterance claimed earlier. Reads further events only if its turn is claimed."""
        if not isinstance(occurrence, UtteranceReceived) or last_turn < occurrence.turn:
            return None
        for stored in await self._log.read((SpeechHeard.subject_for(call.call_id),)):
            if stored.envelope.id == occurrence.utterance.event_id:
                return _turn_of(stored, call)
        return None


def _turn_of(stored: StoredEvent | None, call: Call) -> int:
    """Returns the turn of a `speech.heard`, or the greeting's if it belongs to an earlier attempt."""
    event = stored.event if stored else None
    return event.turn if isinstance(event, SpeechHeard) and event.attempt == call.attempt else GREETING_TURN


def _has_ended(ended: StoredEvent | None, call: Call) -> bool:
    return ended is not None and isinstance(ended.event, ConversationEnded) and ended.event.attempt == call.attempt
