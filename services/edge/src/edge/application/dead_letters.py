"""Dead letters: lists without personal data, and acts, each with its entries in the audit log.

A dead letter is not of one campaign. So its routes require the scope `admin`, which no key of single campaigns has.
"""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from contracts.dead_letter_queries import (
    DeadLetterDetails,
    DeadLetterGroups,
    DeadLetterGroupsQuery,
    DeadLetterList,
    DeadLetterListQuery,
    DeadLetterOutcome,
    ListedDeadLetter,
)
from contracts.filters import subject_ids
from edge.application.audit_trail import AuditTrail
from edge.application.errors import Refused, UnknownDeadLetter
from edge.application.masking import mask_numbers
from edge.ports import Audit, DeadLetterDirectory


class DeadLetters:
    """Lists dead letters, and acts on them in the name of an API key. Every method raises Unavailable."""

    def __init__(self, directory: DeadLetterDirectory, audit: Audit) -> None:
        self._directory = directory
        self._audit = audit

    async def list_page(self, query: DeadLetterListQuery) -> DeadLetterList:
        """Returns one page of dead letters, the oldest first."""
        page = await self._directory.list_page(query)
        return page.model_copy(update={"dead_letters": tuple(map(mask_dead_letter, page.dead_letters))})

    async def count(self, query: DeadLetterGroupsQuery) -> DeadLetterGroups:
        """Returns the largest groups of dead letters."""
        found = await self._directory.count(query)
        groups = (
            group.model_copy(update={"message": mask_subject(group.message), "reason": mask_numbers(group.reason)})
            for group in found.groups
        )
        return found.model_copy(update={"groups": tuple(groups)})

    async def show(self, sequence: int) -> DeadLetterDetails:
        """Returns a dead letter and its message, without personal data. Raises UnknownDeadLetter."""
        found = await self._directory.show(sequence)
        if found.dead_letter is None:
            raise UnknownDeadLetter(sequence)
        changes: dict[str, Any] = {"dead_letter": mask_dead_letter(found.dead_letter)}
        if found.message:
            changes["message"] = found.message.model_copy(update={"message_id": mask_numbers(found.message.message_id)})
        return found.model_copy(update=changes)

    async def retry(self, key_name: str, sequence: int) -> DeadLetterOutcome:
        """Publishes the message again. Raises UnknownDeadLetter and Refused."""
        return await self._act(key_name, "dead_letter.retry", sequence, self._directory.retry)

    async def drop(self, key_name: str, sequence: int) -> DeadLetterOutcome:
        """Erases the dead letter. Raises UnknownDeadLetter and Refused."""
        return await self._act(key_name, "dead_letter.drop", sequence, self._directory.drop)

    async def _act(
        self, key_name: str, act: str, sequence: int, send: Callable[[int], Awaitable[DeadLetterOutcome]]
    ) -> DeadLetterOutcome:
        trail = AuditTrail(self._audit, act=act, target=str(sequence), key_name=key_name)

        async def do() -> tuple[DeadLetterOutcome, bool]:
            outcome = await send(sequence)
            if outcome.dead_letter is None:
                raise UnknownDeadLetter(sequence)
            if outcome.reason is not None:
                raise Refused((mask_numbers(outcome.reason),))
            return outcome, True

        outcome, _ = await trail.surround(do, _audited)
        return outcome


def mask_dead_letter(listed: ListedDeadLetter) -> ListedDeadLetter:
    """Returns a dead letter without numbers, and without what stands for one."""
    reasons = tuple(mask_numbers(reason) for reason in listed.reasons)
    return listed.model_copy(update={"subject": mask_subject(listed.subject), "reasons": reasons})


def mask_subject(subject: str) -> str:
    """Returns a subject whose tokens after the second are ids of calls, or ``*``: others may name a person."""
    tokens = subject.split(".")
    return ".".join([mask_numbers(".".join(tokens[:2])), *(_id_or_wildcard(token) for token in tokens[2:])])


def call_id_of_subject(subject: str) -> UUID | None:
    """Returns the id of the call in a subject, if it has one."""
    if len(subject.split(".")) < 3:
        return None
    try:
        return UUID(subject_ids(subject).get("call_id", ""))
    except ValueError:
        return None


def _id_or_wildcard(token: str) -> str:
    try:
        return str(UUID(token)) if len(token) == len(str(UUID(int=0))) else "*"
    except ValueError:
        return "*"


def _audited(outcome: DeadLetterOutcome) -> dict[str, Any]:
    assert outcome.dead_letter  # noqa: S101  `_act` has checked it
    fields = {"stream", "message_sequence", "consumer", "subject"}
    masked = mask_dead_letter(outcome.dead_letter).model_dump(include=fields)
    return {**masked, "stored_sequence": outcome.stored_sequence}
