"""Administrative acts on calls and campaigns, each with its entries in the audit log.

An entry is appended before the act, and a second one with its result before the answer. So no act happens without an
audit entry: if the first entry cannot be appended, no command is sent.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import uuid_utils

from contracts import CallChangeRequested, CallEvent, CampaignEvent
from contracts.audit import AuditEntry, Stage
from edge.application.calls import CallDetails, Calls
from edge.application.campaigns import Campaign, Campaigns
from edge.application.errors import Refused, UnknownCall
from edge.application.masking import mask_call, mask_campaign, mask_numbers
from edge.ports import Audit, TooLarge, Unavailable

T = TypeVar("T", CallDetails, Campaign)


class Acts:
    """Performs acts in the name of an API key. Every method raises Unavailable if the audit log cannot be written.

    If it is raised after the first entry, the act may have happened. The audit log then has an `undecided` entry or
    only the first entry.
    """

    def __init__(self, calls: Calls, campaigns: Campaigns, audit: Audit) -> None:
        self._calls = calls
        self._campaigns = campaigns
        self._audit = audit

    async def act_on_call(self, key_name: str, act: str, command: CallEvent) -> tuple[CallDetails, bool]:
        """Returns the call after the command, and whether it is decided. Raises UnknownCall, Refused and TooLarge."""
        target = str(command.call_id)
        try:
            before = await self._calls.get(command.call_id)
        except UnknownCall as error:
            await self.record_refusal(key_name, act, target, [str(error)])
            raise
        fields = tuple(command.changes()) if isinstance(command, CallChangeRequested) else ()
        trail = AuditTrail(
            self._audit, act=act, target=target, key_name=key_name, fields=fields, before=mask_call(before.call)
        )
        return await trail.surround(lambda: self._calls.command(command), lambda after: mask_call(after.call))

    async def act_on_campaign(self, key_name: str, act: str, command: CampaignEvent) -> tuple[Campaign, bool]:
        """Returns the campaign after the command, and whether it is decided. Raises Refused and TooLarge."""
        before = await self._campaigns.get(command.campaign_id)
        trail = AuditTrail(
            self._audit, act=act, target=command.campaign_id, key_name=key_name, before=mask_campaign(before)
        )
        return await trail.surround(lambda: self._campaigns.command(command), mask_campaign)

    async def record_refusal(self, key_name: str, act: str, target: str, reasons: Sequence[str]) -> None:
        """Appends an entry for an act that was refused before its target was read."""
        trail = AuditTrail(self._audit, act=act, target=target, key_name=key_name)
        await trail.append(Stage.REFUSED, reasons=reasons)


class AuditTrail:
    """The entries of one act; `fields` are the values that all of them share."""

    def __init__(self, audit: Audit, **fields: object) -> None:
        self._audit = audit
        self._fields = {"act_id": str(uuid_utils.uuid7()), **fields}

    async def surround(
        self, act: Callable[[], Awaitable[tuple[T, bool]]], mask: Callable[[T], dict[str, Any]]
    ) -> tuple[T, bool]:
        """Performs the act between its two entries and returns its result. Re-raises its errors."""
        await self.append(Stage.ASKED)
        try:
            after, is_decided = await act()
        except Refused as refusal:
            await self.append(Stage.REFUSED, reasons=refusal.reasons)
            raise
        except TooLarge as error:
            await self.append(Stage.REFUSED, reasons=[str(error)])
            raise
        except Unavailable as error:
            await self.append(Stage.UNDECIDED, reasons=[str(error)])
            raise
        try:
            await self.append(Stage.ACCEPTED if is_decided else Stage.UNDECIDED, after=mask(after))
        except Unavailable as error:
            raise Unavailable(f"{error}; the act may have happened, check its target first") from error
        return after, is_decided

    async def append(self, stage: Stage, *, after: dict[str, Any] | None = None, reasons: Sequence[str] = ()) -> None:
        """Appends one entry."""
        entry = {
            **self._fields,
            "stage": stage,
            "recorded_at": datetime.now(UTC),
            "after": after,
            "reasons": tuple(mask_numbers(reason) for reason in reasons),
        }
        await self._audit.append(AuditEntry.model_validate(entry))
