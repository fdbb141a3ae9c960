"""Requests to call-orchestrator about what admission has granted and what waits."""

from nats.aio.client import Client
from pydantic import ValidationError

from contracts.queries import AdmissionQuery, AdmissionState
from edge.adapters.nats import translate_errors
from edge.ports import Unavailable

ANSWER_SECONDS = 2.0


class NatsSlots:
    """Implements `edge.ports.SlotReader` with a request over NATS."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def read(self, campaign_id: str | None) -> AdmissionState:
        """Returns the state of admission, in all or for one campaign. Raises Unavailable."""
        query = AdmissionQuery(campaign_id=campaign_id)
        async with translate_errors(self._client, "call-orchestrator does not answer"):
            reply = await self._client.request(query.subject, query.model_dump_json().encode(), timeout=ANSWER_SECONDS)
        if reason := (reply.headers or {}).get("Nats-Service-Error"):
            raise Unavailable(reason)
        try:
            return AdmissionState.model_validate_json(reply.data)
        except ValidationError as error:
            raise Unavailable("call-orchestrator sent an invalid answer") from error
