"""Asks call-orchestrator when a call may be dialled once more."""

import asyncio
from datetime import datetime
from uuid import UUID

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from pydantic import ValidationError

from chassis.request_reply import request
from contracts.callback_times import CallbackTime, CallbackTimeQuery

TIMEOUT_SECONDS = 2.0
"""The person waits for the answer."""

logger = structlog.get_logger()


class NatsCallbackTimes:
    """Implements `conversation.ports.CallbackTimes`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def first_permitted(self, call_id: UUID, at: datetime) -> CallbackTime | None:
        """See the port. Never raises: without an answer in time, it is not known."""
        query = CallbackTimeQuery(call_id=call_id, at=at)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                reply = await request(self._client, query.subject, query.model_dump_json().encode())
            if reason := (reply.headers or {}).get("Nats-Service-Error"):
                logger.warning("callback_time_unknown", reason=reason)
                return None
            return CallbackTime.model_validate_json(reply.data)
        except (NatsError, TimeoutError, ValidationError) as error:
            logger.warning("callback_time_unknown", reason=type(error).__name__)
            return None
