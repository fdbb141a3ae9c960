"""Erases persons: what is stored about a person becomes unreadable, and the log stays as it is.

A person is a telephone number, named by its digest. The steps have this order:

1. The state of the number gets `erased_at`. From then on, no earlier request, contact or call leads to a dial.
2. Open calls are canceled: a live one is hung up. The command is delivered again until each of them has ended.
3. Waiting contacts are refused and removed. Dead letters whose message names the person are removed, and with them the
   message, unless it is in the log.
4. The key of the person is destroyed. Events that follow are stored without their personal fields.
5. The fact `person.erased` certifies it. Its append is the end.

**A second delivery is harmless**, and finishes what an interrupted one has begun: each step finds only what is left. A
command that has its fact, or is older than a finished one, is not carried out again: the person may have come back.
The instant is that at which the first delivery began. So a request that was decided before it, whenever it was stored,
has created its call before it, too.

**At the end of a retention**, the command names the instant until which the data was kept. It is refused if a call of
the person is kept longer, is open, or waits as a contact. Without that, an erasure would cancel a call.

**Calls of older builds** are in clear until `centralita seal` has run, and no key makes them unreadable. The erasure of
a person with such a call is refused on request, and not at the end of a retention.

**A person may come back.** A request or contact that is stored later makes a new key. What was sealed under the former
one stays unreadable.

**A request that is decided at the same moment** may create its call, or add its contact, on a state of the number from
before step 1. Such a call is never dialled, because its grant finds `erased_at`. But it makes a key. So open calls and
contacts are looked up once more after step 4, and if there is one, the steps begin again. A call that has no timer yet
is not found so. Its end commands the erasure again (`application.late_calls`).
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from uuid import UUID

import structlog

from call_orchestrator.application.call_outcomes import MAX_CONFLICTS, too_many_conflicts
from call_orchestrator.application.contact_calls import request_of
from call_orchestrator.application.number_waits import is_in_force
from call_orchestrator.application.numbers import Numbers
from call_orchestrator.application.stored import load_call
from call_orchestrator.domain.number_use import described_erasure
from call_orchestrator.ports import Keys, Log, PersonalMessages
from chassis.event_log import Conflict, Guard, StoredEvent
from chassis.retry_later import RetryLater
from chassis.time_mapping import REAL_TIME, TimeMapping
from contracts import (
    CommandOutcome,
    ContactAdded,
    ContactRefused,
    Envelope,
    PersonErased,
    PersonEraseRequested,
    call_id_of,
)

_MIN_WAIT_SECONDS, _MAX_WAIT_SECONDS = 0.2, 5.0

_IN_CLEAR = (
    "number_digest: the log has calls of this person in clear, from before personal data was sealed. "
    "Stop all services, seal them with `centralita seal`, start the services and erase the person again"
)

logger = structlog.get_logger()


class ErasureUnfinished(RetryLater):
    """Calls of the person have not ended yet, or a contact was added meanwhile. All steps begin again.

    Each call was canceled, and has a deadline. A contact is removed by the next delivery.
    """

    def __init__(self, deliveries: int) -> None:
        super().__init__(min(_MIN_WAIT_SECONDS * 2 ** min(deliveries, 10), _MAX_WAIT_SECONDS), is_unlimited=True)


class Erasure:
    """Carries out commands to erase a person."""

    def __init__(
        self,
        log: Log,
        numbers: Numbers,
        messages: PersonalMessages,
        keys: Keys,
        now: Callable[[], datetime],
        mapping: TimeMapping = REAL_TIME,
    ) -> None:
        """`mapping`: from the time of the server to that of `now`."""
        self._log = log
        self._numbers = numbers
        self._messages = messages
        self._keys = keys
        self._now = now
        self._mapping = mapping

    async def handle(self, command: StoredEvent[PersonEraseRequested]) -> CommandOutcome:
        """Carries out a command. Raises ErasureUnfinished, and Conflict."""
        event, cause = command.event, command.envelope
        person = event.number_digest
        requested_at = self._mapping.simulated(command.stored_at or cause.time)
        last = await self._log.last(PersonErased.subject_for(person))
        if last and isinstance(last.event, PersonErased) and last.event.requested_at >= requested_at:
            return CommandOutcome(accepted=True)
        if reason := await self._refusal(event, requested_at):
            return CommandOutcome(accepted=False, reasons=(reason,))
        began_at = await self._mark(person, requested_at, cause)
        await self._cancel_calls(person, command)
        contacts_removed = await self._remove_contacts(person, began_at)
        dead_letters_removed = await self._messages.remove_dead_letters(person)
        had_key = await self._keys.destroy(person)
        await self._cancel_calls(person, command)
        if await self._messages.contacts(person):
            raise ErasureUnfinished(command.deliveries)
        erased = PersonErased(
            number_digest=person,
            reason=event.reason,
            requested_at=began_at,
            erased_at=self._now(),
            had_key=had_key,
            contacts_removed=contacts_removed,
            dead_letters_removed=dead_letters_removed,
        )
        await self._log.append(erased, cause=cause, event_id=f"{cause.id}/erased")
        logger.info("person_erased", number_digest=person, reason=event.reason)
        return CommandOutcome(accepted=True)

    async def _refusal(self, event: PersonEraseRequested, requested_at: datetime) -> str | None:
        """Returns why the person cannot be erased, or the data has to be kept. A command that has begun is finished."""
        if event.kept_until is None:
            return _IN_CLEAR if await self._messages.has_unsealed_calls(event.number_digest) else None
        person, number = event.number_digest, (await self._numbers.load_digest(event.number_digest)).number
        if number.erased_at and number.erased_at >= requested_at:
            return None
        if number.kept_until is None or number.kept_until > event.kept_until:
            return "kept_until: the personal data of a later call is kept longer, or the person was erased already"
        if await self._open_calls(person) or await self._messages.contacts(person):
            return "number_digest: a call of the person is open, or will be created"
        return None

    async def _mark(self, person: str, requested_at: datetime, cause: Envelope) -> datetime:
        """Forbids earlier calls in the state of the number, and returns since when: as the first delivery did."""
        for _ in range(MAX_CONFLICTS):
            stored = await self._numbers.load_digest(person)
            marked_at = stored.number.erased_at
            began_at = marked_at if marked_at and marked_at >= requested_at else self._now()
            number = stored.number.erased(began_at)
            if number == stored.number:
                return began_at
            with suppress(Conflict):
                await self._numbers.append(stored, number, cause)
                return began_at
        raise too_many_conflicts(person)

    async def _remove_contacts(self, person: str, began_at: datetime) -> int:
        """Refuses and removes the contacts that wait, and returns how many there were."""
        contacts = await self._messages.contacts(person)
        for stored in contacts:
            await self._refuse(stored, began_at)
            await self._messages.remove_contact(stored.sequence)
        return len(contacts)

    async def _refuse(self, stored: StoredEvent[ContactAdded], began_at: datetime) -> None:
        """Records that the contact is not called, unless it has a call: its import was repeated."""
        contact, call_id = stored.event, call_id_of(request_of(stored.event).request_id or "")
        if await load_call(self._log, call_id):
            return
        refused = ContactRefused(
            call_id=call_id,
            campaign_id=contact.campaign_id,
            contact_id=contact.contact_id,
            number_digest=contact.number_digest,
            reason=described_erasure(began_at),
            refused_at=self._now(),
        )
        with suppress(Conflict):  # it is recorded already
            await self._log.append(refused, cause=stored.envelope, guard=Guard(refused.subject, 0))

    async def _cancel_calls(self, person: str, command: StoredEvent[PersonEraseRequested]) -> None:
        """Cancels the open calls. Raises ErasureUnfinished if there is any."""
        open_calls = await self._open_calls(person)
        for call_id in open_calls:
            await self._messages.cancel(call_id, command.envelope)
        if open_calls:
            raise ErasureUnfinished(command.deliveries)

    async def _open_calls(self, person: str) -> list[UUID]:
        """Returns the calls of the person that have not ended.

        A new call that was granted its slot at once has no timer until its attempt begins. Its claim of the number
        precedes that.
        """
        open_calls = await self._messages.open_calls(person)
        live = (await self._numbers.load_digest(person)).number.live
        holder = await load_call(self._log, live.call_id) if live and live.call_id not in open_calls else None
        if live and holder and is_in_force(live, holder.call) and self._numbers.digest_of_call(holder.call) == person:
            open_calls.append(live.call_id)
        return open_calls
