"""What the provider's webhooks lead to: a fact in the log, then what the line does next.

Every webhook may come twice or at the same time at two replicas. A fact's id is made of what the provider calls it, so
the server stores a repetition once; what was heard is appended by compare-and-set besides, so a turn is taken once.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

import uuid_utils

from chassis.event_log import Conflict, Guard, StoredEvent
from contracts import (
    AudioFailed,
    Call,
    CallStatus,
    ConversationEnded,
    SpeechHeard,
)
from edge.application.calls import call_in, last_decision
from edge.application.errors import NotInProgress, UnknownCall
from edge.application.unplayed import given_up, words_from
from edge.ports import Facts, Speech, Unavailable
from telephony.instructions import GREETING_TURN, HangUp, Instruction, PlayTurn, SpeakText
from telephony.provider import Report, Utterance

TRIES = 4
"""How often a turn is tried for before giving up; two writers at once need two."""


@dataclass(frozen=True, slots=True)
class Heard:
    """An utterance, the turn for which it was requested, and whether `SpeakText` preceded it."""

    call_id: UUID
    attempt: int
    turn: int
    said: bool
    utterance: Utterance


class Line:
    """The line of a call. Everything raises UnknownCall, and Unavailable when nothing could be stored."""

    def __init__(self, facts: Facts, speech: Speech) -> None:
        self._facts = facts
        self._speech = speech

    async def traceparent(self, call_id: UUID) -> str | None:
        """Where the call's last event stands in its trace; none if that cannot be said."""
        with suppress(UnknownCall, Unavailable):
            return (await last_decision(self._facts, call_id)).envelope.traceparent
        return None

    async def report(self, report: Report) -> Call:
        """Appends the event of a report. Returns the call as it was before the event."""
        newest = await last_decision(self._facts, report.event.call_id)
        await self._facts.append(report.event, cause=newest.envelope, event_id=report.event_id)
        return call_in(newest)

    async def answered(self, report: Report) -> Instruction:
        """Appends that the callee has answered. Returns the instruction that plays the greeting.

        A greeting that could not be spoken before the phone rang is said in the provider's voice at once.
        """
        call, failed = await asyncio.gather(
            self.report(report), self._facts.last(f"{AudioFailed.event_name}.{report.event.call_id}")
        )
        attempt = report.event.attempt
        if not call.may_use_line(attempt):
            return HangUp()
        text = await self._unspoken(call, attempt, GREETING_TURN, failed)
        return _prompt(call, attempt, GREETING_TURN, text)

    async def say(self, call_id: UUID, attempt: int, turn: int, sentence: int) -> Instruction:
        """A turn that voice has given up from a sentence on, in the provider's voice; none: the line is to be closed.

        If something was heard meanwhile, the line goes on with the reply to that.
        """
        newest, last = await asyncio.gather(
            last_decision(self._facts, call_id), self._facts.last(f"{SpeechHeard.event_name}.{call_id}")
        )
        call = call_in(newest)
        if not call.may_use_line(attempt):
            return HangUp()
        if (newer := _turn(last, attempt)) > turn:
            return _prompt(call, attempt, newer)
        text = await words_from(self._facts, call, attempt, turn, sentence)
        return _prompt(call, attempt, turn, text)

    async def heard(self, call_id: UUID, attempt: int, turn: int, utterance: Utterance, *, said: bool) -> Instruction:
        """Appends what was heard; where its reply will be, or none if the line is to be closed.

        Nothing is appended when the conversation is over, nor for a silence that followed what nobody could hear of a
        reply: then that is said, in the provider's voice. A repetition is answered as it was at first.
        """
        heard = Heard(call_id, attempt, turn, said, utterance)
        for _ in range(TRIES):
            newest, last, ended, failed = await asyncio.gather(
                last_decision(self._facts, heard.call_id),
                self._facts.last(f"{SpeechHeard.event_name}.{heard.call_id}"),
                self._facts.last(f"{ConversationEnded.event_name}.{heard.call_id}"),
                self._facts.last(f"{AudioFailed.event_name}.{heard.call_id}"),
            )
            call = call_in(newest)
            if not call.may_use_line(heard.attempt):
                return HangUp()
            taken = await self._taken(heard, last)
            is_silence = taken is None and not utterance.text and not heard.said
            if is_silence and (text := await self._unspoken(call, heard.attempt, heard.turn - 1, failed)):
                return _prompt(call, heard.attempt, heard.turn - 1, text)
            if taken is None and _has_ended(ended, heard.attempt):
                return HangUp()
            with suppress(Conflict):
                return _prompt(call, heard.attempt, taken or await self._take(heard, newest, last))
        raise Unavailable("the turn is contended")

    @asynccontextmanager
    async def talk(self, call_id: UUID, text: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Says `text` in the callee's place, and gives the reply's ``audio/mpeg`` as it is made.

        Raises NotInProgress and SpeechUnavailable.
        """
        attempt, turn = await self._say(call_id, text)
        async with self._speech.of_turn(call_id, attempt, turn) as audio:
            yield audio

    async def _say(self, call_id: UUID, text: str) -> tuple[int, int]:
        event_id = str(uuid_utils.uuid7())
        for _ in range(TRIES):
            newest, last, ended = await asyncio.gather(
                last_decision(self._facts, call_id),
                self._facts.last(f"{SpeechHeard.event_name}.{call_id}"),
                self._facts.last(f"{ConversationEnded.event_name}.{call_id}"),
            )
            call = call_in(newest)
            if call.status != CallStatus.IN_PROGRESS or call.hangup_reason or _has_ended(ended, call.attempt):
                raise NotInProgress(f"the call is {call.status}; it can only be talked to while it is in_progress")
            heard = Heard(call_id, call.attempt, 1, False, Utterance(text, None, event_id))
            with suppress(Conflict):
                return call.attempt, await self._take(heard, newest, last)
        raise Unavailable("the turn is contended")

    async def _taken(self, heard: Heard, last: StoredEvent | None) -> int | None:
        """The turn that this very report has taken before, if it has."""
        if _turn(last, heard.attempt) < heard.turn:
            return None
        for recorded in await self._facts.read((f"{SpeechHeard.event_name}.{heard.call_id}",)):
            if recorded.envelope.id == heard.utterance.event_id:
                return _turn(recorded, heard.attempt)
        return None

    async def _take(self, heard: Heard, newest: StoredEvent, last: StoredEvent | None) -> int:
        """Appends at the turn asked for, or at the next free one if another writer has taken it. Raises Conflict."""
        turn = max(heard.turn, _turn(last, heard.attempt) + 1)
        fact = SpeechHeard(
            call_id=heard.call_id,
            attempt=heard.attempt,
            turn=turn,
            text=heard.utterance.text,
            confidence=heard.utterance.confidence,
            language=call_in(newest).language,
        )
        guard = Guard(fact.subject, last.sequence if last else 0)
        await self._facts.append(fact, cause=newest.envelope, event_id=heard.utterance.event_id, guard=guard)
        return turn

    async def _unspoken(self, call: Call, attempt: int, turn: int, failed: StoredEvent | None) -> str | None:
        """What nobody could hear of a turn; the log is read for it only if something failed in this call."""
        if failed is None:
            return None
        sentence = await given_up(self._facts, call.call_id, attempt, turn)
        return None if sentence is None else await words_from(self._facts, call, attempt, turn, sentence)


def _prompt(call: Call, attempt: int, turn: int, text: str | None = None) -> Instruction:
    if text:
        return SpeakText(call.call_id, attempt, turn, call.language, text)
    return PlayTurn(call.call_id, attempt, turn, call.language)


def _turn(recorded: StoredEvent | None, attempt: int) -> int:
    """The turn that was heard; 0, the greeting's, if nothing was in this attempt."""
    event = recorded.event if recorded else None
    return event.turn if isinstance(event, SpeechHeard) and event.attempt == attempt else 0


def _has_ended(ended: StoredEvent | None, attempt: int) -> bool:
    return ended is not None and isinstance(ended.event, ConversationEnded) and ended.event.attempt == attempt
