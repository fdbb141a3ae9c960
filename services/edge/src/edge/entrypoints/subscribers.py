"""Call requests over NATS request/reply: a ``call.requested`` body, answered with its outcome."""

import uuid_utils
from faststream.nats import NatsRouter

from chassis.subscriptions import body_of
from contracts import CallRequested, CommandOutcome, InvalidMessage, call_id_of, decode
from contracts.queries import CALL_REQUEST
from contracts.vocabulary import RefusalCode
from edge.application.calls import Calls
from edge.application.errors import KeyReused, Refused
from edge.ports import BacklogFull, TooLarge, Unavailable

QUEUE = "edge"


def build_router(calls: Calls) -> NatsRouter:
    """Answers requests on `CALL_REQUEST`. A repeated ``request_id`` is the same call, so repeating is harmless."""
    router = NatsRouter()

    async def on_request(body: bytes) -> CommandOutcome:
        try:
            request = decode(CallRequested.event_name, body)
        except InvalidMessage as error:
            return CommandOutcome(accepted=False, reasons=tuple(error.reasons))
        assert isinstance(request, CallRequested)  # noqa: S101  the subject determines the type
        return await _create(calls, request)

    router.subscriber(CALL_REQUEST, queue=QUEUE, max_workers=64, decoder=body_of, title=CALL_REQUEST)(on_request)
    return router


async def _create(calls: Calls, request: CallRequested) -> CommandOutcome:
    request_id = request.request_id or str(uuid_utils.uuid7())
    outcome = CommandOutcome(accepted=False, call_id=call_id_of(request_id), request_id=request_id)
    try:
        stored = await calls.create(request.model_copy(update={"key_name": None}), request_id)
    except Refused as refusal:
        return outcome.model_copy(update={"reasons": refusal.reasons})
    except KeyReused as reuse:
        reasons = tuple(f"{name}: differs from the first request of this request_id" for name in reuse.fields)
        return outcome.model_copy(update={"reasons": reasons})
    except BacklogFull as error:
        return outcome.model_copy(update={"reasons": (str(error),), "code": RefusalCode.BACKLOG_FULL})
    except (TooLarge, Unavailable) as error:
        return outcome.model_copy(update={"reasons": (str(error),)})
    status = stored.details.call.status if stored.details else None
    return outcome.model_copy(update={"accepted": True, "status": status})
