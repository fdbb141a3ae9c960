"""Searches everything that the system stores for texts: messages of streams and buckets, documents, and files.

Sealed messages are opened with every key that exists, because a text that a key still opens is not erased.
"""

import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from pydantic import SecretStr
from pymongo import AsyncMongoClient

from centralita.embedded.system import System
from chassis.direct_get import get_page
from chassis.keyring import Keyring
from chassis.settings import key_bytes
from chassis.stored_event import load_keys, stored_event_of_raw
from chassis.unreadable import UnreadableEvent
from contracts.accounts import ADMIN
from contracts.buckets import WATCHED_STREAMS
from sealing import MasterKey

MESSAGES, DOCUMENTS = "messages of streams and buckets", "MongoDB documents"
LOGS, EXPORTS, RAW_FILES = "log files", "exports", "raw data files"
OF_VENDORS = ("simulators.log",)
"""Files that the system does not write: the simulators are the vendors."""
_SYSTEM_DATABASES = ("admin", "config", "local")


class TextSearch:
    """A search for texts. `searched`: how many places of each kind. `found`: the places, without the text."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = frozenset(texts)
        self.searched: Counter[str] = Counter()
        self.found: list[str] = []
        self._forms = {form.encode() for text in self.texts for form in _forms(text)}

    def add(self, kind: str, place: str, data: bytes) -> None:
        """Searches one place."""
        self.searched[kind] += 1
        if any(form in data for form in self._forms):
            self.found.append(f"{kind}: {place}")


def _forms(text: str) -> tuple[str, ...]:
    """Returns a text as it is, and as it is inside a string of JSON."""
    return text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]


async def search_servers(search: TextSearch, system: System) -> None:
    """Searches each message of each stream and bucket, and all documents of MongoDB."""
    async for place, data in _messages(system):
        search.add(MESSAGES, place, data)
    async for place, data in _documents(system.mongo_url):
        search.add(DOCUMENTS, place, data)


def search_files(search: TextSearch, folder: Path) -> None:
    """Searches each file in a folder except those of the vendors. An export is unpacked."""
    for name, file in _files(folder):
        data = file.read_bytes()
        if file.suffix == ".gz":
            search.add(EXPORTS, name, gzip.decompress(data))
        else:
            search.add(LOGS if file.suffix == ".log" else RAW_FILES, name, data)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.name not in OF_VENDORS:
            yield str(file.relative_to(folder)), file


async def _messages(system: System) -> AsyncIterator[tuple[str, bytes]]:
    """Yields each message as it is stored, with what the existing keys open in it."""
    client = await nats.connect(system.access.url(system.nats_url.rpartition("@")[2], ADMIN))
    try:
        async with Keyring(client, MasterKey(key_bytes(SecretStr(system.master_key)))).is_current() as keyring:
            for stream in WATCHED_STREAMS:
                async for place, data in _messages_of(client, stream.name, keyring):
                    yield place, data
    finally:
        await client.close()


async def _messages_of(client: Client, stream: str, keyring: Keyring) -> AsyncIterator[tuple[str, bytes]]:
    sequence, has_more = 0, True
    while has_more:
        page = await get_page(client, stream, ">", start_sequence=sequence + 1)
        await load_keys(page.messages, keyring)
        for message in page.messages:
            sequence = message.seq
            stored = f"{message.subject} {message.headers} ".encode() + message.data
            try:
                opened = stored_event_of_raw(message, stream, keyring).event.model_dump_json()
            except UnreadableEvent:  # of a bucket, a dead letter or an entry of the audit log
                opened = ""
            yield f"{stream} {sequence}", stored + opened.encode()
        has_more = page.has_more


async def _documents(mongo_url: str) -> AsyncIterator[tuple[str, bytes]]:
    async with AsyncMongoClient[dict[str, Any]](mongo_url) as client:
        for database in await client.list_database_names():
            if database in _SYSTEM_DATABASES:
                continue
            for collection in await client[database].list_collection_names():
                async for document in client[database][collection].find():
                    yield f"{database}.{collection} {document['_id']}", str(document).encode()
