"""Requests to the process of dead letters (`chassis.dead_letter_service`, ADR 53)."""

from typing import TypeVar

from nats.aio.client import Client
from pydantic import BaseModel, ValidationError

from contracts.dead_letter_queries import (
    DeadLetterDetails,
    DeadLetterGroups,
    DeadLetterGroupsQuery,
    DeadLetterList,
    DeadLetterListQuery,
    DeadLetterOutcome,
    DeadLetterQuery,
    DropDeadLetter,
    RetryDeadLetter,
)
from edge.adapters.nats import translate_errors
from edge.ports import Unavailable

READ_SECONDS = 5.0
ACT_SECONDS = 10.0
"""Acts happen one at a time. One that is answered later may have happened."""
_FAILURE = "the process of dead letters does not answer (python -m chassis.dead_letter_service)"

A = TypeVar("A", bound=BaseModel)
Request = DeadLetterListQuery | DeadLetterGroupsQuery | DeadLetterQuery | RetryDeadLetter | DropDeadLetter


class NatsDeadLetters:
    """Implements `edge.ports.DeadLetterDirectory` with requests over NATS."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def list_page(self, query: DeadLetterListQuery) -> DeadLetterList:
        """Returns one page of dead letters. Raises Unavailable."""
        return await self._ask(query, DeadLetterList, READ_SECONDS)

    async def count(self, query: DeadLetterGroupsQuery) -> DeadLetterGroups:
        """Returns the largest groups of dead letters. Raises Unavailable."""
        return await self._ask(query, DeadLetterGroups, READ_SECONDS)

    async def show(self, sequence: int) -> DeadLetterDetails:
        """Returns a dead letter and its message, without personal data. Raises Unavailable."""
        return await self._ask(DeadLetterQuery(sequence=sequence), DeadLetterDetails, READ_SECONDS)

    async def retry(self, sequence: int) -> DeadLetterOutcome:
        """Resends a message. Raises Unavailable."""
        return await self._ask(RetryDeadLetter(sequence=sequence), DeadLetterOutcome, ACT_SECONDS)

    async def drop(self, sequence: int) -> DeadLetterOutcome:
        """Erases a dead letter. Raises Unavailable."""
        return await self._ask(DropDeadLetter(sequence=sequence), DeadLetterOutcome, ACT_SECONDS)

    async def _ask(self, request: Request, answer: type[A], timeout_seconds: float) -> A:
        body = request.model_dump_json().encode()
        async with translate_errors(self._client, _FAILURE):
            reply = await self._client.request(request.subject, body, timeout=timeout_seconds)
        if reason := (reply.headers or {}).get("Nats-Service-Error"):
            raise Unavailable(f"dead letters: {reason}")
        try:
            return answer.model_validate_json(reply.data)
        except ValidationError as error:
            raise Unavailable("the process of dead letters sent an invalid answer") from error
