"""What the streams contain about a person: calls, waiting contacts, and acts in the audit log.

No stream is indexed by person or by contact, because both are looked up rarely. So the first events of all calls are
read, or all waiting contacts. Their headers and subjects show the person, and no body is opened.
"""

import json
from collections.abc import AsyncIterator, Sequence
from typing import cast
from uuid import UUID

from nats.aio.client import Client

from chassis.direct_get import StoredMessage, get_page
from chassis.event_log import EventLog
from chassis.leader_retry import retry_until_leader
from chassis.stream_reader import last_sequence, read
from contracts import CallChanged, CallCreated, CallDecision, ContactAdded
from contracts.audit import AuditEntry
from contracts.number_digests import NumberDigests
from contracts.personal import PERSON_HEADER
from contracts.streams import AUDIT, CALLS, CONTACTS
from edge.adapters.nats import translate_errors

_FAILURE = "the data of the person could not be read"


class NatsPersonalRecords:
    """Implements `edge.ports.PersonalRecords`."""

    def __init__(self, client: Client, calls: EventLog, contacts: EventLog, digests: NumberDigests) -> None:
        self._client = client
        self._calls = calls
        self._contacts = contacts
        self._digests = digests

    async def calls(self, person: str) -> list[UUID]:
        """Returns the calls that had the number of the person at any time, in the order of their creation."""
        found: dict[UUID, None] = {}
        async with translate_errors(self._client, _FAILURE):
            for subjects in (CallCreated.subjects(), CallChanged.subjects()):
                async for message in self._messages(CALLS.name, subjects):
                    if await self._is_about(message, person):
                        found[UUID(message.subject.split(".")[2])] = None
        return list(found)

    async def contacts(self, person: str) -> list[ContactAdded]:
        """Returns the waiting contacts of the person."""
        subjects = f"{ContactAdded.subjects().removesuffix('*')}{person}"
        async with translate_errors(self._client, _FAILURE):
            messages = [message async for message in self._messages(CONTACTS.name, subjects)]
            return [cast("ContactAdded", (await self._contacts.decode(message)).event) for message in messages]

    async def persons_of_contact(self, contact_id: str, campaign_id: str | None) -> set[str]:
        """Returns the persons of the waiting contacts with this id, in one campaign or in all."""
        named = json.dumps(contact_id, ensure_ascii=False).encode()
        found: set[str] = set()
        async with translate_errors(self._client, _FAILURE):
            end = await last_sequence(self._client, CONTACTS.name)
            filters = (ContactAdded.subjects(campaign_id or "*"),)
            # Not by pages on the filter: for each, the server would count all contacts after it.
            async for message in read(self._client, CONTACTS.name, filters, end_sequence=end):
                if named in message.data:  # decoded only then: a campaign may have a million contacts
                    contact = (await self._contacts.decode(message)).event
                    if isinstance(contact, ContactAdded) and contact.contact_id == contact_id:
                        found.add(contact.number_digest)
        return found

    async def acts(self, subjects: Sequence[str]) -> list[AuditEntry]:
        """Returns the entries of the audit log on these subjects."""
        async with translate_errors(self._client, _FAILURE):
            return [
                AuditEntry.model_validate_json(message.data)
                for subject in subjects
                async for message in self._messages(AUDIT.name, subject)
            ]

    async def _is_about(self, message: StoredMessage, person: str) -> bool:
        if PERSON_HEADER in message.headers:
            return message.headers[PERSON_HEADER] == person
        event = (await self._calls.decode(message)).event  # of a call that an older build created
        return isinstance(event, CallDecision) and self._digests.of(event.call.phone_number) == person

    async def _messages(self, stream: str, subjects: str) -> AsyncIterator[StoredMessage]:
        """Yields the messages on a filter that matches few messages of the stream, or all of its subjects."""
        sequence, has_more = 0, True
        while has_more:
            start = sequence + 1
            page = await retry_until_leader(
                lambda: get_page(self._client, stream, subjects, start_sequence=start)  # noqa: B023
            )
            for message in page.messages:
                sequence = message.seq
                yield message
            has_more = page.has_more
