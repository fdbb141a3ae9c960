"""Carries out grants: the call is dialled, or its slot is released.

A grant is based on the campaign as the leader had it. It may be carried out later: its replica died, all replicas were
stopped, or a pause crossed it. So the campaign is read again for a grant that is delivered again, that is older than
`MAX_GRANT_SECONDS`, or whose campaign this replica knows to be closed. If it is not open, the call waits on, and its
slot is free; if it is finished, the call ends. The dial is restricted by the terms that were read (docs/adr/0029).
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from call_orchestrator import metrics
from call_orchestrator.application.call_decisions import read_late
from call_orchestrator.application.call_inputs import call_input
from call_orchestrator.application.calls import CallService
from call_orchestrator.application.open_campaigns import OpenCampaigns
from call_orchestrator.application.stored import load_call, load_campaign
from call_orchestrator.domain.decisions import Refused
from call_orchestrator.ports import Log, Timers
from chassis.retry_later import RetryLater
from chassis.time_mapping import REAL_TIME, TimeMapping
from contracts import AdmissionGranted, AdmissionReleased, Envelope

MAX_GRANT_SECONDS = 2.0
"""An older grant is carried out late. Longer than a delivery takes, so most grants cost no read of the campaign."""


class StaleRead(RetryLater):
    """The server that answered has not yet stored the event on which the grant is based.

    The wait ends when that server has caught up with the leader of the stream.
    """

    def __init__(self) -> None:
        super().__init__(delay=0.2)


class Grants:
    """Carries out grants."""

    def __init__(
        self,
        calls: CallService,
        log: Log,
        timers: Timers,
        now: Callable[[], datetime],
        campaigns: OpenCampaigns | None = None,
        mapping: TimeMapping = REAL_TIME,
    ) -> None:
        """`mapping`: from the time of the server, in which grants are stored, to that of `now`."""
        self._calls = calls
        self._log = log
        self._timers = timers
        self._now = now
        self._campaigns = campaigns
        self._mapping = mapping

    async def carry_out(
        self, grant: AdmissionGranted, *, sequence: int, cause: Envelope, is_redelivered: bool = False
    ) -> None:
        """Applies the grant to its call. Releases the slot if the call makes no decision. Raises StaleRead.

        The call is read once, unless it is dialled without a read. A second delivery is harmless: `CallService` decides
        a grant once, and the release always has the same id. A grant that is carried out late sets the timer of a call
        that still waits, because a call that was granted its slot at once has none. So the call ends also if the grant
        becomes a dead letter.
        """
        decoded = call_input(grant, cause, is_redelivered=is_redelivered)
        given = replace(decoded, grant_sequence=sequence)
        if is_late := is_redelivered or self._is_late(grant, cause):
            given = read_late(given, (await load_campaign(self._log, grant.campaign_id)).campaign)
        elif await self._calls.decide_recent(given):
            return
        before = await load_call(self._log, grant.call_id)
        if before is None or before.sequence < grant.due_sequence:
            raise StaleRead
        if is_late and before.call.is_queued and before.call.deadline_at:
            await self._timers.set(before.call, before.call.deadline_at, previous=None, cause=cause)
        after = await self._calls.carry_out(given, loaded=before)
        if not isinstance(after, Refused) and after.sequence < sequence and not after.call.status.is_live:
            release = AdmissionReleased(call_id=grant.call_id, attempt=grant.attempt, grant_sequence=sequence)
            await self._log.append(release, cause=cause, event_id=f"{cause.id}/released")
            metrics.RELEASED_SLOTS.inc()

    def _is_late(self, grant: AdmissionGranted, cause: Envelope) -> bool:
        """Whether the campaign may have been closed since the grant."""
        if self._campaigns and self._campaigns.is_closed(grant.campaign_id):
            return True
        age = self._now() - self._mapping.simulated(cause.time)
        return self._mapping.real_seconds(age) > MAX_GRANT_SECONDS
