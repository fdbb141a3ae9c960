"""Acts on calls and campaigns, and reading what was spoken, each with its entries in the audit log.

An entry is appended before the act, and a second one with its result before the answer. So no act happens without an
audit entry: if the first entry cannot be appended, no command is sent. A read has one entry, before the answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID, uuid5

import structlog

from chassis.event_log import StoredEvent, UnreadableEvent
from contracts import (
    CallCancelRequested,
    CallChangeRequested,
    CallEvent,
    CallRequested,
    CallStatus,
    CampaignChangeRequested,
    CampaignCommand,
    CampaignCreateRequested,
    CommandOutcome,
    call_id_of,
)
from contracts.audit import Stage
from edge.application.audit_trail import AuditTrail
from edge.application.bulk_retry import BulkRetry, Cursor, RetriedPage
from edge.application.calls import CallDetails, Calls, StoredRequest
from edge.application.campaigns import Campaign, Campaigns
from edge.application.dial_cap import DialCap, further_dials
from edge.application.errors import (
    CampaignNotAllowed,
    UnknownCall,
)
from edge.application.import_result import ImportCounts, ImportResult
from edge.application.keys import Key
from edge.application.masking import mask_call, mask_campaign, mask_request
from edge.application.read_costs import ReadCosts
from edge.application.recent import RecentlySeen
from edge.ports import Audit

READ_EVENTS, READ_NUMBER = "call.read_events", "call.read_number"
"""The acts of reading what was spoken, and of reading the telephone number beside it where it is masked otherwise."""
READ_SECONDS = 60
"""Further reads of one call by one key within this time have no entry of their own: a client may poll."""

T = TypeVar("T")

logger = structlog.get_logger()


class Acts:
    """Performs acts in the name of an API key. Every method raises Unavailable if the audit log cannot be written.

    If it is raised after the first entry, the act may have happened. The audit log then has an `undecided` entry or
    only the first entry.
    """

    def __init__(
        self,
        calls: Calls,
        campaigns: Campaigns,
        bulk_retry: BulkRetry,
        audit: Audit,
        dial_cap: DialCap,
        costs: ReadCosts,
    ) -> None:
        self._calls = calls
        self._costs = costs
        self._dial_cap = dial_cap
        self._campaigns = campaigns
        self._bulk_retry = bulk_retry
        self._audit = audit
        self._reads = RecentlySeen(READ_SECONDS)

    async def create(self, key: Key, request: CallRequested, request_id: str) -> StoredRequest:
        """Requests a call in the name of a key.

        Raises BacklogFull, CampaignNotAllowed, DailyCapReached, KeyReused, Refused and TooLarge.
        """
        call_id = call_id_of(request_id)
        trail = AuditTrail(
            self._audit, act="call.create", target=str(call_id), key_name=key.name, request=mask_request(request)
        )
        if not key.may_reach(request.campaign_id):
            refusal = CampaignNotAllowed(key)
            await trail.append(Stage.REFUSED, reasons=[str(refusal)])
            raise refusal

        async def reserve() -> None:
            is_open = self._dial_cap.depends_on_campaign(request)
            max_attempts = await self._campaigns.max_attempts(request.campaign_id) if is_open else None
            await self._dial_cap.reserve(key.name, self._dial_cap.dials_of(request, max_attempts), call_id)

        is_answered = asyncio.Event()

        async def record(outcome: CommandOutcome) -> None:
            await is_answered.wait()  # so that this entry is the last one
            await trail.append_outcome(outcome)

        async def place() -> tuple[StoredRequest, bool]:
            named = request.model_copy(update={"key_name": key.name})
            stored = await self._calls.create(named, request_id, reserve, record)
            return stored, stored.details is not None

        try:
            stored, _ = await trail.surround(place, _status_of)
        finally:
            is_answered.set()
        return stored

    async def read_events(self, key: Key, call_id: UUID) -> list[StoredEvent | UnreadableEvent]:
        """Returns the events of a call, which contain what was spoken. Raises UnknownCall and TooManyReads."""
        return await self.audited_read(key, call_id, lambda: self._calls.events(call_id), len)

    async def audited_read(
        self,
        key: Key,
        call_id: UUID,
        read: Callable[[], Awaitable[T]],
        size: Callable[[T], int],
        acts: Sequence[str] = (READ_EVENTS,),
    ) -> T:
        """Returns what `read` returns about a call, with an audit entry of each act. Re-raises its errors.

        `size` counts the events in it, which are charged to the key. Raises TooManyReads.
        """
        result = await self._costs.charged(key, read, size)
        for act in acts:
            if not self._reads.contains((key.name, call_id, act)):
                trail = AuditTrail(self._audit, act=act, target=str(call_id), key_name=key.name)
                await trail.append(Stage.ACCEPTED)
                self._reads.add((key.name, call_id, act))
        return result

    async def send_text(self, key_name: str, call_id: UUID, send: Callable[[], Awaitable[T]]) -> T:
        """Sends a text into a conversation by `send`, which returns the spoken reply. Re-raises its errors."""
        trail = AuditTrail(self._audit, act="call.send_text", target=str(call_id), key_name=key_name)

        async def act() -> tuple[T, bool]:
            return await send(), True

        reply, _ = await trail.surround(act, lambda _: None)
        return reply

    async def act_on_call(self, key_name: str, act: str, command: CallEvent) -> tuple[CallDetails, bool]:
        """Returns the call after the command, and whether it is decided.

        Raises BacklogFull, UnknownCall, DailyCapReached, Refused and TooLarge.
        """
        target = str(command.call_id)
        try:
            before = await self._calls.state(command.call_id)
        except UnknownCall as error:
            await self.record_refusal(key_name, act, target, [str(error)])
            raise
        fields = tuple(command.changes()) if isinstance(command, CallChangeRequested) else ()
        trail = AuditTrail(
            self._audit, act=act, target=target, key_name=key_name, fields=fields, before=mask_call(before)
        )

        async def reserve() -> None:
            await self._dial_cap.reserve(key_name, further_dials(command, before))

        return await trail.surround(
            lambda: self._calls.command(before, command, reserve), lambda after: mask_call(after.call)
        )

    async def cancel(self, key_name: str, act: str, command: CallCancelRequested) -> tuple[CallDetails | None, bool]:
        """Returns the call after the cancel, if its request is decided. Raises UnknownCall and Refused."""
        try:
            before = mask_call(await self._calls.state(command.call_id))
        except UnknownCall:  # its request may still be queued
            before = None
        trail = AuditTrail(self._audit, act=act, target=str(command.call_id), key_name=key_name, before=before)
        return await trail.surround(
            lambda: self._calls.cancel(command), lambda after: mask_call(after.call) if after else None
        )

    async def create_campaign(self, key: Key, act: str, command: CampaignCreateRequested) -> tuple[Campaign, bool]:
        """Returns the new campaign, and whether the command is decided. Raises CampaignNotAllowed and Refused."""
        if not key.may_reach(command.campaign_id):
            refusal = CampaignNotAllowed(key)
            await self.record_refusal(key.name, act, command.campaign_id, [str(refusal)])
            raise refusal
        return await self.act_on_campaign(key.name, act, command)

    async def act_on_campaign(self, key_name: str, act: str, command: CampaignCommand) -> tuple[Campaign, bool]:
        """Returns the campaign after the command, and whether it is decided. Raises Refused and TooLarge."""
        before = await self._campaigns.get(command.campaign_id)
        fields = _changed_terms(before, command) if isinstance(command, CampaignChangeRequested) else ()
        trail = AuditTrail(
            self._audit,
            act=act,
            target=command.campaign_id,
            key_name=key_name,
            fields=fields,
            before=mask_campaign(before),
        )
        return await trail.surround(lambda: self._campaigns.command(command), mask_campaign)

    async def retry_calls(
        self, key_name: str, act: str, campaign_id: str, statuses: tuple[CallStatus, ...], limit: int, cursor: Cursor
    ) -> RetriedPage:
        """Retries one page of a campaign's calls; the entries have the statuses and the counts.

        Raises BacklogFull, DailyCapReached, Refused and TooLarge.
        """
        request = {"retry_id": cursor.retry_id, "statuses": statuses, "limit": limit, "after": cursor.after}
        trail = AuditTrail(self._audit, act=act, target=campaign_id, key_name=key_name, request=request)

        async def reserve(call_ids: Sequence[UUID]) -> None:
            retries = uuid5(cursor.retry_id, " ".join(map(str, call_ids)))  # the same calls are retried once
            await self._dial_cap.reserve(key_name, len(call_ids), retries)

        async def retry() -> tuple[RetriedPage, bool]:
            await self._campaigns.raise_if_finished(campaign_id)
            page = await self._bulk_retry.retry(campaign_id, statuses, limit=limit, cursor=cursor, reserve=reserve)
            return page, not page.undecided

        page, _ = await trail.surround(retry, lambda page: page.model_dump(exclude={"campaign_id"}))
        return page

    async def import_contacts(
        self, key_name: str, counts: ImportCounts, work: Callable[[], Awaitable[None]]
    ) -> ImportResult:
        """Runs the import and returns its result; a dry run is no act.

        Raises Refused, ContactCapReached and ImportInterrupted.
        """

        async def run() -> tuple[ImportResult, bool]:
            await work()
            return counts.result(), True

        if counts.is_dry_run:
            return (await run())[0]
        trail = AuditTrail(self._audit, act="campaign.import_contacts", target=counts.campaign_id, key_name=key_name)
        result, _ = await trail.surround(run, _counts_of)
        return result

    async def record_refusal(self, key_name: str, act: str, target: str, reasons: Sequence[str]) -> None:
        """Appends an entry for an act that was refused before its target was read."""
        trail = AuditTrail(self._audit, act=act, target=target, key_name=key_name)
        await trail.append(Stage.REFUSED, reasons=reasons)


def _changed_terms(before: Campaign, command: CampaignChangeRequested) -> tuple[str, ...]:
    """Returns the names of the terms that the command changes."""
    terms = before.terms.model_dump() if before.terms else {}
    return tuple(name for name, value in command.terms.model_dump().items() if terms.get(name) != value)


def _counts_of(result: ImportResult) -> dict[str, Any]:
    return result.model_dump(include={"rows", "added", "duplicates", "refused"})


def _status_of(stored: StoredRequest) -> dict[str, Any] | None:
    return {"status": stored.details.call.status} if stored.details else None
