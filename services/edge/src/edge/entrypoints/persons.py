"""The REST API about persons: erases one, and returns what is stored about one. No path contains a number."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from contracts import CampaignId, ContactId, PhoneNumber
from contracts.audit import AuditEntry
from edge.application.do_not_call import DoNotCallEntryResource, DoNotCallNumber
from edge.application.person_acts import PersonActs
from edge.application.persons import Certificate, Erasure, PersonalData
from edge.entrypoints.openapi import problems
from edge.entrypoints.resources import EventResource
from edge.entrypoints.scopes import AdminRoute, create_router, key_of

router = create_router(AdminRoute, "/persons", "Persons")
contact_router = create_router(AdminRoute, "/contacts", "Persons")

_ERASED: dict[int | str, dict[str, Any]] = {
    202: {"model": Erasure, "description": "Stored; the audit log has the certificate later"},
    **problems(404, 409),
}


class PersonToFind(BaseModel):
    """A person: the number, or a contact of a campaign."""

    model_config = ConfigDict(extra="forbid")

    phone_number: PhoneNumber | None = Field(default=None, description="E.164")
    contact_id: ContactId | None = None
    campaign_id: CampaignId | None = Field(default=None, description="of the contact; null: in any campaign")

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.phone_number is None) == (self.contact_id is None):
            raise ValueError("give phone_number or contact_id")
        if self.campaign_id and self.contact_id is None:
            raise ValueError("campaign_id is only for a contact_id")
        return self


class CallOfPerson(BaseModel):
    """A call with all its events."""

    id: UUID
    events: list[EventResource]


class Person(BaseModel):
    """Everything that is stored about a person."""

    id: str = Field(description="the keyed digest of the number")
    calls: list[CallOfPerson] = Field(description="what was said, and what happened")
    contacts: list[dict[str, Any]] = Field(description="contacts that wait for their calls")
    do_not_call: list[DoNotCallEntryResource]
    dialed_at: list[datetime] = Field(description="the dials that a frequency cap may count")
    erasure: Certificate | None = Field(description="the last erasure; null: none")
    acts: list[AuditEntry] = Field(description="on the calls and on the number, from the audit log")

    @classmethod
    def of(cls, data: PersonalData) -> "Person":
        """Returns the public form."""
        return cls(
            id=data.person,
            calls=[
                CallOfPerson(id=call_id, events=[EventResource.of(one) for one in events])
                for call_id, events in data.calls.items()
            ],
            contacts=[contact.model_dump(mode="json") for contact in data.contacts],
            do_not_call=DoNotCallNumber.of(data.number, None, None).entries,
            dialed_at=list(data.number.dialed_at),
            erasure=data.certificate,
            acts=list(data.acts),
        )


def _acts(request: Request) -> PersonActs:
    acts: PersonActs = request.app.state.person_acts
    return acts


async def _person_of(acts: PersonActs, named: PersonToFind) -> str:
    if named.phone_number is not None:
        return acts.persons.id_of(named.phone_number)
    return await acts.persons.of_contact(named.contact_id or "", named.campaign_id)


async def _erase(request: Request, response: Response, named: PersonToFind) -> Erasure:
    acts = _acts(request)
    erasure, is_finished = await acts.erase(key_of(request), await _person_of(acts, named))
    response.status_code = 200 if is_finished else 202
    return erasure


@router.post("/erase", name="person.erase", response_model=Erasure, responses=_ERASED)
async def erase_person(request: Request, named: PersonToFind, response: Response) -> Erasure:
    """Erases a person for good: open calls are canceled, waiting contacts removed, and the key is destroyed.

    Entries of do-not-call lists stay, without the number. A later request for the number brings the person back.
    """
    return await _erase(request, response, named)


@router.post("/export", response_model=Person, responses=problems(404, 409))
async def export_person(request: Request, named: PersonToFind) -> Person:
    """Returns everything that is stored about a person, with the number and what was said; reading is audited."""
    acts = _acts(request)
    return Person.of(await acts.read(key_of(request), await _person_of(acts, named)))


@contact_router.delete("/{contact_id:path}", name="person.erase", response_model=Erasure, responses=_ERASED)
async def erase_contact(
    request: Request,
    contact_id: ContactId,
    response: Response,
    campaign_id: Annotated[CampaignId | None, Query(description="left out: the contact of any campaign")] = None,
) -> Erasure:
    """Erases the person of a contact, in all campaigns. See `POST /persons/erase`."""
    return await _erase(request, response, PersonToFind(contact_id=contact_id, campaign_id=campaign_id))
