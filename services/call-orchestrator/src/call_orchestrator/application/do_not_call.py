"""Lists numbers that must not be called, on command and when a person opts out in a call, and removes entries.

An entry is part of the state of its number, and each grant is decided on that state (`number_claims`). So no call to
the number begins after the entry is stored, in any campaign, also if it waits for a retry.

A second delivery is harmless, and so is any order of deliveries: an entry carries the instant at which the server
stored the command or the fact, and the newest change of a scope counts.
"""

from datetime import datetime

import structlog

from call_orchestrator.application.call_outcomes import MAX_CONFLICTS, too_many_conflicts
from call_orchestrator.application.numbers import Numbers
from call_orchestrator.application.stored import load_call
from call_orchestrator.ports import Log
from chassis.event_log import Conflict, StoredEvent
from chassis.time_mapping import REAL_TIME, TimeMapping
from contracts import (
    CommandOutcome,
    ConversationEnded,
    Disposition,
    Envelope,
    NumberBlockRequested,
    NumberCommand,
    OptOutKeyPressed,
)
from contracts.number_state import MAX_ENTRIES, DoNotCallEntry
from contracts.personal import PLACEHOLDERS
from contracts.vocabulary import DoNotCallSource

logger = structlog.get_logger()


class DoNotCall:
    """The do-not-call lists: one of all campaigns, one of each, and those with a name."""

    def __init__(self, numbers: Numbers, log: Log, mapping: TimeMapping = REAL_TIME) -> None:
        """`mapping`: from the time of the server to that of decisions."""
        self._numbers = numbers
        self._log = log
        self._mapping = mapping

    async def handle(self, command: NumberCommand, stored_at: datetime, cause: Envelope) -> CommandOutcome:
        """Carries out a command that the server stored at this instant. Raises Conflict."""
        is_listed = isinstance(command, NumberBlockRequested)
        phone_number = _known_number(command.phone_number) if isinstance(command, NumberBlockRequested) else None
        source = command.source if isinstance(command, NumberBlockRequested) else DoNotCallSource.REQUEST
        if phone_number and self._numbers.digest_of(phone_number) != command.number_digest:
            reason = "number_digest: is not that of phone_number; give edge and call-orchestrator one NUMBER_DIGEST_KEY"
            return CommandOutcome(accepted=False, campaign_id=command.campaign_id, reasons=(reason,))
        entry = DoNotCallEntry(
            campaign_id=command.campaign_id,
            list_name=command.list_name,
            is_listed=is_listed,
            changed_at=self._mapping.simulated(stored_at),
            source=source,
        )
        known = (await self._numbers.load_digest(command.number_digest)).number
        if known.is_outdated(entry):
            reason = "number_digest: the list was changed after this command was sent; send it again if it shall count"
            return CommandOutcome(accepted=False, campaign_id=command.campaign_id, reasons=(reason,))
        if is_listed and not known.may_be_listed(entry.scope):
            reason = f"number_digest: the number is on {MAX_ENTRIES} do-not-call lists; list it for all campaigns"
            return CommandOutcome(accepted=False, campaign_id=command.campaign_id, reasons=(reason,))
        await self._apply(command.number_digest, entry, phone_number, cause)
        return CommandOutcome(accepted=True, campaign_id=command.campaign_id)

    async def note_opt_out(self, fact: StoredEvent[ConversationEnded] | StoredEvent[OptOutKeyPressed]) -> None:
        """Lists the number of the call for all campaigns, if the person opted out. Raises Conflict."""
        event = fact.event
        is_opt_out = isinstance(event, OptOutKeyPressed) or event.disposition is Disposition.OPT_OUT
        stored = await load_call(self._log, event.call_id) if is_opt_out else None
        if stored is None:
            return
        source = DoNotCallSource.KEY if isinstance(event, OptOutKeyPressed) else DoNotCallSource.OPT_OUT
        changed_at = self._mapping.simulated(fact.envelope.time)
        entry = DoNotCallEntry(changed_at=changed_at, source=source, call_id=event.call_id)
        known = _known_number(stored.call.phone_number)
        await self._apply(self._numbers.digest_of_call(stored.call), entry, known, fact.envelope)
        logger.info("number_listed", call_id=str(event.call_id), source=entry.source)

    async def _apply(self, digest: str, entry: DoNotCallEntry, phone_number: str | None, cause: Envelope) -> None:
        for _ in range(MAX_CONFLICTS):
            stored = await self._numbers.load_digest(digest)
            number = stored.number.with_entry(entry, phone_number)
            if number == stored.number:
                return
            try:
                await self._numbers.append(stored, number, cause)
            except Conflict:
                continue
            return
        raise too_many_conflicts(digest)


def _known_number(phone_number: str) -> str | None:
    """Returns the number; None if its person was erased. Its digest is listed nevertheless."""
    return None if phone_number in PLACEHOLDERS else phone_number
