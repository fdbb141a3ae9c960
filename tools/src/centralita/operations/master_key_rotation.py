"""Wraps the keys of persons again under a new master key, while the services run.

**Order.** The services know both master keys. The checked key is wrapped again first: from then on, services wrap new
keys under the new master key (`chassis.keyring`). All others follow in the order of the stream.

**Interruption.** Each key is one message that replaces the former one, guarded by its sequence. A key that is destroyed
meanwhile stays destroyed. A repeated run skips what is done.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from nats.aio.client import Client

from chassis.direct_get import StoredMessage
from chassis.event_log import Conflict, Guard, publish
from chassis.leader_get import get_newest_of_leader
from chassis.stream_api import jetstream_of
from chassis.stream_scan import LAG_PAUSE_SECONDS, Scan
from contracts.streams import CHECKED_KEY, KEYS
from sealing import MasterKey, WrongMasterKey

MAX_IN_FLIGHT = 64


@dataclass(slots=True)
class Rotation:
    """Counts the keys that a run wraps again, finds destroyed, or finds wrapped under neither master key."""

    rotated: int = 0
    destroyed: int = 0
    unknown: int = 0


async def rotate(client: Client, master_key: MasterKey, progress: Callable[[str, int, int], None]) -> Rotation:
    """Wraps each key under `master_key` that is wrapped under its former one.

    Raises WrongMasterKey, and changes nothing, if the checked key is wrapped under neither. Raises NotFoundError if
    there is none: no service has started yet.
    """
    checked = await get_newest_of_leader(client, KEYS.name, CHECKED_KEY)
    master_key.unwrap(checked.data, _person(checked))
    rotation = Rotation()
    await _rotate(client, master_key, checked, rotation)
    total = (await jetstream_of(client, KEYS.name).stream_info(KEYS.name)).state.messages
    scan, in_flight = Scan(client, KEYS.name, (), 1), asyncio.Semaphore(MAX_IN_FLIGHT)

    async def rotate_next(message: StoredMessage) -> None:
        async with in_flight:
            await _rotate(client, master_key, message, rotation)
            progress("wrapping again", rotation.rotated, total)

    while True:
        batch, has_more = await scan.next()
        await asyncio.gather(*(rotate_next(message) for message in batch.messages))
        if not has_more:
            if await scan.is_at_end():  # after all that this run has wrapped again, and all new keys
                return rotation
            await asyncio.sleep(LAG_PAUSE_SECONDS)


async def _rotate(client: Client, master_key: MasterKey, message: StoredMessage, rotation: Rotation) -> None:
    """Wraps one key again, unless that is done, or another process changes the key meanwhile."""
    if not message.data:
        rotation.destroyed += 1
    elif not master_key.has_wrapped(message.data):
        try:
            key = master_key.unwrap(message.data, _person(message))
        except WrongMasterKey:
            rotation.unknown += 1
            return
        guard = Guard(message.subject, message.seq)
        wrapped = master_key.wrap(key, _person(message))
        try:
            await publish(client, message.subject, wrapped, guard.headers(message.subject))
        except Conflict:
            return
        rotation.rotated += 1


def _person(message: StoredMessage) -> str:
    return message.subject.rpartition(".")[2]
