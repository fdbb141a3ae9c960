"""Records why a contact that was taken has no call."""

from collections.abc import Callable
from datetime import datetime

from call_orchestrator.metrics import CONTACTS
from call_orchestrator.ports import Log, TakenContact
from chassis.event_log import Conflict, Guard
from contracts import Call, ContactAdded, ContactRefused, call_id_of
from contracts.contacts import request_id_of_contact, request_id_of_other_number
from contracts.personal import PLACEHOLDERS

OTHER_NUMBER = "contact_id: another number of the campaign has this id; give each contact an id of its own"
OTHER_CAMPAIGN = "contact_id: a request of another campaign has taken the id of this call; give another contact_id"


class ContactRefusals:
    """Appends `contact.refused`, once for each contact."""

    def __init__(self, log: Log, now: Callable[[], datetime]) -> None:
        self._log = log
        self._now = now

    async def append(self, taken: TakenContact, reason: str) -> None:
        """Records why a contact is refused, in place of its call."""
        contact = taken.stored.event
        await self._append(taken, request_id_of_contact(contact.campaign_id, contact.contact_id), reason)

    async def append_taken_id(self, taken: TakenContact, reason: str) -> None:
        """Records that another call has the id of the contact: to another number, or of another campaign.

        The first such contact of an id is recorded where a reader finds it by the id. Each further one has a place of
        its own, so a file that repeats one id costs the same for each row.
        """
        contact = taken.stored.event
        shown_id = request_id_of_other_number(contact.campaign_id, contact.contact_id)
        if await self._append(taken, shown_id, reason):
            return
        first = await self._log.last(ContactRefused.subject_for(call_id_of(shown_id)))
        if (
            not first
            or not isinstance(first.event, ContactRefused)
            or first.event.number_digest != contact.number_digest
        ):
            await self._append(taken, f"{shown_id}:{contact.number_digest}", reason)

    async def _append(self, taken: TakenContact, request_id: str, reason: str) -> bool:
        """Returns whether the refusal was not recorded before."""
        contact = taken.stored.event
        refused = ContactRefused(
            call_id=call_id_of(request_id),
            campaign_id=contact.campaign_id,
            contact_id=contact.contact_id,
            number_digest=contact.number_digest,
            reason=reason,
            refused_at=self._now(),
        )
        try:
            await self._log.append(refused, cause=taken.stored.envelope, guard=Guard(refused.subject, 0))
        except Conflict:
            return False
        CONTACTS.labels(outcome="refused").inc()
        return True


def other_call(call: Call, contact: ContactAdded) -> str | None:
    """Returns why the call that the contact's id has is not that of the contact; None if it is.

    The call of an erased person has only the digest of its number.
    """
    if call.campaign_id != contact.campaign_id:
        return OTHER_CAMPAIGN
    if call.phone_number in PLACEHOLDERS:
        return OTHER_NUMBER if call.number_digest != contact.number_digest else None
    return OTHER_NUMBER if call.phone_number != contact.phone_number else None
