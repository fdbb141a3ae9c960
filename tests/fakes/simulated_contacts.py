"""The stream CONTACTS on a simulated server: a work queue of groups, in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

from tests.fakes.simulated_streams import MAX_FOLLOWING_SECONDS, Server

from call_orchestrator.ports import TakenContact, WaitingPerson
from chassis.event_log import StoredEvent
from contracts import ContactAdded, ContactGroupAdded, Envelope

ACK_WAIT_SECONDS = 30.0
LONG_PULL_SECONDS = 10.0


@dataclass
class _Waiting:
    """A contact. `hidden_until`: it is delivered from then on, on the clock of the event loop."""

    stored: StoredEvent[ContactAdded]
    hidden_until: float = 0.0
    deliveries: int = 0


class SimulatedContacts:
    """Implements `WaitingContacts` and `ContactQueue`. Some acknowledgements are lost."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._count = 0
        self._contacts: dict[str, _Waiting] = {}
        """By their subjects."""
        self._groups: dict[str, tuple[int, ContactGroupAdded]] = {}
        self._changed = asyncio.Event()
        self.added: list[StoredEvent[ContactAdded]] = []

    async def add(self, contact: ContactAdded, group: ContactGroupAdded, cause: Envelope) -> bool:
        await self._server.wait()
        known = self._contacts.get(contact.subject)
        if known is None:
            self._count += 1
            envelope = Envelope.of(id=f"contact-{self._count}", source="test", time=self._server.now(), cause=cause)
            stored = StoredEvent(contact, envelope, self._count)
            self._contacts[contact.subject] = _Waiting(stored)
            self.added.append(stored)
        await self._server.wait()
        if group.subject not in self._groups:
            self._count += 1
            self._groups[group.subject] = (self._count, group)
        self._note_change()
        await self._server.wait()
        return known is None or known.stored.envelope.causation_id == cause.id

    @asynccontextmanager
    async def groups(self) -> AsyncIterator[AsyncIterator[list[ContactGroupAdded]]]:
        yield self._follow_groups()

    async def _follow_groups(self) -> AsyncIterator[list[ContactGroupAdded]]:
        read = 0
        while True:
            changed = self._changed
            new = [(sequence, group) for sequence, group in self._groups.values() if sequence > read]
            if new:
                read = max(sequence for sequence, _ in new)
                yield [group for _, group in new]
            await changed.wait()
            await self._server.wait(MAX_FOLLOWING_SECONDS)

    async def take(self, campaign_id: str, zone_group: str, count: int, wait_seconds: float) -> list[TakenContact]:
        """A long pull from a group without contacts waits for one, however long: that spares wake-ups."""
        await self._server.wait()
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + wait_seconds
        while True:
            group = self._in(campaign_id, [zone_group])
            due = [one for one in group if one.hidden_until <= loop.time()][:count]
            is_long = wait_seconds >= LONG_PULL_SECONDS and not group
            if due or (loop.time() >= ends_at and not is_long):
                break
            next_at = min(one.hidden_until for one in group) if group else ends_at
            with suppress(TimeoutError):
                async with asyncio.timeout_at(None if is_long else min(next_at, ends_at)):
                    await self._changed.wait()
        for one in due:
            one.hidden_until = loop.time() + ACK_WAIT_SECONDS
            one.deliveries += 1
        await self._server.wait()
        return [self._taken(one) for one in due]

    async def last_sequence(self) -> int:
        await self._server.wait()
        return self._count

    async def count(self, campaign_id: str, until_sequence: int) -> int:
        await self._server.wait()
        return len(self._until(campaign_id, until_sequence))

    async def persons(self, campaign_id: str, after_sequence: int, until_sequence: int) -> list[WaitingPerson]:
        """Returns none: no campaign of a simulation has a retention."""
        return []

    async def remove(self, campaign_id: str, until_sequence: int) -> None:
        await self._server.wait()
        for one in self._until(campaign_id, until_sequence):
            self._contacts.pop(one.stored.event.subject, None)

    async def remove_groups(self, campaign_id: str, zone_groups: Iterable[str], until_sequence: int) -> None:
        await self._server.wait()
        self._groups = {
            subject: (sequence, one)
            for subject, (sequence, one) in self._groups.items()
            if one.campaign_id != campaign_id or sequence > until_sequence
        }

    def _until(self, campaign_id: str, until_sequence: int) -> list[_Waiting]:
        return [
            one
            for one in self._contacts.values()
            if one.stored.event.campaign_id == campaign_id and one.stored.sequence <= until_sequence
        ]

    def waiting(self) -> list[ContactAdded]:
        """Returns the contacts that wait."""
        return [one.stored.event for one in self._contacts.values()]

    def _in(self, campaign_id: str, zone_groups: Iterable[str]) -> list[_Waiting]:
        groups = set(zone_groups)
        return [
            one
            for one in self._contacts.values()
            if one.stored.event.campaign_id == campaign_id and one.stored.event.zone_group in groups
        ]

    def _taken(self, one: _Waiting) -> TakenContact:
        stored = StoredEvent(one.stored.event, one.stored.envelope, one.stored.sequence, one.deliveries)
        return TakenContact(stored, partial(self._acknowledge, one), partial(self._put_back, one))

    async def _acknowledge(self, one: _Waiting) -> None:
        await self._server.wait()
        if self._server.random.random() < 0.9:
            self._contacts.pop(one.stored.event.subject, None)
            self._note_change()

    async def _put_back(self, one: _Waiting, seconds: float) -> None:
        await self._server.wait()
        one.hidden_until = asyncio.get_running_loop().time() + seconds
        self._note_change()

    def _note_change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
