"""What the streams contain about a person, beside the log: open calls, waiting contacts, dead letters.

The log is not indexed by person. Each open call has a schedule (law 3), whose subject begins with the digest of the
person. So the cost does not depend on the log, nor on the open calls of others. A call whose deadline has just passed
has no schedule until the decision on it. That decision or the next grant ends the call, because its person is erased.
"""

from collections.abc import Collection, Sequence
from contextlib import aclosing, suppress
from typing import cast
from uuid import UUID

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from call_orchestrator.ports import ErasedRequests
from chassis.dead_letters import StoredDeadLetter, read_dead_letters
from chassis.deletion import erase_message
from chassis.direct_get import StoredMessage, get_first, get_newest_of_each, get_page
from chassis.event_log import EventLog, StoredEvent
from chassis.keyring import Keyring
from chassis.leader_get import get_of_leader
from chassis.leader_retry import retry_until_leader
from chassis.sealed_copies import open_copy
from chassis.stream_api import jetstream_of
from chassis.stream_reader import last_sequence, read
from contracts import (
    FINAL_STATUSES,
    CallCancelRequested,
    CallChanged,
    CallCreated,
    CallDecision,
    ContactAdded,
    Envelope,
    ErasedRequest,
)
from contracts.dead_letters import DeadLetter
from contracts.events.timers import SCHEDULES_WITHOUT_PERSON, scheduled_call_id, schedules_of
from contracts.filters import call_state_filter
from contracts.named_persons import NamedPersons, may_name
from contracts.number_digests import NumberDigests
from contracts.personal import PERSON_HEADER
from contracts.streams import CALLS, CONTACTS, DEAD_LETTERS, REQUESTS, SCHEDULES
from contracts.vocabulary import RequestResult

_CALLS_IN_A_READ = 50
"""The server answers for at most 1,024 subjects, and a call has one for each event and status."""


class NatsPersonalMessages:
    """Implements `call_orchestrator.ports.PersonalMessages`."""

    def __init__(
        self,
        client: Client,
        calls: EventLog,
        requests: EventLog,
        contacts: EventLog,
        digests: NumberDigests,
        named: NamedPersons,
        erased: ErasedRequests,
        keyring: Keyring,
    ) -> None:
        self._client = client
        self._js = jetstream_of(client, SCHEDULES.name)
        self._calls = calls
        self._contacts = contacts
        self._requests = requests
        self._digests = digests
        self._named = named
        self._erased = erased
        self._keyring = keyring

    async def open_calls(self, person: str) -> list[UUID]:
        """Returns the calls of the person that have not ended."""
        ids = {scheduled_call_id(subject) for subject in await self._scheduled(schedules_of(person))}
        call_ids = sorted(ids | await self._scheduled_without_person())
        found: list[UUID] = []
        for start in range(0, len(call_ids), _CALLS_IN_A_READ):
            newest = await self._newest_of(call_ids[start : start + _CALLS_IN_A_READ])
            found += [UUID(call_id) for call_id, message in newest.items() if await self._is_open(message, person)]
        return found

    async def has_unsealed_calls(self, person: str) -> bool:
        """Whether the log has calls of the person in clear. If its first call is sealed, all are."""
        subjects = (CallCreated.subjects(), CallChanged.subjects())
        first = await retry_until_leader(lambda: get_first(self._client, CALLS.name, subjects[0]))
        if first is None or PERSON_HEADER in first.headers:
            return False
        end = await last_sequence(self._client, CALLS.name)
        async with aclosing(read(self._client, CALLS.name, subjects, end_sequence=end)) as messages:
            async for message in messages:
                if PERSON_HEADER not in message.headers and await self._is_of(message, person):
                    return True
        return False

    async def cancel(self, call_id: UUID, cause: Envelope) -> None:
        """Sends the command to cancel the call, once for each cause."""
        command = CallCancelRequested(call_id=call_id)
        await self._requests.append(command, cause=cause, event_id=f"{cause.id}/{call_id}")

    async def contacts(self, person: str) -> list[StoredEvent[ContactAdded]]:
        """Returns the waiting contacts of the person: at most one of each campaign."""
        found: list[StoredEvent[ContactAdded]] = []
        sequence, has_more = 0, True
        while has_more:
            start = sequence + 1
            filter = f"{ContactAdded.subjects().removesuffix('*')}{person}"
            page = await retry_until_leader(
                lambda: get_page(self._client, CONTACTS.name, filter, start_sequence=start)  # noqa: B023
            )
            for message in page.messages:
                found.append(cast("StoredEvent[ContactAdded]", await self._contacts.decode(message)))
                sequence = message.seq
            has_more = page.has_more
        return found

    async def remove_contact(self, sequence: int) -> None:
        """Removes a waiting contact."""
        await erase_message(self._client, CONTACTS.name, sequence)

    async def remove_dead_letters(self, person: str) -> int:
        """Removes the dead letters whose message may name the person, each after its message.

        Messages of the log are sealed and stay. No copy is opened, unless an older build stored it.
        """
        count = 0
        async for stored in read_dead_letters(self._client):
            if not may_name(await self._persons_in(stored), person):
                continue
            if stored.is_reference:
                await self._remove_referenced(stored.dead_letter)
            await erase_message(self._client, DEAD_LETTERS.name, stored.sequence)
            count += 1
        return count

    async def _newest_of(self, call_ids: Sequence[str]) -> dict[str, StoredMessage]:
        """Returns the newest decision on each call that has one."""
        filters = [call_state_filter(call_id) for call_id in call_ids]
        messages = await retry_until_leader(lambda: get_newest_of_each(self._client, CALLS.name, filters))
        return {message.subject.split(".")[2]: message for message in messages}

    async def _scheduled(self, filter: str) -> Collection[str]:
        """Returns the subjects of schedules on a filter, as the leader has them: up to 100,000."""
        info = await retry_until_leader(lambda: self._js.stream_info(SCHEDULES.name, subjects_filter=filter))
        return info.state.subjects or ()

    async def _scheduled_without_person(self) -> set[str]:
        """Returns the open calls whose schedules do not show the person: until an upgrade, all have such ones."""
        if not await self._scheduled(SCHEDULES_WITHOUT_PERSON):
            return set()
        end = await last_sequence(self._client, SCHEDULES.name)
        messages = read(self._client, SCHEDULES.name, [SCHEDULES_WITHOUT_PERSON], end_sequence=end)
        async with aclosing(messages):
            return {scheduled_call_id(message.subject) async for message in messages}

    async def _is_open(self, message: StoredMessage, person: str) -> bool:
        """Whether the newest event of a call leaves it open, and the call is that of the person."""
        if message.subject.rpartition(".")[2] in FINAL_STATUSES:
            return False
        return await self._is_of(message, person)

    async def _is_of(self, message: StoredMessage, person: str) -> bool:
        """Whether a decision is about a call of the person."""
        if PERSON_HEADER in message.headers:
            return message.headers[PERSON_HEADER] == person
        event = (await self._calls.decode(message)).event  # of a call that an older build created
        return isinstance(event, CallDecision) and self._digests.of(event.call.phone_number) == person

    async def _remove_referenced(self, dead_letter: DeadLetter) -> None:
        """Removes the message of a dead letter, unless it is of the log, or no longer there."""
        sequence = dead_letter.sequence
        if dead_letter.stream not in (REQUESTS.name, CONTACTS.name) or not await self._referenced(dead_letter):
            return
        if dead_letter.stream == REQUESTS.name:
            await self._erased.erase(sequence, ErasedRequest(sequence=sequence, result=RequestResult.PERSON_ERASED))
        else:
            await erase_message(self._client, CONTACTS.name, sequence)

    async def _persons_in(self, stored: StoredDeadLetter) -> str:
        """Returns whom the message of a dead letter may name. If an older build stored it, the message is read."""
        dead_letter = stored.dead_letter
        if dead_letter.persons is not None:
            return dead_letter.persons
        if stored.is_reference:
            found = await self._referenced(dead_letter)
            return self._named.of(found.subject, found.headers, found.data) if found else ""
        if stored.copy:
            opened = await open_copy(stored.copy, self._keyring)
            return self._named.of(opened.subject, opened.headers, opened.body) if opened else ""
        body = (dead_letter.body or "").encode() or dead_letter.body_base64 or b""
        return self._named.of(dead_letter.subject, dead_letter.headers or {}, body)

    async def _referenced(self, dead_letter: DeadLetter) -> StoredMessage | None:
        """Returns the message to which a dead letter refers; None, if it is deleted."""
        stream, sequence = dead_letter.stream, dead_letter.sequence
        with suppress(NotFoundError):
            return await retry_until_leader(lambda: get_of_leader(self._client, stream, sequence))
        return None
