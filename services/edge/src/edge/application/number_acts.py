"""Acts on do-not-call lists, each with its entries in the audit log. The digest stands for the number there."""

from typing import Any

from contracts.number_state import ListScope
from edge.application.audit_trail import AuditTrail
from edge.application.contact_cap import ContactCap
from edge.application.do_not_call import DoNotCallLists, DoNotCallNumber
from edge.application.errors import CampaignNotAllowed
from edge.application.keys import Key
from edge.application.number_import import ImportedNumbers, NumberImports
from edge.application.running_imports import RunningImports
from edge.ports import Audit

IMPORTED = "imported-numbers"
"""The target of the entries of an import."""


class NumberActs:
    """Performs acts on the lists in the name of an API key. Raises Unavailable if the audit log cannot be written."""

    def __init__(
        self, lists: DoNotCallLists, imports: NumberImports, audit: Audit, cap: ContactCap | None = None
    ) -> None:
        """`cap`: of the numbers that a key may import a day; None: no cap."""
        self.lists = lists
        self._audit = audit
        self._cap = cap
        self._imports = imports
        self._running = RunningImports()

    async def add(self, key: Key, phone_number: str, scope: ListScope) -> tuple[DoNotCallNumber, bool]:
        """Lists a number. Raises CampaignNotAllowed and Refused."""
        trail = self._trail(key, "number.block", self.lists.id_of(phone_number), scope)
        await self._check(key, scope, trail)
        return await trail.surround(lambda: self.lists.add(phone_number, scope, key.campaigns), _masked)

    async def remove(self, key: Key, number_id: str, scope: ListScope) -> tuple[DoNotCallNumber, bool]:
        """Removes an entry. Raises CampaignNotAllowed and Refused."""
        trail = self._trail(key, "number.unblock", number_id, scope)
        await self._check(key, scope, trail)
        return await trail.surround(lambda: self.lists.remove(number_id, scope, key.campaigns), _masked)

    async def import_csv(self, key: Key, text: str) -> ImportedNumbers:
        """Lists the numbers of a CSV file. Raises Unacceptable, NumberCapReached and TooManyImports."""
        trail = AuditTrail(self._audit, act="number.import", target=IMPORTED, key_name=key.name)

        async def act() -> tuple[ImportedNumbers, bool]:
            reserved = self._cap.of_numbers(key.name) if self._cap else None
            result = await self._imports.import_csv(text, key.campaigns, reserved)
            return result, not result.undecided

        with self._running.counted(key):
            result, _ = await trail.surround(act, lambda done: done.model_dump(exclude={"refused_rows"}))
        return result

    def _trail(self, key: Key, act: str, number_id: str, scope: ListScope) -> AuditTrail:
        return AuditTrail(self._audit, act=act, target=number_id, key_name=key.name, request=scope._asdict())

    async def _check(self, key: Key, scope: ListScope, trail: AuditTrail) -> None:
        if key.campaigns is None or scope.campaign_id in key.campaigns:
            return
        refusal = CampaignNotAllowed(key)
        await trail.refuse(str(refusal))
        raise refusal


def _masked(number: DoNotCallNumber) -> dict[str, Any]:
    return number.model_dump(mode="json", exclude={"phone_number"})
