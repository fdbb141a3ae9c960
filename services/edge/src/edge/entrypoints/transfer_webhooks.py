"""The webhooks about transfers: that of the callee's line, and those of the leg to a person."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from edge.application.dialogue import DialogueService
from edge.application.transfers import Transfers
from edge.domain.occurrences import TransferReported
from edge.entrypoints.webhook_requests import FORM_BODY, Attempt, Turn, form_of, instruction_options, rendering
from telephony.provider import WebhookProvider
from telephony.routes import Webhook


def add_transfer_routes(
    router: APIRouter, provider: WebhookProvider, dialogue: DialogueService, transfers: Transfers
) -> None:
    """Adds the routes of `telephony.routes.TRANSFER_WEBHOOKS`."""
    options, render = instruction_options(provider), rendering(provider)
    report: dict[str, Any] = {"status_code": 204, "response_class": Response, "openapi_extra": FORM_BODY}

    @router.post(Webhook.TRANSFER_ENDED.template, name=Webhook.TRANSFER_ENDED, **options)
    async def transfer_ended(request: Request, call_id: UUID, attempt: Attempt, turn: Turn) -> Response:
        """The leg to a person has ended: the call ends, or the conversation goes on if no person was connected."""
        leg = provider.parse_transfer(form_of(request))
        reported = TransferReported(attempt, turn, leg.status, leg.seconds, leg.is_bridged)
        return render(await dialogue.respond(call_id, reported), request)

    @router.post(Webhook.TRANSFER_ANSWERED.template, name=Webhook.TRANSFER_ANSWERED, **report)
    async def transfer_answered(request: Request, call_id: UUID, attempt: Attempt, turn: Turn) -> Response:
        """The person of a cold transfer has answered, and is connected with the callee."""
        if provider.is_answered(form_of(request)):
            await transfers.note_answer(call_id, attempt, turn)
        return Response(status_code=204)

    @router.post(Webhook.TRANSFER_OFFERED.template, name=Webhook.TRANSFER_OFFERED, **options)
    async def transfer_offered(request: Request, call_id: UUID, attempt: Attempt, turn: Turn) -> Response:
        """The person of a warm transfer has answered, and hears whom the callee is and why."""
        return render(await transfers.offer(call_id, attempt, turn), request)

    @router.post(Webhook.TRANSFER_CHOSEN.template, name=Webhook.TRANSFER_CHOSEN, **options)
    async def transfer_chosen(request: Request, call_id: UUID, attempt: Attempt, turn: Turn) -> Response:
        """The person of a warm transfer has pressed a key: both are connected, or this leg ends."""
        key = provider.parse_key(form_of(request))
        return render(await transfers.choose(call_id, attempt, turn, key), request)
