"""Acts on persons, each with its entries in the audit log. The digest stands for the number there."""

import structlog

from contracts import CommandOutcome
from contracts.audit import Stage
from edge.application.audit_trail import AuditTrail
from edge.application.errors import CampaignNotAllowed
from edge.application.keys import Key
from edge.application.persons import Erasure, PersonalData, Persons
from edge.ports import Audit, Unavailable

logger = structlog.get_logger()


class PersonActs:
    """Performs acts on persons in the name of an API key. Raises Unavailable if the audit log cannot be written.

    A person may have calls in all campaigns, so a key that is limited to campaigns may do neither.
    """

    def __init__(self, persons: Persons, audit: Audit) -> None:
        self.persons = persons
        self._audit = audit

    async def erase(self, key: Key, person: str) -> tuple[Erasure, bool]:
        """Erases a person; the certificate is in the audit log. Raises CampaignNotAllowed and Refused."""
        trail = AuditTrail(self._audit, act="person.erase", target=person, key_name=key.name)
        await self._check(key, trail)

        async def record(outcome: CommandOutcome) -> None:
            stage = Stage.ACCEPTED if outcome.accepted else Stage.REFUSED
            try:
                certificate = await self.persons.certificate(person)
                after = certificate.model_dump(mode="json") if certificate and outcome.accepted else None
                await trail.append(stage, after=after, reasons=outcome.reasons)
            except Unavailable as error:
                logger.error("late_outcome_not_recorded", act="person.erase", error=str(error))

        return await trail.surround(lambda: self.persons.erase(person, record), _certificate_in)

    async def read(self, key: Key, person: str) -> PersonalData:
        """Returns everything that is stored about a person. Raises CampaignNotAllowed."""
        trail = AuditTrail(self._audit, act="person.export", target=person, key_name=key.name)
        await self._check(key, trail)
        data = await self.persons.data_of(person)
        await trail.append(Stage.ACCEPTED)
        return data

    async def _check(self, key: Key, trail: AuditTrail) -> None:
        if key.campaigns is not None:
            refusal = CampaignNotAllowed(key)
            await trail.refuse(str(refusal))
            raise refusal


def _certificate_in(erasure: Erasure) -> dict[str, object] | None:
    return erasure.certificate.model_dump(mode="json") if erasure.certificate else None
