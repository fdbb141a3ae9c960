"""The projection's database, and a second database in which a rebuild builds it again. Needs the extra ``replay``.

The live checkpoint controls the writers. Campaign-stats writes a batch only if the checkpoint still has the sequence
that it expects. Thus a checkpoint that is set to `FENCE` pauses every replica, until it is set back. The same document
records the progress of a rebuild, so a run after a kill continues it.
"""

import hashlib
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from bson.json_util import dumps
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection

from campaign_stats import documents
from campaign_stats.store import CHECKPOINT, Store, connect

FENCE = 2**62
"""A sequence that no log reaches."""
COLLECTIONS = ("calls", "campaigns", "outcomes")
"""The collections of the projection, without its checkpoint."""
_REBUILD = "rebuild"
_SERVICE = "campaign_stats."

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ProjectionState:
    """The sequence of a projection (0: it has no documents), and whether an unfinished rebuild has fenced it.

    `swap_sequence`: the sequence of the new documents if their swap has begun.
    """

    sequence: int
    is_fenced: bool
    swap_sequence: int | None


class ProjectionDatabase:
    """One database with the projection in it."""

    def __init__(self, client: AsyncMongoClient[Document], name: str) -> None:
        self._client = client
        self._name = name
        self._database = client[name]
        self.store = Store(client, name)

    @property
    def _checkpoints(self) -> AsyncCollection[Document]:
        return self._database["checkpoints"]

    async def state(self) -> ProjectionState:
        """Returns the state of this projection."""
        found = await self._checkpoints.find_one({"_id": CHECKPOINT}) or {"sequence": 0}
        is_fenced = found["sequence"] == FENCE
        sequence = int(found["stood_at"] if is_fenced else found["sequence"])
        return ProjectionState(sequence, is_fenced, found.get("swapping_to"))

    async def fence(self) -> int:
        """Pauses every writer and returns the sequence of the documents, which no longer changes."""
        while True:
            state = await self.state()
            if state.is_fenced or not state.sequence:
                return state.sequence
            current = {"_id": CHECKPOINT, "sequence": state.sequence}
            update = {"$set": {"sequence": FENCE, "stood_at": state.sequence}}
            if (await self._checkpoints.update_one(current, update)).matched_count:
                return state.sequence

    async def begin_swap(self, new_sequence: int, fenced_sequence: int) -> None:
        """Records that the new documents, whose sequence is `new_sequence`, replace these. It cannot be undone."""
        checkpoint = {"sequence": FENCE, "stood_at": fenced_sequence, "swapping_to": new_sequence}
        change = {"$set": checkpoint, "$unset": {"event": ""}}  # the documents may have been made from another log
        await self._checkpoints.update_one({"_id": CHECKPOINT}, change, upsert=True)

    async def release(self, sequence: int) -> None:
        """Lets the writers continue from `sequence`."""
        change = {"$set": {"sequence": sequence}, "$unset": {"stood_at": "", "swapping_to": ""}}
        await self._checkpoints.update_one({"_id": CHECKPOINT}, change, upsert=True)

    async def begin_rebuild(self, identity: str) -> int:
        """Returns the sequence at which an interrupted rebuild continues. Drops a rebuild with another `identity`."""
        rebuild = await self._checkpoints.find_one({"_id": _REBUILD})
        if not rebuild or rebuild["identity"] != identity:
            await self.drop()
            for name in COLLECTIONS:
                await self._database.create_collection(name)
            await self._checkpoints.insert_one({"_id": _REBUILD, "identity": identity})
        await self.store.prepare()
        return await self.store.checkpoint()

    async def drop(self) -> None:
        """Drops the whole database."""
        await self._client.drop_database(self._name)

    async def replace(self, other: "ProjectionDatabase") -> None:
        """Moves these documents into the other database, one collection at a time.

        May be repeated: a collection that no longer exists here has been moved already.
        """
        present = await self._database.list_collection_names()
        for name in COLLECTIONS:
            if name in present:
                names = {"renameCollection": f"{self._name}.{name}", "to": f"{other._name}.{name}", "dropTarget": True}
                await self._client.admin.command(names)
        await other.store.prepare()

    async def digests(self) -> dict[str, str]:
        """Returns the SHA-256 of every document by ``<collection>/<id>``."""
        digests: dict[str, str] = {}
        for name in COLLECTIONS:
            async for document in self._database[name].find():
                digests[f"{name}/{document['_id']}"] = _digest_of(document)
        return digests


async def projection_sequence(mongo_url: str, database: str) -> int:
    """Returns the sequence of the log up to which campaign-stats has written its documents. Raises PyMongoError."""
    client = connect(mongo_url)
    try:
        return (await ProjectionDatabase(client, database).state()).sequence
    finally:
        await client.close()


def _digest_of(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(dumps(document, sort_keys=True).encode()).hexdigest()


def total_digest(digests: Mapping[str, str]) -> str:
    """Returns one digest of all documents."""
    lines = "".join(f"{name} {value}\n" for name, value in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def rebuild_identity(log_created_at: str) -> str:
    """Returns a digest of the log's identity and the projection's source code.

    A rebuild that was begun with another identity is not continued.
    """
    rules = "".join(inspect.getsource(module) for module in _fold_modules())
    return total_digest({"log": log_created_at, "rules": rules})


def _fold_modules() -> list[ModuleType]:
    """Returns the modules whose code decides what a document contains: `documents`, and those that it uses."""
    found: dict[str, ModuleType] = {}
    waiting = {documents.__name__}
    while waiting:
        module = sys.modules[waiting.pop()]
        found[module.__name__] = module
        used = {getattr(value, "__module__", None) for value in vars(module).values()}
        waiting |= {name for name in used if isinstance(name, str) and name.startswith(_SERVICE)} - found.keys()
    return [found[name] for name in sorted(found)]
