"""Notes in the state of a number until when the personal data of its person is kept (`application.retention`).

Everything that is sealed under the key of a person has an end, from which the time counts:

- a call: its end;
- a call that was changed to another number: the change, for the former number;
- a sealed request that led to no call of its person: when it was sent. It stays in the stream REQUESTS;
- a contact that was refused, or that was never taken: when it was refused, or when it expired with its campaign. What
  is deleted from the stream CONTACTS stays in the files of the server for a while, and in backups.
"""

from datetime import datetime, timedelta

from call_orchestrator.application.call_outcomes import MAX_CONFLICTS, CallOutcome, too_many_conflicts
from call_orchestrator.application.numbers import Numbers
from call_orchestrator.application.stored import load_campaign
from call_orchestrator.ports import Log
from chassis.event_log import Conflict, StoredEvent
from chassis.time_mapping import REAL_TIME, TimeMapping
from contracts import Call, CallChangeRequested, CallRequested, Campaign, Envelope, NumberState


class RetentionPeriods:
    """Determines until when the personal data of calls and requests is kept, and notes it for requests."""

    def __init__(
        self,
        numbers: Numbers,
        log: Log,
        default: timedelta | None = None,
        mapping: TimeMapping = REAL_TIME,
    ) -> None:
        """`default`: for how long, if neither the call nor its campaign says; None: for ever.

        `mapping`: from the time of the server, in which requests are stored, to that of calls.
        """
        self._numbers = numbers
        self._log = log
        self._default = default
        self._mapping = mapping

    def kept(self, number: NumberState, call: Call, *, changed_at: datetime | None = None) -> NumberState:
        """Returns the number of a call whose personal data is kept for some time; unchanged while the call has it.

        `changed_at`: when the call, which is the state before that, was changed to another number.
        """
        ended_at = changed_at or ((call.ended_at or call.status_changed_at) if call.status.is_final else None)
        retention = self._retention(call.retention_days)
        is_erased = number.erased_at is not None and call.number_given_at <= number.erased_at
        if ended_at is None or retention is None or is_erased:
            return number
        return number.kept(ended_at + retention)

    async def note_request(self, stored: StoredEvent, outcome: CallOutcome) -> None:
        """Notes for how long a sealed request is kept that led to no call of its person. Raises Conflict.

        It counts only if the key of the person has opened it: then a service sealed it. A header alone could have any
        person erased. A second delivery changes nothing.
        """
        event, person, call = stored.event, stored.envelope.person, outcome.call
        if person is None or not stored.is_opened or (call and call.number_digest == person):
            return
        if not isinstance(event, CallRequested | CallChangeRequested) or event.phone_number is None:
            return
        if self._numbers.digest_of(event.phone_number) != person:
            return
        retention = self._retention(event.retention_days or await self._inherited_days(event, call))
        if retention is None:
            return
        sent_at = self._mapping.simulated(stored.sent_at)
        await self._note(person, sent_at, sent_at + retention, stored.envelope)

    def is_limited(self, campaign: Campaign) -> bool:
        """Whether the personal data of contacts of the campaign is kept for some time only."""
        return self._retention_of(campaign) is not None

    async def note_contact(
        self, person: str, campaign: Campaign, *, added_at: datetime, ended_at: datetime, cause: Envelope
    ) -> None:
        """Notes for how long the data of a contact is kept that waits no longer and has no open call. Raises Conflict.

        `added_at`: by the time of the server. A repetition with the same `ended_at` changes nothing.
        """
        if (retention := self._retention_of(campaign)) is not None:
            await self._note(person, self._mapping.simulated(added_at), ended_at + retention, cause)

    async def _note(self, person: str, given_at: datetime, until: datetime, cause: Envelope) -> None:
        """Notes until when what was given at an instant is kept, unless an erasure followed that. Raises Conflict."""
        for _ in range(MAX_CONFLICTS):
            number = await self._numbers.load_digest(person)
            erased_at, after = number.number.erased_at, number.number.kept(until)
            if after == number.number or (erased_at and given_at <= erased_at):
                return
            try:
                await self._numbers.append(number, after, cause)
            except Conflict:
                continue
            return
        raise too_many_conflicts(person)

    def _retention_of(self, campaign: Campaign) -> timedelta | None:
        return self._retention(campaign.terms.retention_days if campaign.terms else None)

    async def _inherited_days(self, event: CallRequested | CallChangeRequested, call: Call | None) -> int | None:
        """Returns the days of the call, or of the campaign as the leader has it: the replica may not know it yet."""
        if call or not isinstance(event, CallRequested):
            return call.retention_days if call else None
        terms = (await load_campaign(self._log, event.campaign_id)).campaign.terms
        return terms.retention_days if terms else None

    def _retention(self, days: int | None) -> timedelta | None:
        return timedelta(days=days) if days else self._default
