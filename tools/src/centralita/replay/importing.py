"""From a file into the streams of another environment, all of it or nothing: one to look at, where nothing acts on it.

An imported ``call.status_changed.*.dialing`` is to voice what any other is: a phone to ring. So an environment in which
a durable consumer is being listened to is refused. Left out of each message are the server's own headers: guards
(``Nats-Expected-*``), which were about the log that it came from, what the scheduler put there, and ``Nats-Msg-Id``. By
that the server would silently drop what it had heard within two minutes, also if it has been removed since: an import
right after one that was taken back would have holes. What a message was known by only through its place (a request
without headers) it keeps as ``ce-id`` and ``ce-time``.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from centralita.replay.files import messages, validated
from centralita.replay.manifest import Manifest
from centralita.replay.marks import HEADER, TARGETS, Mark, new_id, standing
from centralita.replay.messages import Message
from centralita.replay.reading import Incomplete, last_sequence
from centralita.replay.sending import Sender
from centralita.replay.undo_import import take_back
from chassis.provision import Settings, provision
from chassis.settings import read
from contracts.streams import CONSUMERS

IN_FLIGHT = 64
PAUSE_SECONDS = 0.05
PATIENCE_SECONDS = 60.0
"""How long it tries to take back what it has published, if the target does not answer."""

Progress = Callable[[str, int, int], None]
"""CallInput the step, and how far it is: how many of how many."""


class Refused(RuntimeError):
    """Nothing was published; the message says what stands against it."""


class Interrupted(RuntimeError):
    """It came to no end. The message says why, and that nothing of it is left, or what is and how to remove it."""


@dataclass(frozen=True, slots=True)
class Imported:
    """All of the manifest's messages stand in the target; by `import_id` they can be taken back."""

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
    """Publishes every message of an export in its order. `speed`: times as fast as it happened; none: at once.

    The whole file is read before anything is published. What breaks it off, a cancellation too, makes it take back what
    it has published; a `client` that reconnects lets it do so after the server was away. Raises Damaged, Refused,
    Interrupted; a CancelledError has a note that says what Interrupted would say.
    """
    manifest = validated(path)
    if not force:
        await _nobody_listens(client)
    await _has_room(client, manifest, into_existing)
    await provision(client.jetstream(), replicas=read(Settings).nats_replicas)
    before = {name: await last_sequence(client, name) for name in TARGETS}
    running = _Import(client, manifest, new_id(manifest), before, progress or (lambda *_: None))
    try:
        await running.publish(path, speed)
    except asyncio.CancelledError as error:
        error.add_note(await running.taken_back("it was told to stop"))
        raise
    except Exception as error:
        raise Interrupted(await running.taken_back(str(error) or type(error).__name__)) from error
    return Imported(manifest, running.import_id)


async def _nobody_listens(client: Client) -> None:
    js = client.jetstream()
    for consumer in CONSUMERS:
        try:
            info = await js.consumer_info(consumer.stream.name, consumer.name)
        except NotFoundError:
            continue
        if info.push_bound:
            raise Refused(
                f"a service listens to {consumer.name}: it would act on what is imported (voice would dial). "
                "Stop the services of the target, or --force"
            )


async def _has_room(client: Client, manifest: Manifest, into_existing: bool) -> None:
    held = {name: count for name in TARGETS if (count := await _count(client, name))}
    for one in await standing(client) if held else ():
        if not one.whole:
            raise Refused(
                f"of the import {one.import_id} {one.messages} of {one.count} messages stand in the target: it was "
                f"killed, or runs now. `{_command(one.import_id)}` removes exactly these"
            )
        if one.is_of(manifest):
            undo = f"`{_command(one.import_id)}` removes it"
            raise Refused(f"this file stands in the target already, as the import {one.import_id}; {undo}")
    for name, count in held.items() if not into_existing else ():
        raise Refused(f"the target's {name} holds {count} messages; give --into-existing to add")


async def _count(client: Client, stream: str) -> int:
    try:
        return (await client.jetstream().stream_info(stream)).state.messages
    except NotFoundError:
        return 0


def _command(import_id: str) -> str:
    return f"centralita replay take-back {import_id}"


@dataclass
class _Import:
    """One import while it runs. `before`: where each stream ended when it began."""

    client: Client
    manifest: Manifest
    import_id: str
    before: dict[str, int]
    progress: Progress
    sent: int = 0

    async def publish(self, path: Path, speed: float | None) -> None:
        """Returns when all is stored."""
        sender, loop = await Sender.open(self.client), asyncio.get_running_loop()
        begun, first, count = loop.time(), None, self.manifest.count
        for line, message in enumerate(messages(path), start=1):
            first = first or message.time
            due = begun + (message.time - first).total_seconds() / speed if speed else begun
            if due - loop.time() > PAUSE_SECONDS or sender.missing == IN_FLIGHT:
                await sender.stored()
                await asyncio.sleep(due - loop.time())
            self.sent = line
            headers = carried(message, Mark(self.import_id, line, count))
            await sender.send(message.subject, message.body, headers)
            self.progress("importing", line, count)
        await sender.stored()

    async def taken_back(self, why: str) -> str:
        """Takes back what was published, and says how it stands now."""
        stopped = f"The import stopped at message {self.sent} of {self.manifest.count}: {why}."
        places = " and ".join(f"in {name} after {sequence}" for name, sequence in self.before.items())
        left = (
            f"What it published could not be taken back: left are at most {self.sent} messages {places}, each with the "
            f"header {HEADER}: {self.import_id}. `{_command(self.import_id)}` removes exactly these"
        )
        self.progress("taking back", 0, self.sent)
        try:
            await take_back(self.client, self.import_id, after=self.before, patience=PATIENCE_SECONDS)
        except asyncio.CancelledError as error:
            error.add_note(f"{stopped} {left}.")
            raise
        except (NatsError, OSError, Incomplete) as error:
            return f"{stopped} {left} ({str(error) or type(error).__name__})."
        return f"{stopped} What it had published is taken back: nothing of it is left."


def carried(message: Message, mark: Mark) -> dict[str, str]:
    """The headers that it has in the target."""
    own = {name: value for name, value in message.headers.items() if not name.lower().startswith("nats-")}
    return {"ce-id": message.identity, "ce-time": message.time.isoformat(), **own, HEADER: str(mark)}
