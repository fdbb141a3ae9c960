"""The counter of reserved dials and contacts in a NATS key-value bucket, by compare-and-set: shared by all replicas.

An entry for each key and day has the sum of dials, another one that of contacts. An entry for each id has the part of
the sum of dials that was reserved for it.
"""

import asyncio
import random
from contextlib import suppress
from datetime import date
from uuid import UUID

from nats.aio.client import Client
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue
from pydantic import BaseModel, ConfigDict, ValidationError

from edge.adapters.nats import translate_errors
from edge.ports import Unavailable

MAX_CONFLICTS = 100  # of other replicas that add dials to the same key at the same time
MAX_CONFLICT_PAUSE_SECONDS = 0.02


class _Reserved(BaseModel):
    """The dials or contacts that are reserved on a day by a key, or the dials for one id."""

    model_config = ConfigDict(frozen=True)

    dials: int = 0


class NatsDialCounter:
    """Implements `edge.ports.DialCounter` and `edge.ports.ContactCounter` with the bucket `dials`.

    Its entries expire by themselves.
    """

    def __init__(self, client: Client, bucket: KeyValue) -> None:
        self._client = client
        self._bucket = bucket
        self._lock = asyncio.Lock()  # requests of one replica do not conflict with each other

    async def add(self, key_name: str, day: date, dials: int, max_dials: int, reservation_id: UUID | None) -> bool:
        """Adds dials; returns False if there would be more than `max_dials`. Raises Unavailable."""
        sum_key = f"{key_name.replace('.', '=')}.{day:%Y%m%d}"  # a name contains no =, and a key no empty part
        async with translate_errors(self._client, "the daily cap of dials cannot be checked"), self._lock:
            if reservation_id is None:
                return await self._add(sum_key, dials, max_dials)
            id_key = f"{sum_key}-{reservation_id.hex}"
            earlier, revision = await self._read(id_key)
            if dials <= earlier.dials:
                return True
            if not await self._add(sum_key, dials - earlier.dials, max_dials):
                return False
            # The sum is first: after a crash, or beside another replica, an id reserves too much and never too little.
            with suppress(KeyWrongLastSequenceError):
                await self._write(id_key, dials, revision)
            return True

    async def add_contacts(self, key_name: str, day: date, contacts: int, max_contacts: int) -> int:
        """Adds up to so many contacts, and returns how many fit into `max_contacts`. Raises Unavailable."""
        sum_key = f"{key_name.replace('.', '=')}.{day:%Y%m%d}-contacts"  # two tokens, which the edge may write
        async with translate_errors(self._client, "the daily cap of contacts cannot be checked"), self._lock:
            return await self._add_up_to(sum_key, contacts, max_contacts, at_least=1)

    async def _add(self, key: str, dials: int, max_dials: int) -> bool:
        return dials == 0 or await self._add_up_to(key, dials, max_dials, at_least=dials) > 0

    async def _add_up_to(self, key: str, count: int, max_count: int, *, at_least: int) -> int:
        """Adds what fits below the maximum, and returns how much: at least so much, or nothing."""
        for _ in range(MAX_CONFLICTS):
            reserved, revision = await self._read(key)
            added = min(count, max_count - reserved.dials)
            if added < at_least:
                return 0
            try:
                await self._write(key, reserved.dials + added, revision)
            except KeyWrongLastSequenceError:
                # Without a pause of a random length, a slower replica can lose against the others each time.
                await asyncio.sleep(random.uniform(0, MAX_CONFLICT_PAUSE_SECONDS))
                continue
            return added
        raise Unavailable("the daily cap cannot be checked: other replicas keep changing it")

    async def _write(self, key: str, dials: int, revision: int) -> None:
        await self._bucket.update(key, _Reserved(dials=dials).model_dump_json().encode(), last=revision)

    async def _read(self, key: str) -> tuple[_Reserved, int]:
        try:
            entry = await self._bucket.get(key)
        except KeyNotFoundError:
            return _Reserved(), 0
        try:
            return _Reserved.model_validate_json(entry.value or b""), entry.revision or 0
        except ValidationError as error:
            raise Unavailable(f"the daily cap cannot be checked: the entry {key} is invalid") from error
