"""``python -m bench.erasure``: what an erasure reads beside the person's own messages, in seconds of CPU.

An erasure by a contact's id reads each waiting contact (of one campaign, or of all). Each erasure reads each dead
letter. Neither is indexed by person. CPU seconds are those of the reading process, without nats-server.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import nats
from nats.aio.client import Client

from centralita.embedded.servers import nats_server
from chassis.dead_letters import read_dead_letters
from chassis.event_log import EventLog
from chassis.provision import provision
from chassis.stream_reader import last_sequence
from contracts.dead_letters import DeadLetter
from contracts.examples import EXAMPLES
from contracts.number_digests import NumberDigests
from contracts.streams import CALLS, CONTACTS, DEAD_LETTERS
from edge.adapters.persons import NatsPersonalRecords

COUNT = 100_000
_FLUSHED = 1_000


async def _publish(client: Client, count: int, message: Callable[[int], tuple[str, bytes]]) -> None:
    """Publishes messages without waiting for each acknowledgement."""
    for number in range(count):
        await client.publish(*message(number))
        if number % _FLUSHED == 0:
            await client.flush()
    await client.flush()


def _contact(number: int) -> tuple[str, bytes]:
    contact = EXAMPLES["contact.added"].model_copy(
        update={"contact_id": f"c-{number}", "number_digest": f"{number:032x}"}
    )
    return contact.subject, contact.body()


def _dead_letter(number: int) -> tuple[str, bytes]:
    subject, stream, consumer = "call.requested", "REQUESTS", "orchestrator-requests"
    letter = DeadLetter.of(
        stream=stream, sequence=number + 1, consumer=consumer, subject=subject, reasons=["too many tries"], deliveries=9
    ).model_copy(update={"persons": f"{number:08x}"})
    return letter.dead_letter_subject, letter.model_dump_json(exclude_none=True).encode()


@asynccontextmanager
async def _filled(count: int) -> AsyncIterator[Client]:
    with tempfile.TemporaryDirectory() as folder, nats_server(Path(folder)) as url:
        client = await nats.connect(url)
        try:
            await provision(client)
            await _publish(client, count, _contact)
            await _publish(client, count, _dead_letter)
            for stream in (CONTACTS, DEAD_LETTERS):
                while await last_sequence(client, stream.name) < count:  # noqa: ASYNC110  the server signals nothing
                    await asyncio.sleep(0.1)
            yield client
        finally:
            await client.close()


async def _measured(name: str, read: Callable[[], Awaitable[int]]) -> None:
    began_at = time.process_time()
    found = await read()
    print(f"{name}: {time.process_time() - began_at:.1f} s of CPU, {found} found", flush=True)


async def main(count: int) -> None:
    """Prints the figures."""
    async with _filled(count) as client:
        records = NatsPersonalRecords(
            client,
            EventLog(client, CALLS.name, source="bench"),
            EventLog(client, CONTACTS.name, source="bench"),
            NumberDigests(bytes(32)),
        )

        async def contacts() -> int:
            return len(await records.persons_of_contact(f"c-{count - 1}", None))

        async def dead_letters() -> int:
            return len([one async for one in read_dead_letters(client)])

        await _measured(f"{count} waiting contacts, by a contact's id", contacts)
        await _measured(f"{count} dead letters", dead_letters)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT, help="waiting contacts, and dead letters")
    asyncio.run(main(parser.parse_args().count))
