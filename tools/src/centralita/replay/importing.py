"""From a file into the streams of another environment: one to look at, where nothing acts on what is published.

An imported ``call.status_changed.*.dialing`` is to voice what any other is: a phone to ring. So an environment in which
a durable consumer is being listened to is refused. Left out of each message are the server's own headers: guards
(``Nats-Expected-*``), which were about the log that it came from, and what the scheduler put there. What a message was
known by only through its place (a request without headers) it keeps as ``ce-id`` and ``ce-time``.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nats.aio.client import Client
from nats.js.api import PubAck
from nats.js.errors import NotFoundError

from centralita.replay.files import messages, validated
from centralita.replay.manifest import Manifest
from centralita.replay.messages import Message
from chassis.provision import provision
from contracts.streams import CALLS, CONSUMERS, REQUESTS

IN_FLIGHT = 64
PAUSE_SECONDS = 0.05


class Refused(RuntimeError):
    """Nothing was published; the message says what stands against it."""


class Interrupted(RuntimeError):
    """The target took only part of it: how many, of how many, and why."""


@dataclass(frozen=True, slots=True)
class Imported:
    """`published` of the manifest's messages are new in the target; it had the `repeated` ones a moment ago."""

    manifest: Manifest
    published: int
    repeated: int


async def import_file(
    client: Client,
    path: Path,
    *,
    speed: float | None = 1.0,
    into_existing: bool = False,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Imported:
    """Publishes every message of an export in its order. `speed`: times as fast as it happened; none: at once.

    The whole file is read before anything is published. Raises Damaged, Refused, Interrupted.
    """
    manifest = validated(path)
    if not force:
        await _nobody_listens(client)
    if not into_existing:
        await _is_empty(client)
    await provision(client.jetstream())
    acks: list[PubAck] = []
    try:
        await _publish(client, path, manifest, speed, acks, progress)
    except Exception as error:
        done = f"{len(acks)} of {manifest.count} messages are in the target"
        raise Interrupted(f"{done}, then: {error or type(error).__name__}. Empty it and import again.") from error
    repeated = sum(bool(ack.duplicate) for ack in acks)
    return Imported(manifest, len(acks) - repeated, repeated)


async def _nobody_listens(client: Client) -> None:
    js = client.jetstream()
    for consumer in CONSUMERS:
        try:
            info = await js.consumer_info(consumer.stream.name, consumer.name)
        except NotFoundError:
            continue
        if info.push_bound:
            raise Refused(
                f"a service listens to {consumer.name}: it would act on what is imported (voice would dial). "
                "Stop the services of the target, or --force"
            )


async def _is_empty(client: Client) -> None:
    for stream in (CALLS, REQUESTS):
        try:
            state = (await client.jetstream().stream_info(stream.name)).state
        except NotFoundError:
            continue
        if state.messages:
            raise Refused(f"the target's {stream.name} holds {state.messages} messages; give --into-existing to add")


async def _publish(
    client: Client,
    path: Path,
    manifest: Manifest,
    speed: float | None,
    acks: list[PubAck],
    progress: Callable[[int, int], None] | None,
) -> None:
    js = client.jetstream(publish_async_max_pending=IN_FLIGHT)
    loop = asyncio.get_running_loop()
    begun, first, seen = loop.time(), None, set[str]()
    waiting: list[asyncio.Future[PubAck]] = []
    for message in messages(path):
        first = first or message.time
        if speed is not None:
            due = begun + (message.time - first).total_seconds() / speed
            if due - loop.time() > PAUSE_SECONDS:
                await _stored(waiting, acks)
                await asyncio.sleep(due - loop.time())
        waiting.append(await js.publish_async(message.subject, message.body, headers=carried(message, seen)))
        if len(waiting) == IN_FLIGHT:
            await _stored(waiting, acks)
        if progress:
            progress(len(acks) + len(waiting), manifest.count)
    await _stored(waiting, acks)


async def _stored(waiting: list[asyncio.Future[PubAck]], acks: list[PubAck]) -> None:
    async with asyncio.timeout(30):
        for future in waiting:
            acks.append(await future)  # noqa: PERF401  how many were stored must be known when the next one fails
    waiting.clear()


def carried(message: Message, seen: set[str]) -> dict[str, str]:
    """The headers that it has in the target; `seen`: ids so far, of which the server would drop a repetition."""
    own = {name: value for name, value in message.headers.items() if not name.lower().startswith("nats-")}
    explicit = {"ce-id": message.identity, "ce-time": message.time.isoformat(), **own}
    if message.identity in seen:
        return explicit
    seen.add(message.identity)
    return {**explicit, "Nats-Msg-Id": message.identity}
