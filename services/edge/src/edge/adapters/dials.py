"""The counter of reserved dials in a NATS key-value bucket, by compare-and-set: shared by all replicas."""

import asyncio
from datetime import date
from uuid import UUID

from nats.aio.client import Client
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue
from pydantic import BaseModel, ConfigDict, ValidationError

from edge.adapters.nats import translate_errors
from edge.ports import Unavailable

MAX_CONFLICTS = 20
MAX_IDS = 100
"""So many of the newest ids are remembered, so that a repeated request reserves no second time. An older call exists in
the log by then, and is recognised there."""


class _Reserved(BaseModel):
    """The dials that a key has reserved on a day, and the newest ids of calls and pages for which it did."""

    model_config = ConfigDict(frozen=True)

    dials: int = 0
    ids: tuple[str, ...] = ()

    def after(self, dials: int, id: str | None) -> "_Reserved":
        ids = (*self.ids, id)[-MAX_IDS:] if id else self.ids
        return _Reserved(dials=self.dials + dials, ids=ids)


class NatsDialCounter:
    """Implements `edge.ports.DialCounter` with the bucket `dials`. Its entries expire by themselves."""

    def __init__(self, client: Client, bucket: KeyValue) -> None:
        self._client = client
        self._bucket = bucket
        self._lock = asyncio.Lock()  # requests of one replica do not conflict with each other

    async def add(self, key_name: str, day: date, dials: int, max_dials: int, reservation_id: UUID | None) -> bool:
        """Adds dials; returns False if there would be more than `max_dials`. Raises Unavailable."""
        key = f"{key_name.replace('.', '=')}.{day:%Y%m%d}"  # a name contains no =, and a key no empty part
        id = reservation_id.hex[:16] if reservation_id else None
        async with translate_errors(self._client, "the daily cap of dials cannot be checked"), self._lock:
            for _ in range(MAX_CONFLICTS):
                reserved, revision = await self._read(key)
                if id and id in reserved.ids:
                    return True
                if reserved.dials + dials > max_dials:
                    return False
                body = reserved.after(dials, id).model_dump_json().encode()
                try:
                    await self._bucket.update(key, body, last=revision)
                except KeyWrongLastSequenceError:
                    continue
                return True
        raise Unavailable("the daily cap of dials cannot be checked: other replicas keep changing it")

    async def _read(self, key: str) -> tuple[_Reserved, int]:
        try:
            entry = await self._bucket.get(key)
        except KeyNotFoundError:
            return _Reserved(), 0
        try:
            return _Reserved.model_validate_json(entry.value or b""), entry.revision or 0
        except ValidationError as error:
            raise Unavailable(f"the daily cap of dials cannot be checked: the entry {key} is invalid") from error
