"""A declared campaign, files of contacts, and what an import has stored."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import SecretStr
from starlette.types import ASGIApp
from tests.builders.secret_keys import TEST_KEYS

from chassis.barrier import wait_until_processed
from chassis.direct_get import get_page
from chassis.event_log import EventLog, StoredEvent
from chassis.keyring import Keyring
from chassis.settings import key_bytes
from contracts import (
    CampaignCreateRequested,
    ContactAdded,
    ContactGroupAdded,
    RequestedTerms,
)
from contracts.audit import AuditEntry
from contracts.queries import CallingTimes, CallingTimesQuery
from contracts.streams import AUDIT, CONTACTS, Stream
from sealing import MasterKey

if TYPE_CHECKING:
    from tests.integration.edge.conftest import Orchestrator

OnAPort = Callable[[ASGIApp], AbstractAsyncContextManager[str]]
CSV, JSON_LINES = {"Content-Type": "text/csv"}, {"Content-Type": "application/x-ndjson"}
FIRST_AT = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
PATH = "/api/v1/campaigns/spring/contacts"
SCRIPT = "Hello {{name}}, this is {{company}}.\n\nConfirm the visit."


def us_number(number: int) -> str:
    return f"+1212555{number:04}"


def file(count: int) -> bytes:
    """Returns a CSV file with this many valid rows."""
    rows = [f"{us_number(number)},c-{number},Ana" for number in range(count)]
    return "\n".join(["phone_number,contact_id,name", *rows, ""]).encode()


@pytest.fixture
async def asked(bus_client: Client) -> list[str]:
    """Answers when a group may be called, as an orchestrator that may not call Spain; collects the asked countries."""
    countries: list[str] = []

    async def answer(message: Msg) -> None:
        query = CallingTimesQuery.model_validate_json(message.data)
        countries.append(query.country)
        is_allowed = query.country != "ES"
        times = CallingTimes(
            first_at=FIRST_AT if is_allowed else None,
            rule="calling_hours" if is_allowed else "country_not_allowed",
            detail="within the hours" if is_allowed else "numbers of the country ES are not called",
            requires_consent=query.country == "CA",
        )
        await message.respond(times.model_dump_json().encode())

    await bus_client.subscribe(CallingTimesQuery.subject, cb=answer)
    await wait_until_processed(bus_client)
    return countries


@pytest.fixture
async def campaign(orchestrator: "Orchestrator", asked: list[str]) -> list[str]:
    """The declared campaign spring, whose script needs a name; returns the asked countries."""
    terms = RequestedTerms(script_template=SCRIPT, variables={"company": "Acme"}, do_not_call_lists=("vip",))
    await orchestrator.handle(CampaignCreateRequested(campaign_id="spring", terms=terms))
    return asked


async def groups(client: Client) -> list[str]:
    stored = await EventLog(client, CONTACTS.name, source="test").read([ContactGroupAdded.subjects("spring")])
    return [one.event.zone_group for one in stored if isinstance(one.event, ContactGroupAdded)]


async def added(client: Client) -> list[ContactAdded]:
    found: list[StoredEvent] = []
    sequence, has_more = 0, True
    async with Keyring(client, MasterKey(key_bytes(SecretStr(TEST_KEYS["MASTER_KEY"])))).is_current() as keyring:
        log = EventLog(client, CONTACTS.name, source="test", keyring=keyring)
        while has_more:
            page = await get_page(client, CONTACTS.name, ContactAdded.subjects("spring"), start_sequence=sequence + 1)
            found += await log.decode_all(page.messages)
            sequence, has_more = page.messages[-1].seq if page.messages else 0, page.has_more
    return [one.event for one in found if isinstance(one.event, ContactAdded)]


async def messages(client: Client, stream: Stream) -> list[bytes]:
    """Headers and bodies of all messages of a stream."""
    page = await get_page(client, stream.name, stream.subjects[0])
    return [str(message.headers).encode() + message.data for message in page.messages]


async def entries(client: Client) -> list[AuditEntry]:
    js = client.jetstream()
    count = (await js.stream_info(AUDIT.name)).state.messages
    return [AuditEntry.model_validate_json((await js.get_msg(AUDIT.name, n)).data or b"") for n in range(1, count + 1)]
