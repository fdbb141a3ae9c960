"""From the streams CALLS and REQUESTS into a file."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

from nats.aio.client import Client

from centralita.replay.files import Writer
from centralita.replay.manifest import Manifest
from centralita.replay.messages import Message
from centralita.replay.scope import Scope
from centralita.replay.sources import Live

Progress = Callable[[int, int], None]
"""CallInput how far it is: how many of how many."""


async def export(client: Client, path: Path, scope: Scope | None = None, progress: Progress | None = None) -> Manifest:
    """Writes what the two streams hold now, in the order of its time, and says what it wrote.

    Raises OSError, `centralita.replay.reading.Incomplete`; the file is then as it was before.
    """
    live = await Live.open(client, scope or Scope())
    with Writer(path) as writer:
        async for message in _merged(live.requests(), live.facts()):
            writer.write(message)
            if progress:
                progress(live.place(message), live.size)
        return writer.close(live.scope, live.handled, live.given_up)


async def _merged(one: AsyncIterator[Message], other: AsyncIterator[Message]) -> AsyncIterator[Message]:
    """Both, by the time at which they were stored; of two at the same time, that of `one`, which asks, is first."""
    first, second = await anext(one, None), await anext(other, None)
    while first or second:
        if second is None or (first and first.time <= second.time):
            assert first is not None  # noqa: S101  one of them is there
            yield first
            first = await anext(one, None)
        else:
            yield second
            second = await anext(other, None)
