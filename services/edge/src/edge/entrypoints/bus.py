"""The same door on the bus: a ``call.requested`` body sent as a NATS request, answered with what became of it."""

import uuid_utils
from faststream.nats import NatsRouter

from chassis.subscriptions import body_of
from contracts import CallRequested, CommandOutcome, InvalidMessage, call_id_of, decode
from contracts.queries import CALL_REQUEST
from edge.application.calls import Calls
from edge.application.errors import KeyReused, Refused
from edge.ports import TooLarge, Unavailable

QUEUE = "edge"


def build_router(calls: Calls) -> NatsRouter:
    """Answers on `CALL_REQUEST`. The same ``request_id`` again is the same call, so asking twice is harmless."""
    router = NatsRouter()

    async def on_request(body: bytes) -> CommandOutcome:
        try:
            request = decode(CallRequested.event_name, body)
        except InvalidMessage as error:
            return CommandOutcome(accepted=False, reasons=tuple(error.reasons))
        assert isinstance(request, CallRequested)  # noqa: S101  the subject names the type
        return await _place(calls, request)

    router.subscriber(CALL_REQUEST, queue=QUEUE, max_workers=64, decoder=body_of, title=CALL_REQUEST)(on_request)
    return router


async def _place(calls: Calls, request: CallRequested) -> CommandOutcome:
    request_id = request.request_id or str(uuid_utils.uuid7())
    asked = CommandOutcome(accepted=False, call_id=call_id_of(request_id), request_id=request_id)
    try:
        placed = await calls.place(request, request_id)
    except Refused as refusal:
        return asked.model_copy(update={"reasons": refusal.reasons})
    except KeyReused as reuse:
        reasons = tuple(f"{name}: differs from the first request of this request_id" for name in reuse.fields)
        return asked.model_copy(update={"reasons": reasons})
    except (TooLarge, Unavailable) as error:
        return asked.model_copy(update={"reasons": (str(error),)})
    status = placed.call.status if placed.call else None
    return asked.model_copy(update={"accepted": True, "status": status})
