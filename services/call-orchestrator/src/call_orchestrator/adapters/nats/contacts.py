"""The contacts of campaigns that wait for their calls, in the stream CONTACTS."""

from nats.js.errors import APIError

from chassis.event_log import EventLog
from chassis.leader_retry import is_subject_taken
from contracts import ContactAdded, ContactGroupAdded, Envelope


class NatsContacts:
    """Implements `call_orchestrator.ports.WaitingContacts`. The server refuses the second contact of a number."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def add(self, contact: ContactAdded, group: ContactGroupAdded, cause: Envelope) -> bool:
        """Adds the contact and then its group, which may be removed with the contacts of a campaign that is over.

        If the replica dies between them, the message is delivered again, and the group is added then.
        """
        is_added = await self._append(contact, cause, contact.number_digest)
        await self._append(group, cause)
        return is_added

    async def _append(
        self, event: ContactAdded | ContactGroupAdded, cause: Envelope, person: str | None = None
    ) -> bool:
        try:
            await self._log.append(event, cause=cause, person=person)
        except APIError as error:
            if not is_subject_taken(error):
                raise
            waiting = await self._log.last(event.subject)
            return waiting is not None and waiting.envelope.causation_id == cause.id
        return True
