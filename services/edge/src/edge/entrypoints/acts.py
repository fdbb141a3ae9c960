"""Administrative acts on calls and campaigns. Each is in the audit by the name of its route."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Response

from contracts import (
    Call,
    CallCancelRequested,
    CallChangeRequested,
    CallEvent,
    CallRetryRequested,
    CampaignEvent,
    CampaignId,
    CampaignPauseRequested,
    CampaignResumeRequested,
)
from edge.application.acts import Acts
from edge.application.campaigns import Campaign
from edge.entrypoints.bodies import CallChange, Pause
from edge.entrypoints.openapi import problems
from edge.entrypoints.scopes import CAMPAIGN, Acting, key_of, router

acts = router(Acting, "/calls", "Calls")
on_campaigns = router(Acting, "/campaigns", "Campaigns")


class _ActDispatcher:
    """The acts of whoever asks."""

    def __init__(self, request: Request) -> None:
        self._acts: Acts = request.app.state.acts
        self._who = key_of(request).name
        self._act: str = request.scope["route"].name

    async def do(self, command: CallEvent) -> tuple[Call, bool]:
        return await self._acts.do(self._who, self._act, command)

    async def do_to_campaign(self, command: CampaignEvent) -> Campaign:
        campaign, _ = await self._acts.do_to_campaign(self._who, self._act, command)
        return campaign


Desk = Annotated[_ActDispatcher, Depends(_ActDispatcher)]


@acts.put(
    "/{call_id:uuid}",
    name="call.change",
    response_model=Call,
    response_description="The call after the change",
    responses={202: {"model": Call, "description": "Stored, not yet decided"}, **problems(404, 409, 413)},
)
async def change_call(desk: Desk, call_id: UUID, change: CallChange, response: Response) -> Call:
    """Changes a call that has not been dialled; afterwards it is refused (409)."""
    call, decided = await desk.do(change.of(call_id))
    response.status_code = 200 if decided else 202
    return call


@acts.post(
    "/{call_id:uuid}/initiate",
    name="call.initiate",
    status_code=202,
    response_model=Call,
    responses=problems(404, 409),
)
async def initiate_call(desk: Desk, call_id: UUID) -> Call:
    """Dials a waiting call now, whenever it was scheduled for."""
    call, _ = await desk.do(CallChangeRequested(call_id=call_id, scheduled_at=datetime.now(UTC)))
    return call


@acts.post(
    "/{call_id:uuid}/cancel", name="call.cancel", status_code=202, response_model=Call, responses=problems(404, 409)
)
async def cancel_call(desk: Desk, call_id: UUID) -> Call:
    """Cancels a call that waits; one that rings or talks is hung up."""
    call, _ = await desk.do(CallCancelRequested(call_id=call_id))
    return call


@acts.post(
    "/{call_id:uuid}/retry", name="call.retry", status_code=202, response_model=Call, responses=problems(404, 409)
)
async def retry_call(desk: Desk, call_id: UUID) -> Call:
    """Dials once more a call that has ended without success; refused (409) when its retries are used up."""
    call, _ = await desk.do(CallRetryRequested(call_id=call_id))
    return call


@on_campaigns.post(
    f"/{CAMPAIGN}/pause",
    name="campaign.pause",
    status_code=202,
    response_model=Campaign,
    response_description="The campaign; not paused: stored, not yet decided",
    responses=problems(409),
)
async def pause_campaign(desk: Desk, campaign_id: CampaignId, pause: Pause | None = None) -> Campaign:
    """Begins no more calls of the campaign, and takes requests for it as before; again, it changes nothing.

    Calls that have been given their slot go on. Those that wait keep their time: they expire, and can be changed and
    canceled. A campaign may be paused before it has any calls.
    """
    reason = pause.reason if pause else None
    return await desk.do_to_campaign(CampaignPauseRequested(campaign_id=campaign_id, reason=reason))


@on_campaigns.post(
    f"/{CAMPAIGN}/resume",
    name="campaign.resume",
    status_code=202,
    response_model=Campaign,
    response_description="The campaign; still paused: stored, not yet decided",
    responses=problems(409),
)
async def resume_campaign(desk: Desk, campaign_id: CampaignId) -> Campaign:
    """Goes on with the campaign: what has waited is dialled, in turns with others. Again, it changes nothing."""
    return await desk.do_to_campaign(CampaignResumeRequested(campaign_id=campaign_id))
