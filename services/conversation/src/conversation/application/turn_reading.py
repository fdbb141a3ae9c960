"""Reads what a turn is answered from: the call, the facts of its attempt, and the tools of its campaign.

**Reads.** A turn makes two, of any node: the call, and one page of its facts from the grant of the attempt on. The
utterance says where that is, so both are requested at the same time; if the call says something else, the page is read
again. A node that lags changes nothing. The page contains the utterance, so it has all facts before it; a later fact
that is missing makes the guard of an append fail, and the log is read again. Only an utterance that seems to belong to
no live attempt is checked at the leader before it is ignored.

**Read ahead.** In a live conversation, `speech.played` reports that the callee has the word. The same reads are made
then, so that a turn need not wait for them. They are used if nothing has happened since, as far as voice knew when it
appended the utterance (`SpeechHeard.previous_sequence`), and at the first delivery only. Otherwise the turn reads. An
event that voice did not know either was appended in the same moment as the utterance; it may be missing from any page.
Each replica reads ahead after the greeting, later on only the one that has answered the turn before. What was read is
kept for `MAX_AGE_SECONDS`, and not used once the key of its person is destroyed.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

import structlog
from nats.errors import Error as NatsError

from chassis.event_log import EventLog, StoredEvent, UnreadableEvent
from contracts import (
    AgentTools,
    AudioRequested,
    CallDecision,
    CampaignDecision,
    ConversationEnded,
    DigitsSent,
    ReplyGenerated,
    SpeechHeard,
    SpeechInterrupted,
    SpeechPlayed,
    TelephonyStatusReported,
    ToolCalled,
    ToolRequested,
)
from contracts.filters import call_facts_filter, call_state_filter, campaign_state_filter
from conversation.domain.conversation import GREETING_TURN
from conversation.domain.ending import is_end
from conversation.metrics import READ_AHEAD

MAX_AGE_SECONDS = 30.0
MAX_KEPT = 500
"""How many turns are read ahead at a time."""
_MAX_ANSWERED = 5_000
_KINDS = (
    SpeechHeard,
    AudioRequested,
    ReplyGenerated,
    SpeechInterrupted,
    ToolRequested,
    ToolCalled,
    DigitsSent,
    ConversationEnded,
)
"""The facts of which a conversation consists. Others are not decoded."""

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TurnBasis:
    """What a turn is answered from. No `state` and no facts: the attempt may not use its line."""

    state: StoredEvent[CallDecision] | None = None
    facts: tuple[StoredEvent, ...] = ()
    tools: AgentTools | None = None


@dataclass(frozen=True, slots=True)
class _ReadAhead:
    basis: TurnBasis
    until_sequence: int
    """All facts of the call up to this event are among those of `basis`."""
    read_at: float


class TurnReader:
    """Reads turns of any call."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._ahead: OrderedDict[UUID, _ReadAhead] = OrderedDict()
        self._answered: OrderedDict[UUID, tuple[int, int]] = OrderedDict()
        """The last attempt and turn of a call that this replica has answered."""

    def answered(self, call_id: UUID, attempt: int, turn: int) -> None:
        """Takes that this replica has answered a turn."""
        self._answered[call_id] = attempt, turn
        self._answered.move_to_end(call_id)
        if len(self._answered) > _MAX_ANSWERED:
            self._answered.popitem(last=False)

    async def read_ahead(self, played: SpeechPlayed, sequence: int) -> None:
        """Reads the turn that follows, if this replica may be the one that answers it. Never raises.

        `sequence` is that of the event.
        """
        place = played.attempt, played.turn
        if played.turn != GREETING_TURN and self._answered.get(played.call_id) != place:
            return
        try:
            state = await self._load_live(played.call_id, played.attempt, may_ask_leader=False)
            if state is None or (granted_sequence := state.event.call.granted_sequence) is None:
                return
            facts = await self._log.read_after(
                call_facts_filter(played.call_id), granted_sequence, known_sequence=sequence, kinds=_KINDS
            )
            basis = TurnBasis(state, tuple(facts), await self._read_tools(state.event))
        except (NatsError, TimeoutError, UnreadableEvent) as error:  # the turn will read
            logger.info("turn_not_read_ahead", error=type(error).__name__)
            return
        self._ahead[played.call_id] = _ReadAhead(basis, sequence, asyncio.get_running_loop().time())
        self._forget_old()

    async def read(self, heard: StoredEvent[SpeechHeard]) -> TurnBasis:
        """Returns what the turn of an utterance is answered from."""
        if (basis := self._take_ahead(heard)) is not None:
            return basis
        assumed, readings = heard.event.granted_sequence, list[asyncio.Task[list[StoredEvent]]]()
        if assumed is not None and assumed < heard.sequence:
            readings.append(asyncio.create_task(self._read_facts(heard, assumed)))
        try:
            state = await self._load_live(heard.event.call_id, heard.event.attempt)
            if state is None:
                return TurnBasis()
            call = state.event.call
            if not readings or call.granted_sequence != assumed:
                readings.append(asyncio.create_task(self._read_facts(heard, call.granted_sequence)))
            tools = await self._read_tools(state.event)
            return TurnBasis(state, tuple(await readings[-1]), tools)
        finally:
            for reading in readings:
                reading.cancel()
            await asyncio.gather(*readings, return_exceptions=True)

    async def has_ended(self, call_id: UUID, attempt: int) -> bool:
        """Returns whether the leader knows that the attempt or its conversation is over.

        The network's report precedes the decision on the call.
        """
        newest = await self._log.last(call_state_filter(call_id))
        if not (newest and isinstance(newest.event, CallDecision) and newest.event.call.may_use_line(attempt)):
            return True
        ends = [kind.subject_for(call_id) for kind in (TelephonyStatusReported, ConversationEnded)]
        return any(is_end(stored.event, attempt) for stored in await self._log.read(ends))

    def _take_ahead(self, heard: StoredEvent[SpeechHeard]) -> TurnBasis | None:
        """Returns what was read ahead, with the utterance; none if it cannot be used."""
        self._forget_old()
        utterance, ahead = heard.event, self._ahead.pop(heard.event.call_id, None)
        if ahead is None or ahead.basis.state is None:
            return None
        call, previous_sequence = ahead.basis.state.event.call, utterance.previous_sequence
        is_whole = previous_sequence is not None and previous_sequence <= ahead.until_sequence < heard.sequence
        is_of_attempt = (call.attempt, call.granted_sequence) == (utterance.attempt, utterance.granted_sequence)
        may_be_used = is_whole and is_of_attempt and heard.deliveries == 1 and heard.is_opened
        READ_AHEAD.labels(result="used" if may_be_used else "outdated").inc()
        if not may_be_used:
            return None
        return TurnBasis(ahead.basis.state, (*ahead.basis.facts, heard), ahead.basis.tools)

    def _forget_old(self) -> None:
        oldest_at = asyncio.get_running_loop().time() - MAX_AGE_SECONDS
        while self._ahead and (len(self._ahead) > MAX_KEPT or next(iter(self._ahead.values())).read_at < oldest_at):
            self._ahead.popitem(last=False)

    async def _load_live(
        self, call_id: UUID, attempt: int, *, may_ask_leader: bool = True
    ) -> StoredEvent[CallDecision] | None:
        """Returns the state of the call if the attempt may use its line; else none."""
        for read in (self._log.last_of_any_node, self._log.last)[: 1 + may_ask_leader]:
            newest = await read(call_state_filter(call_id))
            if newest and isinstance(newest.event, CallDecision) and newest.event.call.may_use_line(attempt):
                return StoredEvent(newest.event, newest.envelope, newest.sequence)
        return None

    async def _read_tools(self, decision: CallDecision) -> AgentTools | None:
        """Returns the tools in the campaign's terms as they are now; none if its event cannot be read."""
        if not decision.call.has_tools:
            return None
        campaign_id = decision.call.campaign_id
        try:
            newest = await self._log.last_of_any_node(campaign_state_filter(campaign_id))
        except UnreadableEvent as error:  # the conversation goes on without them
            logger.warning("tools_unreadable", campaign=campaign_id, reasons=error.reasons)
            return None
        terms = newest.event.campaign.terms if newest and isinstance(newest.event, CampaignDecision) else None
        return terms.tools if terms else None

    async def _read_facts(self, heard: StoredEvent[SpeechHeard], granted_sequence: int | None) -> list[StoredEvent]:
        """Returns the facts of the attempt that was granted there, at least up to the utterance.

        The position is not known in a log of an older build, and is that of another log after an import.
        """
        facts = call_facts_filter(heard.event.call_id)
        if granted_sequence is None or granted_sequence >= heard.sequence:
            return await self._log.read((facts,))
        return await self._log.read_after(facts, granted_sequence, known_sequence=heard.sequence, kinds=_KINDS)
