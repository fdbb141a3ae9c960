"""Where a recorded log is read from: the streams as they stand, or an export."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from centralita.replay.files import messages, validated
from centralita.replay.messages import FACTS, Message, facts_about
from centralita.replay.reading import last_sequence, read
from centralita.replay.scope import Scope, call_of, campaign_of
from contracts import CallCreated
from contracts.dead_letters import DeadLetter
from contracts.streams import CALLS, DEAD_LETTERS, ORCHESTRATOR_FACTS, ORCHESTRATOR_REQUESTS, REQUESTS, Consumer

_DECIDERS = (ORCHESTRATOR_REQUESTS, ORCHESTRATOR_FACTS)


@dataclass(frozen=True, slots=True)
class Record:
    """A recorded log. `handled` and `given_up`: see `centralita.replay.manifest.Manifest`."""

    scope: Scope
    messages: list[Message]
    handled: dict[str, int]
    given_up: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Live:
    """The two streams, up to where they stood when it was opened: what comes later is not in it."""

    client: Client
    scope: Scope
    ids: frozenset[str]
    upto: dict[str, int]
    handled: dict[str, int]
    given_up: tuple[str, ...]

    @classmethod
    async def open(cls, client: Client, scope: Scope) -> Self:
        """What is handled is asked first and REQUESTS last, so every decision's cause is in it, and every answer."""
        handled = {decider.stream.name: await _handled(client, decider) for decider in _DECIDERS}
        given_up = await _given_up(client)
        upto = {stream.name: await last_sequence(client, stream.name) for stream in (CALLS, REQUESTS)}
        ids = await _calls_of(client, scope, upto[CALLS.name]) if scope.campaign_id else frozenset()
        return cls(client, scope, ids, upto, handled, given_up)

    @property
    def size(self) -> int:
        """What `place` ends at."""
        return sum(self.upto.values())

    def place(self, message: Message) -> int:
        """How far the reading is at a message, in `size`; roughly, since the two streams are read side by side."""
        return message.sequence if message.stream == CALLS.name else 0

    async def requests(self) -> AsyncIterator[Message]:
        """The stream REQUESTS, as far as it is in the scope."""
        async for message in read(self.client, REQUESTS.name, upto=self.upto[REQUESTS.name]):
            if self.scope.wants(message, self.ids):
                yield message

    async def facts(self) -> AsyncIterator[Message]:
        """The stream CALLS without its schedules, as far as it is in the scope."""
        filters = facts_about(self.scope.call_id) if self.scope.call_id else FACTS
        async for message in read(self.client, CALLS.name, filters=filters, upto=self.upto[CALLS.name]):
            if self.scope.wants(message, self.ids):
                yield message


async def from_streams(client: Client, scope: Scope) -> Record:
    """The record of a running system, or of one that has ended. It is held in memory: narrow a large one by `scope`."""
    live = await Live.open(client, scope)
    found = [message async for message in live.requests()]
    found += [message async for message in live.facts()]
    return Record(scope, found, live.handled, live.given_up)


def from_file(path: Path, scope: Scope) -> Record:
    """The record in an export. Raises `centralita.replay.manifest.Damaged`, OSError."""
    manifest = validated(path)
    found = list(messages(path))
    ids = {call_of(message) or "" for message in found if campaign_of(message) == scope.campaign_id}
    within = manifest.scope if manifest.scope.is_span and not scope.is_span else scope
    kept = [message for message in found if scope.wants(message, ids)]
    return Record(within, kept, manifest.handled, manifest.given_up)


async def _calls_of(client: Client, scope: Scope, upto: int) -> frozenset[str]:
    created = read(client, CALLS.name, filters=(CallCreated.subjects(),), upto=upto)
    return frozenset([call_of(message) or "" async for message in created if campaign_of(message) == scope.campaign_id])


async def _handled(client: Client, consumer: Consumer) -> int:
    try:
        floor = (await client.jetstream().consumer_info(consumer.stream.name, consumer.name)).ack_floor
    except NotFoundError:
        return 0
    return floor.stream_seq if floor else 0


async def _given_up(client: Client) -> tuple[str, ...]:
    """Which inputs of the orchestrator are dead letters."""
    try:
        upto = await last_sequence(client, DEAD_LETTERS.name)
    except NotFoundError:
        return ()
    letters = [
        DeadLetter.model_validate_json(message.body) async for message in read(client, DEAD_LETTERS.name, upto=upto)
    ]
    deciders = {consumer.name for consumer in _DECIDERS}
    return tuple(f"{letter.stream}/{letter.sequence}" for letter in letters if letter.consumer in deciders)
