"""The REST API of administrative acts on calls and campaigns. A route's name is the act's name in the audit log."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request, Response

from contracts import (
    CallCancelRequested,
    CallChangeRequested,
    CallEvent,
    CallRetryRequested,
    CampaignChangeRequested,
    CampaignCommand,
    CampaignFinishRequested,
    CampaignId,
    CampaignPauseRequested,
    CampaignResumeRequested,
    CampaignStartRequested,
    RequestedTerms,
)
from edge.application.acts import Acts
from edge.application.bulk_retry import Cursor, RetriedPage
from edge.application.campaigns import Campaign
from edge.entrypoints.audit import MAX_SEQUENCE
from edge.entrypoints.campaign_resources import NewCampaign, Pause
from edge.entrypoints.openapi import problems
from edge.entrypoints.resources import (
    CallChange,
    CallResource,
    CallSelection,
    InitiatedCall,
    StoredCancel,
)
from edge.entrypoints.scopes import CAMPAIGN, PREFIX, ActRoute, CreateRoute, create_router, key_of

call_router = create_router(ActRoute, "/calls", "Calls")
campaign_router = create_router(ActRoute, "/campaigns", "Campaigns")
create_campaign_router = create_router(CreateRoute, "/campaigns", "Campaigns")


class ActDispatcher:
    """Performs the act of the requested route in the name of the request's key."""

    def __init__(self, acts: Acts, key_name: str, act: str) -> None:
        self._acts = acts
        self._key_name = key_name
        self._act = act

    async def act_on_call(self, command: CallEvent) -> tuple[CallResource, bool]:
        """Returns the call after the command, and whether the command is decided."""
        details, is_decided = await self._acts.act_on_call(self._key_name, self._act, command)
        return CallResource.of(details), is_decided

    async def cancel(self, command: CallCancelRequested) -> CallResource | StoredCancel:
        """Returns the call after the cancel; while its request is not decided, only that the cancel is stored."""
        details, _ = await self._acts.cancel(self._key_name, self._act, command)
        return CallResource.of(details) if details else StoredCancel(id=command.call_id)

    async def act_on_campaign(self, command: CampaignCommand) -> tuple[Campaign, bool]:
        """Returns the campaign after the command, and whether the command is decided."""
        return await self._acts.act_on_campaign(self._key_name, self._act, command)

    async def retry_calls(self, campaign_id: str, calls: CallSelection) -> RetriedPage:
        """Retries one page of a campaign's calls."""
        cursor = Cursor.parse(calls.cursor) if calls.cursor else Cursor.begin()
        return await self._acts.retry_calls(
            self._key_name, self._act, campaign_id, tuple(calls.statuses), calls.limit, cursor
        )


async def _dispatcher(request: Request) -> ActDispatcher:
    return ActDispatcher(request.app.state.acts, key_of(request).name, request.scope["route"].name)


Dispatcher = Annotated[ActDispatcher, Depends(_dispatcher)]
Version = Annotated[
    int | None, Query(ge=0, le=MAX_SEQUENCE, description="`version` of the campaign that is replaced; null: any")
]


@call_router.put(
    "/{call_id:uuid}",
    name="call.change",
    response_model=CallResource,
    response_description="The call after the change",
    responses={202: {"model": CallResource, "description": "Stored, not yet decided"}, **problems(404, 409, 413)},
)
async def change_call(dispatcher: Dispatcher, call_id: UUID, change: CallChange, response: Response) -> CallResource:
    """Changes a call before it is dialled, or its ``metadata`` until it ends; later changes are refused (409)."""
    call, is_decided = await dispatcher.act_on_call(change.command(call_id))
    response.status_code = 200 if is_decided else 202
    return call


@call_router.post(
    "/{call_id:uuid}/initiate",
    name="call.initiate",
    status_code=202,
    response_model=InitiatedCall,
    responses=problems(404, 409),
)
async def initiate_call(dispatcher: Dispatcher, call_id: UUID) -> InitiatedCall:
    """Makes a waiting call due now, or at the next time at which it may be dialled, even before its scheduled time."""
    call, is_decided = await dispatcher.act_on_call(
        CallChangeRequested(call_id=call_id, scheduled_at=datetime.now(UTC))
    )
    message = "the call is due now and is dialled when it has a slot" if is_decided else "stored, not yet decided"
    if is_decided and call.permission:
        message = f"the call may not be dialled now; it is due at the next permitted time: {call.permission.detail}"
    return InitiatedCall(message=message, call=call)


@call_router.post(
    "/{call_id:uuid}/cancel",
    name="call.cancel",
    status_code=202,
    response_model=CallResource | StoredCancel,
    responses=problems(404, 409),
)
async def cancel_call(dispatcher: Dispatcher, call_id: UUID) -> CallResource | StoredCancel:
    """Cancels a waiting call, or hangs up a live one.

    A call whose request was answered with 202 can be canceled before it is decided: it is never dialled.
    """
    return await dispatcher.cancel(CallCancelRequested(call_id=call_id))


@call_router.post(
    "/{call_id:uuid}/retry",
    name="call.retry",
    status_code=202,
    response_model=CallResource,
    responses={**problems(400, 404, 409)},
)
async def retry_call(dispatcher: Dispatcher, call_id: UUID) -> CallResource:
    """Dials a call again after it ended without success; beyond ``max_retries`` the answer is 400."""
    call, _ = await dispatcher.act_on_call(CallRetryRequested(call_id=call_id))
    return call


@create_campaign_router.post(
    "",
    name="campaign.create",
    status_code=201,
    response_model=Campaign,
    responses={202: {"model": Campaign, "description": "Stored, not yet decided"}, **problems(409)},
)
async def create_campaign(request: Request, campaign: NewCampaign, response: Response) -> Campaign:
    """Creates a campaign. It is a draft: no call of it is granted a slot before it is started.

    The same campaign again changes nothing; one with other terms is refused (409). An id that calls already use may be
    created, too: its waiting calls then wait for the start.
    """
    acts: Acts = request.app.state.acts
    created, is_decided = await acts.create_campaign(key_of(request), "campaign.create", campaign.command())
    response.status_code = 201 if is_decided else 202
    response.headers["Location"] = f"{PREFIX}/campaigns/{campaign.campaign_id}"
    return created


@campaign_router.put(
    f"/{CAMPAIGN}",
    name="campaign.change",
    response_model=Campaign,
    response_description="The campaign after the change",
    responses={202: {"model": Campaign, "description": "Stored, not yet decided"}, **problems(404, 409)},
)
async def change_campaign(
    dispatcher: Dispatcher, campaign_id: CampaignId, terms: RequestedTerms, response: Response, version: Version = None
) -> Campaign:
    """Replaces the terms of a campaign, for all of its calls that have no slot yet. Left out: the default.

    With the `version` of a campaign that was read, a change that another person made meanwhile is not overwritten:
    this one is refused (409).
    """
    campaign, is_decided = await dispatcher.act_on_campaign(
        CampaignChangeRequested(campaign_id=campaign_id, terms=terms, campaign_version=version)
    )
    response.status_code = 200 if is_decided else 202
    return campaign


@campaign_router.post(
    f"/{CAMPAIGN}/start",
    name="campaign.start",
    status_code=202,
    response_model=Campaign,
    response_description="The campaign; if it is a draft, the command is stored and not yet decided",
    responses=problems(404, 409),
)
async def start_campaign(dispatcher: Dispatcher, campaign_id: CampaignId) -> Campaign:
    """Starts a campaign: its calls are granted slots within its period. Starting it again changes nothing."""
    campaign, _ = await dispatcher.act_on_campaign(CampaignStartRequested(campaign_id=campaign_id))
    return campaign


@campaign_router.post(
    f"/{CAMPAIGN}/finish",
    name="campaign.finish",
    status_code=202,
    response_model=Campaign,
    response_description="The campaign; if it is not finished, the command is stored and not yet decided",
    responses=problems(404, 409),
)
async def finish_campaign(dispatcher: Dispatcher, campaign_id: CampaignId) -> Campaign:
    """Finishes a campaign for good. Its live calls continue, its waiting calls expire, and requests are refused."""
    campaign, _ = await dispatcher.act_on_campaign(CampaignFinishRequested(campaign_id=campaign_id))
    return campaign


@campaign_router.post(
    f"/{CAMPAIGN}/pause",
    name="campaign.pause",
    status_code=202,
    response_model=Campaign,
    response_description="The campaign; if it is not paused, the command is stored and not yet decided",
    responses=problems(404, 409),
)
async def pause_campaign(dispatcher: Dispatcher, campaign_id: CampaignId, pause: Pause | None = None) -> Campaign:
    """Pauses a campaign: none of its calls is granted a slot. Pausing a paused campaign changes nothing.

    Calls that have a slot continue. Waiting calls do not expire during the pause, and after it they have as much time
    as they had left before; they can be changed and canceled. New requests are accepted until `MAX_BACKLOG` of its
    calls wait; those of other campaigns are not affected. A campaign may be paused before it has calls.
    """
    reason = pause.reason if pause else None
    campaign, _ = await dispatcher.act_on_campaign(CampaignPauseRequested(campaign_id=campaign_id, reason=reason))
    return campaign


@campaign_router.post(
    f"/{CAMPAIGN}/resume",
    name="campaign.resume",
    status_code=202,
    response_model=Campaign,
    response_description="The campaign; if it is still paused, the command is stored and not yet decided",
    responses=problems(404, 409),
)
async def resume_campaign(dispatcher: Dispatcher, campaign_id: CampaignId) -> Campaign:
    """Resumes a campaign: its waiting calls are granted slots again. Resuming a running campaign changes nothing."""
    campaign, _ = await dispatcher.act_on_campaign(CampaignResumeRequested(campaign_id=campaign_id))
    return campaign


@campaign_router.post(
    f"/{CAMPAIGN}/retry",
    name="campaign.retry",
    status_code=202,
    response_model=RetriedPage,
    response_description="What became of these calls, and the cursor of the next page",
    responses=problems(404, 409),
)
async def retry_calls(dispatcher: Dispatcher, campaign_id: CampaignId, calls: CallSelection) -> RetriedPage:
    """Dials the campaign's calls with these statuses again, a page at a time, as `/calls/{id}/retry` does for one.

    Repeat the request with `next` as the cursor until it is null. A page that is repeated retries no call twice. The
    calls are those that MongoDB knows, which may be a moment behind the log. Refused if the campaign is finished (409).
    """
    return await dispatcher.retry_calls(campaign_id, calls)
