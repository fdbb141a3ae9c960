"""No file that the system writes contains a phone number or a spoken sentence, also of who is not called yet."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import nats
from pydantic import SecretStr

from centralita.demo.campaign import requests
from centralita.embedded.system import System, running
from chassis.direct_get import get_newest
from chassis.event_log import EventLog
from chassis.keyring import Keyring
from chassis.settings import key_bytes
from contracts import AudioRequested, CallRequested, ContactRequested, ConversationEnded, ReplyGenerated, SpeechHeard
from contracts.filters import call_facts_filter
from contracts.personal import PERSON_HEADER
from contracts.streams import CALLS, REQUESTS
from sealing import MasterKey

NAMES = ("Ferdinand Quill", "Otilia Brandt", "Casimir Lunde")
NOT_OURS = ("simulators.log",)
"""Files that the system does not write: the simulators are the vendors."""


async def test_no_file_contains_a_number_or_a_spoken_sentence(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin"}
    async with running(
        tmp_path, environment=environment, seed=3, speed=20, behaviours="human=1", settings={"API_KEYS": "k"}
    ) as system:
        request = requests(run="rest", count=2)[1]  # the number of the first one is that of the caller, a setting
        async with httpx.AsyncClient(base_url=system.edge_url, headers={"X-API-Key": "k"}, timeout=60) as http:
            created = await http.post("/api/v1/calls", json=request.model_dump(mode="json", exclude_none=True))
            assert created.status_code in (201, 202), created.text  # 202: decided later
            call = await _ended(http, created.headers["Location"])
            waiting = await _waiting(system, http)
        assert call["phone_number"] == request.phone_number
        spoken = await _spoken(system, UUID(str(call["id"])))
    assert len(spoken) >= 4, "an utterance, a reply, its sentences and a summary"
    secrets = {request.phone_number, request.phone_number[1:], *spoken}
    secrets |= {number[1:] for number in waiting} | set(NAMES)
    secrets |= {line for line in (request.script_template or "").split("\n") if line}
    found = [
        (str(file.relative_to(tmp_path)), secret)
        for file in tmp_path.rglob("*")
        if file.is_file() and file.name not in NOT_OURS
        for data in [file.read_bytes()]
        for secret in secrets
        if secret.encode() in data
    ]
    assert found == []


async def _waiting(system: System, http: httpx.AsyncClient) -> list[str]:
    """Requests a call on the bus, adds contacts and lists a number. None of them is called. Returns their numbers."""
    numbers = [request.phone_number for request in requests(run="waiting", count=8)[4:]]
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    fields = {"campaign_id": "bus", "contact_id": "1", "script_template": "Hello {{name}}.", "scheduled_at": tomorrow}
    requested = CallRequested.model_validate({**fields, "phone_number": numbers[0], "variables": {"name": NAMES[0]}})
    campaign = {"campaign_id": "draft", "script_template": "Hello {{name}}.", "language": "en"}
    (await http.post("/api/v1/campaigns", json=campaign)).raise_for_status()
    contact = ContactRequested(campaign_id="draft", phone_number=numbers[1], variables={"name": NAMES[1]})
    client = await nats.connect(system.nats_url)
    try:
        for event in (requested, contact):
            await client.jetstream().publish(event.subject, event.body())
        rows = f"phone_number,name\n{numbers[2]},{NAMES[2]}\n"
        path, headers = "/api/v1/campaigns/draft/contacts", {"Content-Type": "text/csv"}
        (await http.post(path, content=rows, headers=headers)).raise_for_status()
        (await http.post("/api/v1/do-not-call", json={"phone_number": numbers[3]})).raise_for_status()
        async with asyncio.timeout(120):
            for subject in (requested.subject, contact.subject):
                while (left := await get_newest(client, REQUESTS.name, subject)) and not left.headers.get(
                    PERSON_HEADER
                ):
                    await asyncio.sleep(0.1)
            while len((await http.get(path)).json()["contacts"]) < 2:
                await asyncio.sleep(0.1)
    finally:
        await client.close()
    return numbers


async def _ended(http: httpx.AsyncClient, path: str) -> dict[str, object]:
    async with asyncio.timeout(120):
        while not (call := (await http.get(path)).json()).get("ended_at"):
            await asyncio.sleep(0.1)
    return dict(call)


async def _spoken(system: System, call_id: UUID) -> set[str]:
    """Returns each utterance, reply, sentence and summary of a call."""
    client = await nats.connect(system.nats_url)
    try:
        async with Keyring(client, MasterKey(key_bytes(SecretStr(system.master_key)))).is_current() as keyring:
            log = EventLog(client, CALLS.name, source="test", keyring=keyring)
            events = [stored.event for stored in await log.read([call_facts_filter(call_id)])]
    finally:
        await client.close()
    texts = {event.text for event in events if isinstance(event, AudioRequested | ReplyGenerated | SpeechHeard)}
    return {text for text in texts if text} | {one.summary for one in events if isinstance(one, ConversationEnded)}
