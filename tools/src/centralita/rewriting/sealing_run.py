"""Counts the messages in clear, and seals them: all streams that may have some are rewritten if one has.

A replaced message stays in the file of its stream for a while. So a stream is rewritten also if only another one has
messages in clear.
"""

from collections.abc import Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass

from nats.aio.client import Client
from nats.js import JetStreamContext

from centralita.rewriting.clear_messages import Counts, Sealer
from centralita.rewriting.persons import Persons
from centralita.rewriting.stream_rewriting import Progress, Rewriting, is_complete, is_sealed
from chassis.dead_letters import read_dead_letters
from chassis.direct_get import StoredMessage
from chassis.keyring import Keyring
from chassis.migration_checks import NotSealed
from chassis.provision import provision
from chassis.stored_event import load_keys, stored_event_of_raw
from chassis.stream_api import find_stream, jetstream_of
from chassis.stream_reader import last_sequence, read
from chassis.stream_replacement import other_clients
from contracts import CallCreated
from contracts.number_digests import NumberDigests
from contracts.personal import PERSON_HEADER, PLACEHOLDERS
from contracts.streams import CALLS, SEALED_STREAMS, Stream, sealed_copy

_CREATED = f"{CallCreated.event_name}."


class SealRefused(RuntimeError):
    """Nothing was changed. The message names the reason and the remedy."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """The messages of each stream before the run. `dead_letters`: how many contain a copy of their message."""

    streams: Mapping[str, Counts]
    dead_letters: int

    @property
    def in_clear(self) -> int:
        """How many messages were in clear and are sealed now."""
        return sum(counts.in_clear for counts in self.streams.values())

    @property
    def left(self) -> int:
        """How many messages stay in clear."""
        return self.dead_letters + sum(counts.unreadable + counts.unknown for counts in self.streams.values())


async def seal_streams(
    client: Client,
    keyring: Keyring,
    digests: NumberDigests,
    *,
    progress: Progress,
    dry_run: bool = False,
    replicas: int = 1,
    max_bytes: Mapping[str, int] | None = None,
) -> Sealed:
    """Seals all messages in clear; with `dry_run`, only counts them. A repetition finishes an interrupted run.

    `keyring` is started here. Raises SealRefused, CopyInterrupted, WrongDigestKey, WrongMasterKey, and the errors
    of `provision`.
    """
    sizes = max_bytes or {}
    if not dry_run:
        if others := await other_clients(client):
            raise SealRefused(f"other clients are connected: {', '.join(others)}. Stop all services first")
        with suppress(NotSealed):
            await provision(client, replicas=replicas, max_bytes=sizes)
    persons = Persons(digests)
    sealer = Sealer(persons, keyring)
    await _read(client, sealer, progress)
    dead_letters = len([one async for one in read_dead_letters(client) if one.dead_letter.has_copy])
    result = Sealed(sealer.counts, dead_letters)
    unsealed = [stream for stream in SEALED_STREAMS if await _is_unsealed(client, stream, sealer.counts[stream.name])]
    is_begun = 0 < len(unsealed) < len(SEALED_STREAMS)
    if dry_run or not (result.in_clear or is_begun):
        return result
    async with keyring.is_current():
        for stream in unsealed:
            await Rewriting(client, stream, sealer.sealed, progress, sizes.get(stream.name)).run()
    await provision(client, replicas=replicas, max_bytes=sizes)
    return result


async def _is_unsealed(client: Client, stream: Stream, counts: Counts) -> bool:
    """Whether a stream has to be rewritten, if any has."""
    js = jetstream_of(client, stream.name)
    found, copy = await find_stream(js, stream.name), await find_stream(js, sealed_copy(stream.name))
    return bool(copy or counts.in_clear or found is None or not is_sealed(found))


async def _read(client: Client, sealer: Sealer, progress: Progress) -> None:
    """Notes the persons of all calls, and counts the messages in clear."""
    is_checked = False
    for stream in SEALED_STREAMS:
        name = await _readable(jetstream_of(client, stream.name), stream.name)
        end, counts = await last_sequence(client, name), sealer.counts.setdefault(stream.name, Counts())
        async with aclosing(read(client, name, end_sequence=end)) as messages:
            async for message in messages:
                if stream is CALLS:
                    sealer.persons.note(message)
                if message.subject.startswith(_CREATED) and PERSON_HEADER in message.headers and not is_checked:
                    is_checked = await _check_digest(message, sealer)
                sealer.count(message, counts)
                if counts.messages % 500 == 0:
                    progress(f"reading {stream.name}", message.seq, end)


async def _check_digest(message: StoredMessage, sealer: Sealer) -> bool:
    """Compares the digest of a sealed call with its number. Returns whether its key exists. Raises WrongDigestKey."""
    await load_keys([message], sealer.keyring)
    event = stored_event_of_raw(message, CALLS.name, sealer.keyring).event
    if not isinstance(event, CallCreated) or event.call.phone_number in PLACEHOLDERS:
        return False
    sealer.persons.check(event.call.phone_number, message.headers[PERSON_HEADER])
    return True


async def _readable(js: JetStreamContext, stream: str) -> str:
    """Returns the name of the stream, or that of its copy while only the copy is complete."""
    copy = await find_stream(js, sealed_copy(stream))
    return sealed_copy(stream) if copy and is_complete(copy) else stream
