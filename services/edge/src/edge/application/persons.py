"""What is known about a person, and its erasure. A person is a telephone number, named by its digest.

A contact id names a person within its campaign, as long as one of the person's contacts waits or was called.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from chassis.event_log import StoredEvent, UnreadableEvent
from contracts import CallListQuery, ContactAdded, NumberState, PersonErased, PersonEraseRequested
from contracts.audit import AuditEntry, acts_on_call, acts_on_number, acts_on_person
from contracts.number_digests import NumberDigests
from contracts.queries import MAX_LIST, CallPosition
from contracts.vocabulary import ErasureReason
from edge.application.calls import Calls, raise_if_refused
from edge.application.errors import AmbiguousContact, UnknownCall, UnknownContact
from edge.ports import CallLog, Numbers, OnOutcome, PersonalRecords, Requests, Statistics


class Certificate(BaseModel):
    """The erasure of a person, as call-orchestrator has recorded it."""

    reason: ErasureReason
    requested_at: datetime = Field(description="earlier requests and contacts lead to no call")
    erased_at: datetime = Field(description="when the key was destroyed")
    had_key: bool = Field(description="false: nothing was stored about this person under a key")
    contacts_removed: int
    dead_letters_removed: int

    @classmethod
    def of(cls, erased: PersonErased) -> "Certificate":
        """Returns the certificate in a fact of the log."""
        return cls.model_validate(erased.model_dump(include=set(cls.model_fields)))


class Erasure(BaseModel):
    """A person who is erased, or will be."""

    id: str = Field(description="the keyed digest of the number", examples=["6f1c7a0b9d2e4f58a3b1c6d7e8f90a12"])
    certificate: Certificate | None = Field(description="null: not finished; a live call is hung up first")


@dataclass(frozen=True, slots=True)
class PersonalData:
    """Everything that is stored about a person.

    `calls`: the events of each call while it had the number. `acts`: those on the calls and on the number, from the
    audit log.
    """

    person: str
    calls: Mapping[UUID, Sequence[StoredEvent | UnreadableEvent]]
    contacts: Sequence[ContactAdded]
    number: NumberState
    certificate: Certificate | None
    acts: Sequence[AuditEntry]


class Persons:
    """Queries and commands about persons. Every method raises Unavailable."""

    def __init__(
        self,
        log: CallLog,
        calls: Calls,
        records: PersonalRecords,
        numbers: Numbers,
        requests: Requests,
        statistics: Statistics,
        digests: NumberDigests,
    ) -> None:
        self._log = log
        self._calls = calls
        self._records = records
        self._numbers = numbers
        self._requests = requests
        self._statistics = statistics
        self._digests = digests

    def id_of(self, phone_number: str) -> str:
        """Returns the id of the person with this number."""
        return self._digests.of(phone_number)

    async def of_contact(self, contact_id: str, campaign_id: str | None) -> str:
        """Returns the id of the person of a contact. Raises UnknownContact and AmbiguousContact."""
        found = await self._records.persons_of_contact(contact_id, campaign_id)
        query = CallListQuery(contact_id=contact_id, campaign_id=campaign_id, limit=MAX_LIST)
        has_more = True
        while has_more and len(found) < 2:
            page = await self._statistics.list_calls(query)
            for listed in page.calls:
                if listed.number_digest:  # known of archived calls too
                    found.add(listed.number_digest)
                    continue
                with suppress(UnknownCall):
                    call = await self._calls.state(listed.call_id)
                    found.add(call.number_digest or self.id_of(call.phone_number))
            has_more = page.has_more
            if page.calls:
                last = page.calls[-1]
                before = CallPosition(created_at=last.created_at, call_id=last.call_id)
                query = query.model_copy(update={"before": before})
        if not found:
            raise UnknownContact(contact_id)
        if len(found) > 1:
            raise AmbiguousContact(contact_id)
        return found.pop()

    async def erase(self, person: str, on_late_outcome: OnOutcome) -> tuple[Erasure, bool]:
        """Sends the command. Returns the erasure, and whether it is finished. Raises Refused."""
        command = PersonEraseRequested(number_digest=person)
        outcome = await self._requests.send(command, on_late_outcome=on_late_outcome)
        raise_if_refused(outcome)
        return Erasure(id=person, certificate=await self.certificate(person) if outcome else None), outcome is not None

    async def certificate(self, person: str) -> Certificate | None:
        """Returns the certificate of the last erasure of the person, if there was one."""
        stored = await self._log.last(PersonErased.subject_for(person))
        return Certificate.of(stored.event) if stored and isinstance(stored.event, PersonErased) else None

    async def data_of(self, person: str) -> PersonalData:
        """Returns everything that is stored about the person."""
        calls = {call_id: await self._events(call_id, person) for call_id in await self._records.calls(person)}
        subjects = [*map(acts_on_call, calls), acts_on_number(person), acts_on_person(person)]
        return PersonalData(
            person=person,
            calls=calls,
            contacts=await self._records.contacts(person),
            number=await self._numbers.get(person),
            certificate=await self.certificate(person),
            acts=await self._records.acts(subjects),
        )

    async def _events(self, call_id: UUID, person: str) -> list[StoredEvent | UnreadableEvent]:
        """Returns the events of a call, without those of another person whose number it had before or later."""
        events = await self._calls.events(call_id)
        return [one for one in events if isinstance(one, UnreadableEvent) or one.envelope.person in (None, person)]
