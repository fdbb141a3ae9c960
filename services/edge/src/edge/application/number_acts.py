"""Acts on do-not-call lists, each with its entries in the audit log. The digest stands for the number there."""

from typing import Any

from edge.application.acts import AuditTrail
from edge.application.do_not_call import DoNotCallLists, DoNotCallNumber, ImportedNumbers
from edge.application.errors import CampaignNotAllowed
from edge.application.keys import Key
from edge.ports import Audit

IMPORTED = "imported-numbers"
"""The target of the entries of an import."""


class NumberActs:
    """Performs acts on the lists in the name of an API key. Raises Unavailable if the audit log cannot be written."""

    def __init__(self, lists: DoNotCallLists, audit: Audit) -> None:
        self.lists = lists
        self._audit = audit

    async def add(self, key: Key, phone_number: str, campaign_id: str | None) -> tuple[DoNotCallNumber, bool]:
        """Lists a number. Raises CampaignNotAllowed and Refused."""
        trail = self._trail(key, "number.block", self.lists.id_of(phone_number), campaign_id)
        await self._check(key, campaign_id, trail)
        return await trail.surround(lambda: self.lists.add(phone_number, campaign_id), _masked)

    async def remove(self, key: Key, number_id: str, campaign_id: str | None) -> tuple[DoNotCallNumber, bool]:
        """Removes an entry. Raises CampaignNotAllowed and Refused."""
        trail = self._trail(key, "number.unblock", number_id, campaign_id)
        await self._check(key, campaign_id, trail)
        return await trail.surround(lambda: self.lists.remove(number_id, campaign_id), _masked)

    async def import_csv(self, key: Key, text: str) -> ImportedNumbers:
        """Lists the numbers of a CSV file. Raises WrongHeader."""
        trail = AuditTrail(self._audit, act="number.import", target=IMPORTED, key_name=key.name)

        async def act() -> tuple[ImportedNumbers, bool]:
            result = await self.lists.import_csv(text, key.campaigns)
            return result, not result.undecided

        result, _ = await trail.surround(act, lambda done: done.model_dump(exclude={"refused_rows"}))
        return result

    def _trail(self, key: Key, act: str, number_id: str, campaign_id: str | None) -> AuditTrail:
        request = {"campaign_id": campaign_id}
        return AuditTrail(self._audit, act=act, target=number_id, key_name=key.name, request=request)

    async def _check(self, key: Key, campaign_id: str | None, trail: AuditTrail) -> None:
        if key.campaigns is None or campaign_id in key.campaigns:
            return
        refusal = CampaignNotAllowed(key)
        await trail.refuse(str(refusal))
        raise refusal


def _masked(number: DoNotCallNumber) -> dict[str, Any]:
    return number.model_dump(mode="json", exclude={"phone_number"})
