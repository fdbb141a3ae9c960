"""Applies `edge.domain.dialogue` to the log: reads a call's state, appends what was reported, claims turns.

A webhook may arrive twice, or at two replicas at once. Its event id follows from the provider's ids, so the log stores
the event once. The guard of `speech.heard` makes an utterance claim one turn only.

What a webhook reads: the call, from the leader, and the events of the turn, as one page. The page begins at the
sequence in the URL, or at the attempt's grant if the URL has none. In a page from the URL, the first event must be the
`speech.heard` that the URL means. If it is not, or if an append conflicts, the events of the call are read from the
leader. So a node that lags, an old URL or a wrong sequence costs further reads and does no harm. A report of the
network is appended without a read.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from uuid import UUID

import uuid_utils

from chassis.event_log import Conflict, Guard, StoredEvent
from contracts import (
    AudioFailed,
    Call,
    CallEvent,
    ConversationEnded,
    ConversationMode,
    MediaDegraded,
    OptOutKeyPressed,
    PersonRecognized,
    SpeechHeard,
)
from contracts.filters import call_state_filter
from contracts.phrases import opted_out_phrase
from contracts.vocabulary import CallStatus
from edge.application.calls import call_in, last_decision
from edge.application.digits import DIGIT_FACTS, press_keys
from edge.application.errors import NotInProgress
from edge.application.facts import read_facts
from edge.application.loaded_dialogue import Loaded, is_heard, load_dialogue
from edge.application.streams import STREAM_FACTS, report_degradation, report_loss, streams_of
from edge.application.transfer_events import TRANSFER_FACTS, end_transfer, kinds_of, start_transfer
from edge.application.unplayed import read_remainder
from edge.domain.decisions import (
    ClaimTurn,
    Degrade,
    EndTransfer,
    LateOptOut,
    LineDecision,
    OptOut,
    ReadRemainder,
    RefuseText,
    ReportLoss,
    SendDigits,
    StartTransfer,
)
from edge.domain.dialogue import decide, play
from edge.domain.dialogue_state import Dialogue
from edge.domain.occurrences import (
    Answered,
    MessageAwaited,
    Occurrence,
    RemainderReported,
    StreamEnded,
    TextReceived,
    TransferReported,
    UtteranceReceived,
)
from edge.ports import CallLog, Speech, Unavailable
from telephony.instructions import (
    HangUp,
    Instruction,
    PlayMessage,
    PlayTurn,
    SpeakGoodbye,
    SpeakMessage,
    Utterance,
)
from telephony.provider import Report

MAX_CLAIMS = 5
"""How often an utterance tries to claim a turn; two simultaneous writers need two.

The report of a loss or of a transfer is one try. So is the claim after a transfer, which is then decided again.
"""


_FACTS: tuple[type[CallEvent], ...] = (SpeechHeard, ConversationEnded, AudioFailed)
_FACTS_AFTER_REPLY: tuple[type[CallEvent], ...] = (*_FACTS, *DIGIT_FACTS)
"""Read once the reply was played: its keys may have to be pressed."""


class DialogueService:
    """Turn-taking on the lines of calls. Methods raise UnknownCall, and Unavailable if the log cannot be used."""

    def __init__(
        self, log: CallLog, speech: Speech, *, has_streams: bool = False, max_transfer_seconds: int = 3_600
    ) -> None:
        """`has_streams`: whether the installation has an address for media streams.

        `max_transfer_seconds`: how long a callee may talk with a person.
        """
        self._log = log
        self._speech = speech
        self._has_streams = has_streams
        self._max_transfer_seconds = max_transfer_seconds

    async def read_traceparent(self, call_id: UUID) -> str | None:
        """Returns the trace context of the call's newest state, or none if it cannot be read."""
        with suppress(Unavailable):
            newest = await self._log.last_of_any_node(call_state_filter(call_id))
            return newest.envelope.traceparent if newest else None
        return None

    async def record(self, report: Report) -> None:
        """Appends the event of a report. Its cause is outside the log."""
        await self._log.append(report.event, cause=None, event_id=report.event_id)

    async def answer(self, report: Report) -> Instruction:
        """Appends that the callee has answered. Returns the instruction that plays or speaks the greeting."""
        call_id, answered = report.event.call_id, Answered(report.event.attempt)
        _, instruction = await asyncio.gather(self.record(report), self.respond(call_id, answered))
        return instruction

    async def leave_message(self, report: Report, awaited: MessageAwaited) -> Instruction:
        """Returns the instruction that plays the message to a machine, or closes the line after it.

        Appends the report if the message begins or has ended.
        """
        instruction = await self.respond(report.event.call_id, awaited)
        is_reported = isinstance(instruction, HangUp if awaited.is_finished else PlayMessage | SpeakMessage)
        if is_reported:
            await self.record(report)
        return instruction

    async def respond(self, call_id: UUID, occurrence: Occurrence) -> Instruction:
        """Returns the next instruction. Claims a turn for an utterance first, unless the log contains the utterance."""
        for claims in range(MAX_CLAIMS):
            loaded = await self._load(call_id, occurrence, is_exact=claims > 0)
            match await self._decide(loaded, occurrence):
                case ClaimTurn() as claim:
                    with suppress(Conflict):
                        instruction = await self._claim(loaded, claim)
                        if not isinstance(occurrence, TransferReported):
                            return instruction
                case OptOut() as opt_out:
                    return await self._opt_out(loaded, opt_out)
                case LateOptOut() as opt_out:
                    return await self._late_opt_out(loaded, opt_out)
                case SendDigits() as keys:
                    return await press_keys(self._log, loaded.newest, keys)
                case StartTransfer() as start:
                    return await start_transfer(self._log, loaded.newest, start, self._max_transfer_seconds)
                case EndTransfer() as ending:
                    await end_transfer(self._log, loaded.newest, ending)
                case ReportLoss() as loss:
                    await report_loss(self._log, loaded.newest, loss)
                case Degrade(reason, instruction):
                    await report_degradation(self._log, loaded.newest, reason)
                    return instruction
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
        async with self._speech.stream_turn(instruction) as audio:
            yield audio

    async def _decide(
        self, loaded: Loaded, occurrence: Occurrence
    ) -> Instruction | ClaimTurn | OptOut | LateOptOut | LineDecision | ReportLoss | Degrade | RefuseText:
        dialogue = loaded.dialogue
        while isinstance(decision := decide(dialogue, occurrence), ReadRemainder):
            call, sequence = call_in(loaded.newest), dialogue.sequence_of(decision.turn)
            remainder = await read_remainder(self._log, call, decision.turn, decision.sentence, sequence)
            dialogue = replace(dialogue, remainder=remainder)
        return decision

    async def _claim(self, loaded: Loaded, claim: ClaimTurn) -> Instruction:
        """Appends the utterance at its turn. Raises Conflict if another one was appended since the state was read."""
        dialogue, utterance = loaded.dialogue, claim.utterance
        call = call_in(loaded.newest)
        event = _heard(dialogue, dialogue.attempt, claim.turn, utterance, call.granted_sequence)
        guard = Guard(event.subject, loaded.last_heard_sequence)
        cause, event_id = loaded.newest.envelope, utterance.event_id
        stored = await self._log.append(event, cause=cause, event_id=event_id, guard=guard)
        # Another replica may have stored this utterance first, at another turn.
        turn = stored.event.turn if isinstance(stored.event, SpeechHeard) else claim.turn
        if claim.is_of_person:
            person = PersonRecognized(call_id=dialogue.call_id, attempt=dialogue.attempt, turn=turn)
            await self._log.append(person, cause=cause, event_id=f"{event_id}/person")
        return play(replace(dialogue, claimed_turn=turn, claimed_turn_sequence=stored.sequence), turn)

    async def _opt_out(self, loaded: Loaded, opt_out: OptOut) -> Instruction:
        """Appends that the callee wants no more calls. A repeated webhook appends nothing."""
        dialogue = loaded.dialogue
        pressed = OptOutKeyPressed(call_id=dialogue.call_id, attempt=opt_out.attempt, key=opt_out.key)
        await self._log.append(pressed, cause=loaded.newest.envelope, event_id=f"{opt_out.event_id}/key")
        return SpeakGoodbye(dialogue.language, opted_out_phrase(dialogue.language))

    async def _late_opt_out(self, loaded: Loaded, opt_out: LateOptOut) -> Instruction:
        """Appends the words, without a guard: they claim no turn. A repeated webhook appends nothing."""
        dialogue, utterance = loaded.dialogue, opt_out.utterance
        event = _heard(dialogue, opt_out.attempt, opt_out.turn, utterance)
        await self._log.append(event, cause=loaded.newest.envelope, event_id=utterance.event_id)
        return SpeakGoodbye(dialogue.language, opted_out_phrase(dialogue.language))

    async def _load(self, call_id: UUID, occurrence: Occurrence, *, is_exact: bool) -> Loaded:
        """Reads the dialogue; with `is_exact`, all of it from the leader."""
        if isinstance(occurrence, Answered):
            newest, failed = await asyncio.gather(
                last_decision(self._log, call_id),
                self._log.last_of_any_node(AudioFailed.subject_for(call_id)),  # it failed before the callee answered
            )
            facts = [failed] if failed else []
            if call_in(newest).mode is not ConversationMode.TURN_BASED:
                degraded = await self._log.last(MediaDegraded.subject_for(call_id))
                facts = [*facts, *([degraded] if degraded else [])]
            return self._loaded(newest, facts, occurrence)
        if isinstance(occurrence, StreamEnded | TransferReported):
            newest = await last_decision(self._log, call_id)
            kinds = kinds_of(call_in(newest), STREAM_FACTS)
            facts = await read_facts(self._log, call_id, kinds, after_sequence=0)
            return self._loaded(newest, facts, occurrence)
        if isinstance(occurrence, MessageAwaited):
            newest, heard, failed = await asyncio.gather(
                last_decision(self._log, call_id),
                self._log.last(SpeechHeard.subject_for(call_id)),
                self._log.last(AudioFailed.subject_for(call_id)),
            )
            return self._loaded(newest, [fact for fact in (heard, failed) if fact], occurrence)
        newest = await last_decision(self._log, call_id)
        return self._loaded(newest, await self._read_facts(call_in(newest), occurrence, is_exact=is_exact), occurrence)

    def _loaded(self, newest: StoredEvent, facts: Sequence[StoredEvent], occurrence: Occurrence) -> Loaded:
        loaded = load_dialogue(newest, facts, occurrence)
        streams = streams_of(facts, loaded.dialogue.attempt, is_configured=self._has_streams)
        return replace(loaded, dialogue=replace(loaded.dialogue, streams=streams))

    async def _read_facts(
        self, call: Call, occurrence: UtteranceReceived | RemainderReported | TextReceived, *, is_exact: bool
    ) -> list[StoredEvent]:
        """Returns the events on the line, at least those of the turn to which the occurrence belongs."""
        if not call.may_use_line(call.attempt):
            return []
        kinds = _FACTS_AFTER_REPLY if _is_after_reply(occurrence) else _FACTS
        of_page = (*kinds, *TRANSFER_FACTS)
        if not is_exact and not isinstance(occurrence, TextReceived) and occurrence.attempt == call.attempt:
            sequence, grant_sequence = occurrence.after_sequence, call.granted_sequence or 0
            if not sequence:
                return await read_facts(self._log, call.call_id, of_page, after_sequence=grant_sequence)
            if sequence > grant_sequence:  # so the page is never longer than the attempt
                facts = await read_facts(self._log, call.call_id, of_page, after_sequence=sequence - 1)
                if facts and is_heard(facts[0], sequence, call.attempt, occurrence.known_turn):
                    return facts
        return await read_facts(self._log, call.call_id, kinds_of(call, kinds), after_sequence=0)


def _is_after_reply(occurrence: UtteranceReceived | RemainderReported | TextReceived) -> bool:
    return isinstance(occurrence, RemainderReported) or not occurrence.utterance.text


def _heard(
    dialogue: Dialogue, attempt: int, turn: int, utterance: Utterance, granted_sequence: int | None = None
) -> SpeechHeard:
    return SpeechHeard(
        call_id=dialogue.call_id,
        attempt=attempt,
        turn=turn,
        text=utterance.text,
        confidence=utterance.confidence,
        language=dialogue.language,
        granted_sequence=granted_sequence,
    )
