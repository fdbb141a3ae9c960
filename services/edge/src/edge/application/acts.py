"""Administrative acts on calls. Who does what is written down before it is done, and what came of it before the answer.

So no act is done that is not in the audit: if the first entry cannot be written, nothing is asked of the orchestrator.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import uuid_utils

from contracts import Call, CallChangeRequested, CallFact
from contracts.audit import AuditEntry, Stage
from edge.application.calls import Calls
from edge.application.masking import masked, shown
from edge.application.refusals import Refused, UnknownCall
from edge.ports import Audit, TooLarge, Unavailable


class Acts:
    """`who` is the name of a key. Everything raises Unavailable if the audit cannot be written."""

    def __init__(self, calls: Calls, audit: Audit) -> None:
        self._calls = calls
        self._audit = audit

    async def do(self, who: str, act: str, command: CallFact) -> tuple[Call, bool]:
        """The call after the command, and whether it is decided. Raises UnknownCall, Refused and TooLarge.

        Unavailable after the first entry does not say that the act was not done: the audit calls it undecided, or, if
        the audit went away in between, has that first entry alone.
        """
        try:
            before = await self._calls.get(command.call_id)
        except UnknownCall as error:
            await self.refused(who, act, command.call_id, [str(error)])
            raise
        story = _Story(self._audit, who, act, command, before)
        await story.tell(Stage.ASKED)
        try:
            call, decided = await self._calls.command(command)
        except Refused as refusal:
            await story.tell(Stage.REFUSED, reasons=refusal.reasons)
            raise
        except TooLarge as error:
            await story.tell(Stage.REFUSED, reasons=[str(error)])
            raise
        except Unavailable as error:
            await story.tell(Stage.UNDECIDED, reasons=[str(error)])
            raise
        try:
            await story.tell(Stage.ACCEPTED if decided else Stage.UNDECIDED, after=call)
        except Unavailable as error:
            raise Unavailable(f"{error}; the act may have been done, look at the call first") from error
        return call, decided

    async def refused(self, who: str, act: str, call_id: UUID, reasons: Sequence[str]) -> None:
        """Writes down an act that did not get as far as the call."""
        entry = AuditEntry(
            act_id=str(uuid_utils.uuid7()),
            act=act,
            target=str(call_id),
            who=who,
            at=datetime.now(UTC),
            stage=Stage.REFUSED,
            reasons=tuple(masked(reason) for reason in reasons),
        )
        await self._audit.append(entry)


class _Story:
    """The entries of one act."""

    def __init__(self, audit: Audit, who: str, act: str, command: CallFact, before: Call) -> None:
        self._audit = audit
        self._common = {
            "act_id": str(uuid_utils.uuid7()),
            "act": act,
            "target": str(command.call_id),
            "who": who,
            "fields": tuple(command.changes()) if isinstance(command, CallChangeRequested) else (),
            "before": shown(before),
        }

    async def tell(self, stage: Stage, *, after: Call | None = None, reasons: Sequence[str] = ()) -> None:
        told = {
            "stage": stage,
            "at": datetime.now(UTC),
            "after": shown(after) if after else None,
            "reasons": tuple(masked(reason) for reason in reasons),
        }
        await self._audit.append(AuditEntry.model_validate({**self._common, **told}))
