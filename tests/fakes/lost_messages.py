"""Live messages that are lost on their way to a client."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription


def lose(monkeypatch: pytest.MonkeyPatch, client: Client, *lost: int) -> None:
    """Makes the client lose the live messages with these sequences, each once."""
    subscribe, waiting = client.subscribe, {*map(str, lost)}

    async def subscribe_with_a_loss(
        subject: str, *, cb: Callable[[Msg], Awaitable[None]], **limits: Any
    ) -> Subscription:
        async def pass_on(message: Msg) -> None:
            sequence = (message.headers or {}).get("Nats-Sequence", "")
            if message.subject.startswith("live.") and sequence in waiting:
                waiting.discard(sequence)
            else:
                await cb(message)

        return await subscribe(subject, cb=pass_on, **limits)

    monkeypatch.setattr(client, "subscribe", subscribe_with_a_loss)
