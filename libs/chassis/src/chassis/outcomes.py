"""Receives the outcome of a request or command that this process has published (`contracts.askers`)."""

import asyncio

from nats.aio.subscription import Subscription

from contracts import CommandOutcome, is_outcome_of

_MIN_SECONDS = 0.001
"""Of one wait: the outcome may have been received already."""


async def next_outcome(outcomes: Subscription, request_sequence: int, timeout_seconds: float) -> CommandOutcome:
    """Returns the outcome of the message at this position in REQUESTS, and ignores those of other messages.

    Raises an error of nats-py; nats.errors.TimeoutError if none arrives in time.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout_seconds
    while True:
        message = await outcomes.next_msg(timeout=max(until - loop.time(), _MIN_SECONDS))
        outcome = CommandOutcome.model_validate_json(message.data)
        if is_outcome_of(outcome, request_sequence):
            return outcome
