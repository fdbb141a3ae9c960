"""``python -m chassis.dead_letter_service``: lists, shows, resends and drops dead letters for the REST API (ADR 53).

To resend a message is to publish what another service owns. So neither the edge, which faces the world, nor another
service may do it. This process may, as a NATS user of its own, and answers nothing but the requests of
`contracts.dead_letter_queries`, which only the edge may send. The rules are those of ``centralita dead-letters``.

A repeated request is harmless. A second retry or drop finds no dead letter, and two at the same time publish the
message under the same ``Nats-Msg-Id``. A message whose decision the log contains is refused.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import structlog
from faststream.nats import NatsResponse, NatsRouter
from nats.aio.client import Client
from nats.errors import BadSubjectError
from nats.errors import Error as NatsError
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.types import ASGIApp

from chassis.dead_letter_acts import CannotRetry, UnknownDeadLetter, drop, find_dead_letter, retry
from chassis.dead_letter_details import find_call_id, show_dead_letter
from chassis.dead_letter_list import count_dead_letters, list_dead_letters, listed_of
from chassis.keyring import Keyring
from chassis.serve import Bus, operations, serve
from chassis.settings import KeySettings
from chassis.subscriptions import body_of
from contracts import reasons_of
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
from contracts.work import DEAD_LETTER_USER

MAX_READERS = 2
"""Lists and counts at a time. Each has up to 8 MB in memory."""

logger = structlog.get_logger()

A = TypeVar("A", bound=BaseModel)


class Settings(KeySettings):
    """The settings of the process of dead letters."""


@asynccontextmanager
async def build(settings: Settings, bus: Bus) -> AsyncIterator[ASGIApp]:
    """Subscribes to the requests, and yields the HTTP app with metrics and health."""
    keyring = await bus.open_keys(settings)
    bus.broker.include_router(build_router(bus.client, keyring))
    yield Starlette(routes=operations(bus.client))


def build_router(client: Client, keyring: Keyring) -> NatsRouter:
    """Returns a router with the subscribers in a queue group: any replica answers. Acts happen one at a time."""
    router, group = NatsRouter(), DEAD_LETTER_USER

    @router.subscriber(DeadLetterListQuery.subject, queue=group, max_workers=MAX_READERS, decoder=body_of)
    async def answer_list(body: bytes) -> DeadLetterList | NatsResponse:
        return await _answer(lambda: list_dead_letters(client, DeadLetterListQuery.model_validate_json(body)))

    @router.subscriber(DeadLetterGroupsQuery.subject, queue=group, max_workers=MAX_READERS, decoder=body_of)
    async def answer_groups(body: bytes) -> DeadLetterGroups | NatsResponse:
        return await _answer(lambda: count_dead_letters(client, DeadLetterGroupsQuery.model_validate_json(body)))

    @router.subscriber(DeadLetterQuery.subject, queue=group, max_workers=MAX_READERS, decoder=body_of)
    async def answer_show(body: bytes) -> DeadLetterDetails | NatsResponse:
        return await _answer(lambda: _show(client, keyring, DeadLetterQuery.model_validate_json(body)))

    @router.subscriber(RetryDeadLetter.subject, queue=group, max_workers=1, decoder=body_of)
    async def on_retry(body: bytes) -> DeadLetterOutcome | NatsResponse:
        return await _answer(lambda: _retry(client, keyring, RetryDeadLetter.model_validate_json(body)))

    @router.subscriber(DropDeadLetter.subject, queue=group, max_workers=1, decoder=body_of)
    async def on_drop(body: bytes) -> DeadLetterOutcome | NatsResponse:
        return await _answer(lambda: _drop(client, DropDeadLetter.model_validate_json(body)))

    return router


async def _show(client: Client, keyring: Keyring, query: DeadLetterQuery) -> DeadLetterDetails:
    return await show_dead_letter(client, keyring, query.sequence)


async def _retry(client: Client, keyring: Keyring, command: RetryDeadLetter) -> DeadLetterOutcome:
    """Resends a message. It has a reason if it must not be resent, or if the client cannot send it."""
    try:
        stored = await find_dead_letter(client, command.sequence)
    except UnknownDeadLetter as error:
        return DeadLetterOutcome(dead_letter=None, reason=str(error))
    listed = listed_of(stored)
    call_id = await find_call_id(client, keyring, stored)
    try:
        sequence = await retry(client, stored, keyring=keyring)
    except (CannotRetry, BadSubjectError, ValueError) as error:
        return DeadLetterOutcome(dead_letter=listed, reason=str(error) or type(error).__name__)
    logger.info("dead_letter_resent", dead_letter=command.sequence, stored_sequence=sequence)
    return DeadLetterOutcome(dead_letter=listed, stored_sequence=sequence, call_id=call_id)


async def _drop(client: Client, command: DropDeadLetter) -> DeadLetterOutcome:
    try:
        listed = listed_of(await find_dead_letter(client, command.sequence))
        await drop(client, command.sequence)
    except UnknownDeadLetter as error:
        return DeadLetterOutcome(dead_letter=None, reason=str(error))
    logger.info("dead_letter_dropped", dead_letter=command.sequence)
    return DeadLetterOutcome(dead_letter=listed)


async def _answer(answer: Callable[[], Awaitable[A]]) -> A | NatsResponse:
    """Returns the answer. An error has an empty body and the headers of NATS services (ADR-32)."""
    try:
        return await answer()
    except ValidationError as error:
        return _error("400", "; ".join(reasons_of(error)))
    except (NatsError, TimeoutError, OSError) as error:
        logger.warning("dead_letter_request_failed", error=type(error).__name__)
        return _error("503", f"NATS failed ({type(error).__name__}); list the dead letters to see what was done")


def _error(code: str, reason: str) -> NatsResponse:
    return NatsResponse(b"", headers={"Nats-Service-Error-Code": code, "Nats-Service-Error": reason})


if __name__ == "__main__":
    serve(DEAD_LETTER_USER, Settings, build)
