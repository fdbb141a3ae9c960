"""The documents of campaign-stats in MongoDB, read as a dashboard reads them."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from pymongo import AsyncMongoClient

from contracts import FINAL_STATUSES

DATABASE = "centralita"

Document = Mapping[str, Any]


async def call_documents(mongo_url: str, ids: Iterable[UUID]) -> dict[UUID, Document]:
    """Returns the documents of these calls, by call id."""
    wanted = {str(call_id) for call_id in ids}
    async with AsyncMongoClient[dict[str, Any]](mongo_url) as client:
        found = [one async for one in client[DATABASE]["calls"].find() if one["_id"] in wanted]
    return {UUID(document["_id"]): document for document in found}


async def campaign_document(mongo_url: str, campaign_id: str) -> Document:
    """Returns the counters of a campaign; empty if there are none."""
    async with AsyncMongoClient[dict[str, Any]](mongo_url) as client:
        return await client[DATABASE]["campaigns"].find_one({"_id": campaign_id}) or {}


async def wait_until_projected(mongo_url: str, ids: Iterable[UUID], *, timeout: float) -> None:
    """Returns when MongoDB has a final status of each of these calls. Raises TimeoutError."""
    missing = {str(call_id) for call_id in ids}
    ended = {"status": {"$in": list(FINAL_STATUSES)}}  # the embedded server needs minutes for 10,000 ids in a filter
    async with asyncio.timeout(timeout), AsyncMongoClient[dict[str, Any]](mongo_url) as client:
        while True:
            missing -= {document["_id"] async for document in client[DATABASE]["calls"].find(ended, {"_id": 1})}
            if not missing:
                return
            await asyncio.sleep(0.1)
