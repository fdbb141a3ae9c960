"""The replicas that write to the database, and how a dead one is told from a slow one.

A process that is killed inside a transaction leaves the checkpoint locked for a minute
(``transactionLifetimeLimitSeconds``). So each replica registers its sessions in ``writers`` and counts up a heartbeat
there, in a task of its own, also while a transaction is slow. A replica that waits for the checkpoint ends the sessions
of those whose heartbeat did not change meanwhile. It measures the time itself: no two clocks are compared.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

from bson import Binary
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

HEARTBEAT_SECONDS = 1.0
MAX_SILENT_SECONDS = 8.0
"""A replica whose heartbeat does not change for this long counts as dead. It is several heartbeats, so that a busy
machine or a slow MongoDB ends no live one."""

Heartbeats = Mapping[str, int]
"""The heartbeat of each other replica."""


class Writers:
    """The collection ``writers``: one document for each replica, with its sessions and its heartbeat."""

    def __init__(self, collection: AsyncCollection[dict[str, Any]]) -> None:
        self._collection = collection
        self._replica = str(uuid4())
        self._session_ids: set[Binary] = set()

    async def register(self, session: AsyncClientSession) -> None:
        """Stores the session's id, outside the transaction and once: the driver has few sessions and reuses them."""
        identity = session.session_id["id"]
        if identity not in self._session_ids:
            self._session_ids.add(identity)
            await self._beat()

    async def send_heartbeats(self) -> None:
        """Counts up the heartbeat at each interval until cancelled."""
        while True:
            with suppress(PyMongoError):
                await self._beat()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _beat(self) -> None:
        """Counts up the heartbeat. Stores the sessions each time: the database may have been dropped."""
        update = {"$inc": {"heartbeat": 1}, "$set": {"sessions": list(self._session_ids)}}
        await self._collection.update_one({"_id": self._replica}, update, upsert=True)

    async def heartbeats(self) -> Heartbeats:
        """Returns the heartbeats of the other replicas. A document of an older build has none and stays at 0."""
        others = self._collection.find({"_id": {"$ne": self._replica}})
        return {other["_id"]: other.get("heartbeat", 0) async for other in others}

    async def end_silent(self, since: Heartbeats) -> int:
        """Ends the transactions of the replicas whose heartbeat is still that in `since`; returns their number.

        If one of them is alive nevertheless, it raises Conflict and reads again.
        """
        now = await self.heartbeats()
        silent = [replica for replica, heartbeat in since.items() if now.get(replica) == heartbeat]
        found = self._collection.find({"_id": {"$in": silent}})
        sessions = [{"id": identity} async for writer in found for identity in writer.get("sessions", ())]
        if sessions:
            await self._collection.database.client.admin.command({"killSessions": sessions})
        await self._collection.delete_many({"_id": {"$in": silent}})
        return len(silent)

    async def unregister(self) -> None:
        """Removes this replica, when it stops."""
        await self._collection.delete_one({"_id": self._replica})
