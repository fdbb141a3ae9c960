"""The REST API that reads what occupies slots and what waits for one, under ``/api/v1/admission``."""

from typing import Annotated

from fastapi import Query, Request

from contracts import CampaignId
from contracts.queries import AdmissionState
from edge.entrypoints.openapi import problems
from edge.entrypoints.scopes import ReadRoute, create_router
from edge.ports import SlotReader

router = create_router(ReadRoute, "/admission", "Campaigns")


@router.get("", response_model=AdmissionState, responses=problems(404))
async def get_admission(
    request: Request,
    campaign_id: Annotated[CampaignId | None, Query(description="only this campaign; default: all")] = None,
) -> AdmissionState:
    """Returns the calls in progress, those that wait for a slot, the dials of the last minute, and their limits.

    call-orchestrator answers from what it has read of the log. A key that is limited to campaigns names one of them.
    """
    admission: SlotReader = request.app.state.admission
    return await admission.read(campaign_id)
