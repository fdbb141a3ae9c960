"""Finding the calls of a telephone number. The digest stands for the number in the query and in the audit log."""

from contracts import NumberCallsQuery
from contracts.audit import Stage
from contracts.number_digests import NumberDigests
from edge.application.audit_trail import AuditTrail
from edge.application.lists import CallPage, Lists
from edge.ports import Audit


class NumberSearch:
    """Finds the calls of a number in the name of an API key. Each search has an entry in the audit log."""

    def __init__(self, lists: Lists, digests: NumberDigests, audit: Audit) -> None:
        self._lists = lists
        self._digests = digests
        self._audit = audit

    def query(self, phone_number: str, **fields: object) -> NumberCallsQuery:
        """Returns the query for the calls of a number; `fields` are the others of the query."""
        return NumberCallsQuery.model_validate({**fields, "number_digest": self._digests.of(phone_number)})

    async def calls(self, key_name: str, query: NumberCallsQuery) -> CallPage:
        """Returns one page of calls. Raises Unavailable."""
        page = await self._lists.calls(query)
        trail = AuditTrail(self._audit, act="number.search", target=query.number_digest, key_name=key_name)
        await trail.append(Stage.ACCEPTED)
        return page
