"""``python -m bench.contacts [ROWS …]``: rows a second and memory of an import of contacts, and of its dry run.

Each is compared with its unavoidable parts in the same run: parsing CSV, the look-up of number and zone, and for an
import publishing by nats-py: the contacts, and the keys of persons who have none. The file is generated while it is
read, so the memory is that of the import, and of the keys that a process keeps.
"""

import argparse
import asyncio
import csv
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from centralita.embedded.servers import nats_server
from chassis.barrier import wait_until_processed
from chassis.event_log import EventLog
from chassis.keyring import Keyring
from chassis.provision import provision
from contracts import Campaign, CampaignTerms, ContactAdded, Service
from contracts.callees import callee_of
from contracts.contacts import waiting_contact
from contracts.events.requests import ContactRequested
from contracts.number_digests import NumberDigests
from contracts.numbers import number_refusals
from contracts.queries import CallingTimes, CallingTimesQuery
from contracts.streams import CONTACTS
from contracts.values import PhoneNumber
from edge.adapters.contacts import MAX_IN_FLIGHT, NatsContacts
from edge.application.contact_import import ContactImports
from edge.application.import_result import ImportCounts
from sealing import MasterKey

AREA_CODES = (201, 202, 206, 212, 305, 312, 313, 404, 415, 503, 602, 617, 702, 713, 801, 907)
HEADER = "phone_number,contact_id,name,visit\n"
PART_ROWS = 1_000
SIZES = (10_000, 1_000_000)
DIGESTS = NumberDigests(b"bench")
KEY = bytes(64)
_NUMBER: TypeAdapter[str] = TypeAdapter(PhoneNumber)
MAX_RATIO = 1.5
"""The most that an import may take, in multiples of its parts."""
_PAGE_BYTES = 4096


def rows(count: int, first: int = 0) -> Iterator[str]:
    """Yields the lines of a file, from the person `first` on."""
    for number in range(first, first + count):
        area_code = AREA_CODES[number % len(AREA_CODES)]
        subscriber = 2_000_000 + number // len(AREA_CODES)
        yield f"+1{area_code}{subscriber},contact-{number},Ana García,tomorrow at 10:00\n"


async def parts(count: int, first: int) -> AsyncIterator[bytes]:
    """Yields the file in parts, as a request body arrives."""
    lines = [HEADER]
    for line in rows(count, first):
        lines.append(line)
        if len(lines) >= PART_ROWS:
            yield "".join(lines).encode()
            lines = []
    yield "".join(lines).encode()


class DeclaredCampaigns:
    """Campaigns that all have the same terms."""

    async def state(self, campaign_id: str) -> Campaign:
        """Returns a campaign with a script."""
        terms = CampaignTerms(script_template="Hello {{name}}.\n\nConfirm the visit {{visit}}.")
        return Campaign(campaign_id=campaign_id, terms=terms, created_at=datetime.now(UTC))


class ContactFigures:
    """Runs imports and their parts on one server, each with a campaign of its own."""

    def __init__(self, client: Client, keyring: Keyring) -> None:
        self._client = client
        contacts = NatsContacts(client, EventLog(client, CONTACTS.name, source=Service.EDGE), keyring)
        self._imports = ContactImports(contacts, DeclaredCampaigns(), DIGESTS)  # type: ignore[arg-type]
        self._campaigns = 0

    async def import_file(self, count: int, *, is_dry_run: bool, first: int = 0) -> None:
        """Imports a file that begins with the person `first`, or runs it dry."""
        counts = ImportCounts(self._next_campaign(), is_dry_run=is_dry_run, with_csv=False)
        await self._imports.run(parts(count, first), counts, is_csv=True)
        assert counts.added == count, counts.result()

    async def look_up(self, count: int) -> None:
        """Parses the file, and looks up the number and the zone of each row."""
        for _ in _looked_up(count):
            pass

    async def look_up_and_publish(self, count: int, *, with_keys: bool = False) -> None:
        """Does the same and publishes each contact by nats-py; `with_keys`: and as many bytes as a key has."""
        campaign, now = self._next_campaign(), datetime.now(UTC)
        room, inbox = asyncio.Semaphore(MAX_IN_FLIGHT), self._client.new_inbox()

        async def acknowledged(_: Msg) -> None:
            room.release()

        subscription = await self._client.subscribe(inbox, cb=acknowledged)
        for cells in _looked_up(count):
            contact = _contact(campaign, cells, now)
            await room.acquire()
            await self._client.publish(contact.subject, contact.body(), reply=inbox)
            if with_keys:
                await room.acquire()
                await self._client.publish(f"key.{campaign}-{contact.number_digest}", KEY, reply=inbox)
        for _ in range(MAX_IN_FLIGHT):
            await room.acquire()
        await subscription.unsubscribe()

    def _next_campaign(self) -> str:
        self._campaigns += 1
        return f"bench-{self._campaigns}"


def _looked_up(count: int) -> Iterator[list[str]]:
    for cells in csv.reader(rows(count)):
        number = _NUMBER.validate_python(cells[0])
        assert not number_refusals(number)
        assert callee_of(number).zones
        yield cells


def _contact(campaign_id: str, cells: list[str], now: datetime) -> ContactAdded:
    number, contact_id, name, visit = cells
    request = ContactRequested.model_construct(
        campaign_id=campaign_id, phone_number=number, contact_id=contact_id, variables={"name": name, "visit": visit}
    )
    return waiting_contact(request, callee_of(number), DIGESTS, now)


async def connected(url: str) -> Client:
    """Returns a connection to a server with all streams; it answers when a group may be called."""
    client = await nats.connect(url)
    await provision(client)
    times = CallingTimes(first_at=datetime.now(UTC), rule="calling_hours", detail="").model_dump_json().encode()

    async def answer(message: Msg) -> None:
        await message.respond(times)

    await client.subscribe(CallingTimesQuery.subject, cb=answer)
    await wait_until_processed(client)
    return client


def resident_megabytes() -> float:
    """Returns the memory that this process uses."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * _PAGE_BYTES / 1024**2


async def main(counts: Sequence[int]) -> None:
    """Runs each size once and prints rows a second of wall time and of CPU time, and the growth of the memory."""
    columns = ("work", "rows", "rows/s", "rows/s of CPU", "memory +MB", "ratio", "ratio of CPU")
    table = Table(*columns, title="Imports of contacts")
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        client = await connected(stack.enter_context(nats_server(Path(folder))))
        keyring = await stack.enter_async_context(Keyring(client, MasterKey(bytes(32))).is_current())
        figures = ContactFigures(client, keyring)
        await figures.import_file(1_000, is_dry_run=False)
        first = 1_000
        for count in counts:
            works = {
                "parsing and look-up": figures.look_up(count),
                "dry run": figures.import_file(count, is_dry_run=True),
                "parsing, look-up, publishing contacts and keys": figures.look_up_and_publish(count, with_keys=True),
                "import of new persons": figures.import_file(count, is_dry_run=False, first=first),
                "parsing, look-up, publishing contacts": figures.look_up_and_publish(count),
                "import of known persons": figures.import_file(count, is_dry_run=False, first=first),
            }
            first += count
            baseline = cpu_baseline = 0.0
            for name, work in works.items():
                begin, cpu, memory = time.perf_counter(), time.process_time(), resident_megabytes()
                await work
                seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu
                is_baseline = name.startswith("parsing")
                baseline, cpu_baseline = (seconds, cpu_seconds) if is_baseline else (baseline, cpu_baseline)
                ratios = ("", "") if is_baseline else (f"{seconds / baseline:.2f}", f"{cpu_seconds / cpu_baseline:.2f}")
                grown = f"{resident_megabytes() - memory:.0f}"
                figures_of = (f"{count:,}", f"{count / seconds:,.0f}", f"{count / cpu_seconds:,.0f}", grown, *ratios)
                table.add_row(name, *figures_of)
        await client.close()
    Console().print(table)


def sizes(arguments: Sequence[str] | None = None) -> Sequence[int]:
    """Returns the numbers of rows that the arguments of the command name."""
    parser = argparse.ArgumentParser(prog="bench.contacts", description=__doc__)
    help = "rows of each file, one run after the other (default: 10000 1000000, about 15 minutes)"
    parser.add_argument("rows", type=_positive, nargs="*", metavar="ROWS", default=SIZES, help=help)
    found: Sequence[int] = parser.parse_args(arguments).rows
    return found


def _positive(text: str) -> int:
    if not text.isdecimal() or (count := int(text)) == 0:
        raise argparse.ArgumentTypeError(f"{text!r}: write the number of rows, such as 10000")
    return count


if __name__ == "__main__":
    asyncio.run(main(sizes()))
