"""The projection's database, and the one beside it in which it is built anew. Needs the extra ``replay``.

The live checkpoint is the switch. Campaign-stats writes a batch only if the checkpoint stands where it left it, so a
checkpoint put out of reach (`FENCE`) holds every replica still, and one put back lets them go on from there. What is
under way is noted in the same document, so whoever comes after a kill goes on with it.
"""

import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bson.json_util import dumps
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection

from campaign_stats import projection
from campaign_stats.store import CHECKPOINT, Store

FENCE = 2**62
"""A sequence that no log reaches."""
COLLECTIONS = ("calls", "campaigns")
"""What the projection consists of, beside its checkpoint."""
_BEGUN = "rebuild"

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the live documents stand: their sequence (0: there are none), and what an earlier rebuild left undone."""

    sequence: int
    fenced: bool
    swapping_to: int | None


class Projection:
    """One database with the projection in it."""

    def __init__(self, client: AsyncMongoClient[Document], name: str) -> None:
        self._client = client
        self._name = name
        self._database = client[name]
        self.store = Store(client, name)

    @property
    def _checkpoints(self) -> AsyncCollection[Document]:
        return self._database["checkpoints"]

    async def standing(self) -> Standing:
        """See `Standing`."""
        found = await self._checkpoints.find_one({"_id": CHECKPOINT}) or {"sequence": 0}
        fenced = found["sequence"] == FENCE
        return Standing(int(found["stood_at"] if fenced else found["sequence"]), fenced, found.get("swapping_to"))

    async def fence(self) -> int:
        """Holds every writer still; returns where the documents stand, which they do from now on."""
        while True:
            standing = await self.standing()
            if standing.fenced or not standing.sequence:
                return standing.sequence
            here = {"_id": CHECKPOINT, "sequence": standing.sequence}
            held = await self._checkpoints.update_one(here, {"$set": {"sequence": FENCE, "stood_at": here["sequence"]}})
            if held.matched_count:
                return standing.sequence

    async def note_swap(self, sequence: int, stood_at: int) -> None:
        """From here on there is no way back: the new documents, which stand at `sequence`, take the place of these."""
        noted = {"sequence": FENCE, "stood_at": stood_at, "swapping_to": sequence}
        await self._checkpoints.update_one({"_id": CHECKPOINT}, {"$set": noted}, upsert=True)

    async def release(self, sequence: int) -> None:
        """Lets the writers go on from `sequence`."""
        await self._checkpoints.replace_one({"_id": CHECKPOINT}, {"_id": CHECKPOINT, "sequence": sequence}, upsert=True)

    async def begin(self, identity: str) -> int:
        """Where a rebuild that was broken off stands; what another one left is thrown away."""
        begun = await self._checkpoints.find_one({"_id": _BEGUN})
        if not begun or begun["identity"] != identity:
            await self.drop()
            for name in COLLECTIONS:
                await self._database.create_collection(name)
            await self._checkpoints.insert_one({"_id": _BEGUN, "identity": identity})
        await self.store.prepare()
        return await self.store.checkpoint()

    async def drop(self) -> None:
        """Throws all of it away."""
        await self._client.drop_database(self._name)

    async def replace(self, other: "Projection") -> None:
        """These documents take the place of the other's, collection by collection; one that is gone has done so."""
        present = await self._database.list_collection_names()
        for name in COLLECTIONS:
            if name in present:
                names = {"renameCollection": f"{self._name}.{name}", "to": f"{other._name}.{name}", "dropTarget": True}
                await self._client.admin.command(names)
        await other.store.prepare()

    async def digests(self) -> dict[str, str]:
        """SHA-256 of every document, by ``<collection>/<id>``."""
        found: dict[str, str] = {}
        for name in COLLECTIONS:
            async for document in self._database[name].find():
                found[f"{name}/{document['_id']}"] = _digest(document)
        return found


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(dumps(document, sort_keys=True).encode()).hexdigest()


def digest(digests: Mapping[str, str]) -> str:
    """One digest of all documents."""
    lines = "".join(f"{name} {value}\n" for name, value in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def identity_of(log_created: str) -> str:
    """Which log, and which rules of projection: what another of either has begun is not gone on with."""
    return digest({"log": log_created, "rules": inspect.getsource(projection)})
