"""The call of a contact."""

from contracts import CallRequested, ContactAdded
from contracts.contacts import request_id_of_contact


def request_of(contact: ContactAdded) -> CallRequested:
    """Returns the request for the call of a contact. It was validated when the contact was added."""
    request = CallRequested.model_construct(
        request_id=request_id_of_contact(contact.campaign_id, contact.contact_id),
        campaign_id=contact.campaign_id,
        contact_id=contact.contact_id,
        phone_number=contact.phone_number,
        variables=contact.variables,
        time_zone=contact.time_zone,
        metadata=contact.metadata,
        consent_at=contact.consent_at,
        consent_source=contact.consent_source,
    )
    return request.model_copy(update={"language": contact.language}) if contact.language else request
