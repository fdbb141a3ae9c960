"""Import: publishing an export in another environment, all or nothing.

For voice, an imported ``call.status_changed.*.dialing`` is an order to dial. An import is therefore refused while a
service subscribes in the target, and is meant for environments in which no service acts on it.

**All or nothing.** Each imported message carries the header `import_headers.HEADER` with the import's id, its line
and the number of lines. If the import fails or is cancelled, `undo_import` removes exactly the messages with that
header. If its process is killed, the target contains fewer messages than the header's count. The next import is
refused and names the command that removes them.

**Headers.** The server's own headers (``Nats-*``) are not imported. Guards (``Nats-Expected-*``) refer to the
log that the message comes from. ``Nats-Msg-Id`` would leave gaps in an import that follows an undone one. The server
silently drops an id that it received within two minutes, even if the message was deleted since. A message that was
identified only by its sequence (a request without headers) gets that identity as ``ce-id``, and its time as
``ce-time``.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from centralita.replay.export_file import read_messages, validate
from centralita.replay.import_headers import HEADER, TARGETS, ImportHeader, find_imports, new_import_id
from centralita.replay.manifest import Manifest
from centralita.replay.publisher import BatchPublisher
from centralita.replay.undo_import import UndoRefused, undo_import
from chassis.direct_get import get_first
from chassis.migration_checks import NotMigrated
from chassis.provision import Settings, provision
from chassis.settings import read
from chassis.stream_api import jetstream_of
from chassis.stream_reader import last_sequence
from contracts import CallChanged, CallCreated
from contracts.consumers import CONSUMERS
from contracts.personal import PERSON_HEADER
from contracts.streams import CALLS
from records.messages import Message

MAX_IN_FLIGHT = 64
UNDO_SECONDS = 60.0
"""How long a failed import tries to remove its messages while the target does not answer."""
_MIN_PAUSE_SECONDS = 0.05

Progress = Callable[[str, int, int], None]
"""Called with the name of the stage, the done amount and the total amount."""


class ImportRefused(RuntimeError):
    """The import was not begun, and nothing was published. The message names the reason and the remedy."""


class ImportInterrupted(RuntimeError):
    """The import failed. The message names the reason, and either that the target is as before or what remains."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A complete import. `import_id` identifies its messages for `undo_import`."""

    manifest: Manifest
    import_id: str


async def import_file(
    client: Client,
    path: Path,
    *,
    speed: float | None = 1.0,
    into_existing: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> Imported:
    """Publishes every message of an export in its order, after the whole file has been read and checked.

    `speed`: how many times as fast as recorded; None: as fast as possible. `into_existing`: also into streams with
    messages. `force`: also while services subscribe. If `client` reconnects, an import that failed because the server
    was down can still remove its messages. Raises DamagedExport, ImportRefused, ImportInterrupted; a CancelledError
    carries the message of ImportInterrupted as a note.
    """
    manifest = validate(path)
    if not force:
        await _check_no_subscriber(client)
    await _check_target(client, manifest, into_existing)
    await _check_sealing(client, path)
    settings = read(Settings)
    try:
        await provision(client, replicas=settings.nats_replicas, max_bytes=settings.max_bytes)
    except NotMigrated as error:
        raise ImportRefused(str(error)) from error
    before = {name: await last_sequence(client, name) for name in TARGETS}
    running = _RunningImport(client, manifest, new_import_id(manifest), before, progress or (lambda *_: None))
    try:
        await running.publish(path, speed)
    except asyncio.CancelledError as error:
        error.add_note(await running.undo("it was cancelled"))
        raise
    except Exception as error:
        raise ImportInterrupted(await running.undo(str(error) or type(error).__name__)) from error
    return Imported(manifest, running.import_id)


async def _check_no_subscriber(client: Client) -> None:
    for consumer in CONSUMERS:
        js = jetstream_of(client, consumer.stream.name)
        try:
            info = await js.consumer_info(consumer.stream.name, consumer.name)
        except NotFoundError:
            continue
        if info.push_bound:
            raise ImportRefused(
                f"a service subscribes to {consumer.name} in the target and would act on imported messages (voice "
                "would dial). Stop the services of the target, or give --force"
            )


async def _check_target(client: Client, manifest: Manifest, into_existing: bool) -> None:
    """Raises ImportRefused if the target has part of another import, this file, or (by default) any message."""
    counts = {name: count for name in TARGETS if (count := await _count(client, name))}
    for found in await find_imports(client) if counts else ():
        remedy = f"`{_undo_command(found.import_id)}` removes exactly these messages"
        if not found.is_complete:
            raise ImportRefused(
                f"the target contains {found.messages} of {found.count} messages of the import {found.import_id}: that "
                f"import was killed or is still running. {remedy}"
            )
        if found.is_of(manifest):
            raise ImportRefused(f"the target already contains this file as the import {found.import_id}; {remedy}")
    for name, count in counts.items() if not into_existing else ():
        raise ImportRefused(f"the target's {name} contains {count} messages; give --into-existing to add to them")


async def _check_sealing(client: Client, path: Path) -> None:
    """Raises ImportRefused if calls in clear would follow a sealed one.

    `centralita forget` looks for calls in clear only where the first call of the log is one.
    """
    created, changed = f"{CallCreated.event_name}.", f"{CallChanged.event_name}."
    first = await get_first(client, CALLS.name, CallCreated.subjects()) if await _count(client, CALLS.name) else None
    is_first_sealed = PERSON_HEADER in first.headers if first else None
    for message in read_messages(path):
        is_sealed = PERSON_HEADER in message.headers
        if is_first_sealed and not is_sealed and message.subject.startswith((created, changed)):
            raise ImportRefused(
                f"message {message.sequence} of {message.stream} is a call in clear, and would follow a sealed one, so "
                "`centralita forget` could not find its number. Import the file into an empty target, run "
                "`centralita seal` there, and import an export of that"
            )
        if is_first_sealed is None and message.subject.startswith(created):
            is_first_sealed = is_sealed


async def _count(client: Client, stream: str) -> int:
    try:
        return (await jetstream_of(client, stream).stream_info(stream)).state.messages
    except NotFoundError:
        return 0


def _undo_command(import_id: str) -> str:
    return f"centralita replay undo-import {import_id}"


@dataclass
class _RunningImport:
    """An import in progress. `before`: the last sequence of each target stream when it began."""

    client: Client
    manifest: Manifest
    import_id: str
    before: dict[str, int]
    progress: Progress
    published: int = 0

    async def publish(self, path: Path, speed: float | None) -> None:
        """Returns when all messages are stored."""
        publisher, loop = await BatchPublisher.open(self.client), asyncio.get_running_loop()
        started_at, first_at, count = loop.time(), None, self.manifest.count
        for line, message in enumerate(read_messages(path), start=1):
            _raise_if_cancelled()
            first_at = first_at or message.time
            publish_at = started_at + (message.time - first_at).total_seconds() / speed if speed else started_at
            if publish_at - loop.time() > _MIN_PAUSE_SECONDS or publisher.unacknowledged == MAX_IN_FLIGHT:
                await publisher.flush()
                await asyncio.sleep(publish_at - loop.time())
            self.published = line
            headers = headers_for_import(message, ImportHeader(self.import_id, line, count))
            await publisher.publish(message.subject, message.body, headers)
            self.progress("importing", line, count)
        await publisher.flush()

    async def undo(self, reason: str) -> str:
        """Removes what was published and returns a description of the result."""
        stopped = f"The import stopped at message {self.published} of {self.manifest.count}: {reason}."
        positions = " and ".join(f"in {name} after sequence {sequence}" for name, sequence in self.before.items())
        remaining = (
            f"Its messages could not be removed: at most {self.published} messages remain {positions}, each with the "
            f"header {HEADER}: {self.import_id}. `{_undo_command(self.import_id)}` removes exactly these messages"
        )
        self.progress("undoing the import", 0, self.published)
        try:
            await undo_import(self.client, self.import_id, after=self.before, timeout_seconds=UNDO_SECONDS)
        except asyncio.CancelledError as error:
            error.add_note(f"{stopped} {remaining}.")
            raise
        except (NatsError, OSError, UndoRefused) as error:
            return f"{stopped} {remaining} ({str(error) or type(error).__name__})."
        return f"{stopped} All messages that it had published are removed again."


def _raise_if_cancelled() -> None:
    """Raises CancelledError if the task was cancelled and the cancellation was lost.

    Before Python 3.12, `asyncio.wait_for` drops a cancellation that arrives together with its result; nats-py uses it
    for every request.
    """
    task = asyncio.current_task()
    if task and task.cancelling():
        raise asyncio.CancelledError


def headers_for_import(message: Message, header: ImportHeader) -> dict[str, str]:
    """Returns the headers that the message gets in the target."""
    own = {name: value for name, value in message.headers.items() if not name.lower().startswith("nats-")}
    return {"ce-id": message.identity, "ce-time": message.time.isoformat(), **own, HEADER: str(header)}
