"""Administrative acts on calls and campaigns. Who does what is written down before it is done, and what came of it
before the answer.

So no act is done that is not in the audit: if the first entry cannot be written, nothing is asked of the orchestrator.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import uuid_utils

from contracts import Call, CallChangeRequested, CallEvent, CampaignEvent
from contracts.audit import AuditEntry, Stage
from edge.application.calls import Calls
from edge.application.campaigns import Campaign, Campaigns
from edge.application.errors import Refused, UnknownCall
from edge.application.masking import masked, shown, shown_campaign
from edge.ports import Audit, TooLarge, Unavailable

Shown = dict[str, Any]
T = TypeVar("T", Call, Campaign)
Decided = Awaitable[tuple[T, bool]]
"""What was acted on as it then stands, and whether the act is decided."""


class Acts:
    """`who` is the name of a key. Everything raises Unavailable if the audit cannot be written.

    Unavailable after the first entry does not say that an act was not done: the audit calls it undecided, or, if the
    audit went away in between, has that first entry alone.
    """

    def __init__(self, calls: Calls, campaigns: Campaigns, audit: Audit) -> None:
        self._calls = calls
        self._campaigns = campaigns
        self._audit = audit

    async def do(self, who: str, act: str, command: CallEvent) -> tuple[Call, bool]:
        """The call after the command, and whether it is decided. Raises UnknownCall, Refused and TooLarge."""
        target = str(command.call_id)
        try:
            before = await self._calls.get(command.call_id)
        except UnknownCall as error:
            await self.refused(who, act, target, [str(error)])
            raise
        fields = tuple(command.changes()) if isinstance(command, CallChangeRequested) else ()
        story = _AuditTrail(self._audit, act=act, target=target, key_name=who, fields=fields, before=shown(before))
        return await story.of(lambda: self._calls.command(command), shown)

    async def do_to_campaign(self, who: str, act: str, command: CampaignEvent) -> tuple[Campaign, bool]:
        """The campaign after the command, and whether it is decided. Raises Refused and TooLarge."""
        before = await self._campaigns.get(command.campaign_id)
        story = _AuditTrail(
            self._audit, act=act, target=command.campaign_id, key_name=who, before=shown_campaign(before)
        )
        return await story.of(lambda: self._campaigns.command(command), shown_campaign)

    async def refused(self, who: str, act: str, target: str, reasons: Sequence[str]) -> None:
        """Writes down an act that did not get as far as its target."""
        await _AuditTrail(self._audit, act=act, target=target, key_name=who).tell(Stage.REFUSED, reasons=reasons)


class _AuditTrail:
    """The entries of one act, and what is common to them."""

    def __init__(self, audit: Audit, **common: object) -> None:
        self._audit = audit
        self._common = {"act_id": str(uuid_utils.uuid7()), **common}

    async def of(self, act: Callable[[], Decided[T]], show: Callable[[T], Shown]) -> tuple[T, bool]:
        """Does the act between its entries."""
        await self.tell(Stage.ASKED)
        try:
            after, decided = await act()
        except Refused as refusal:
            await self.tell(Stage.REFUSED, reasons=refusal.reasons)
            raise
        except TooLarge as error:
            await self.tell(Stage.REFUSED, reasons=[str(error)])
            raise
        except Unavailable as error:
            await self.tell(Stage.UNDECIDED, reasons=[str(error)])
            raise
        try:
            await self.tell(Stage.ACCEPTED if decided else Stage.UNDECIDED, after=show(after))
        except Unavailable as error:
            raise Unavailable(f"{error}; the act may have been done, look at it first") from error
        return after, decided

    async def tell(self, stage: Stage, *, after: Shown | None = None, reasons: Sequence[str] = ()) -> None:
        told = {
            "stage": stage,
            "recorded_at": datetime.now(UTC),
            "after": after,
            "reasons": tuple(masked(reason) for reason in reasons),
        }
        await self._audit.append(AuditEntry.model_validate({**self._common, **told}))
