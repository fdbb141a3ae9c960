"""The upstream system of a chaos run: requests calls, sends commands, and repeats what was not acknowledged."""

import asyncio
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from centralita.demo.campaign import CAMPAIGN_ID
from chassis.addresses import connection
from contracts import (
    CallCancelRequested,
    CallChangeRequested,
    CallRequested,
    CallRetryRequested,
    CommandOutcome,
    ContactRequested,
    Event,
    call_id_of,
    outcome_subject,
)
from contracts.queries import OUTCOMES

AREA_CODES = ("212", "213", "305", "312", "404", "415", "503", "602", "617", "702", "713", "773")
_ABANDONED = 0.2
"""The share of refused requests that is not published again."""
_SHARING = 4
"""A call to the phone of another one is to that of a request which is fewer than this before it."""
_STREAM_IS_FULL = 10077
"""The server's error code (``errors.json``) when it cannot store a message in the stream."""
_PAUSE_SECONDS = 0.5
_TEMPLATE = "Hello {{name}}, this is a reminder of your appointment on {{day}}.\n\nAsk whether they can come."

Command = CallCancelRequested | CallChangeRequested | CallRetryRequested


@dataclass
class Sent:
    """One message that upstream published, until it was acknowledged or abandoned. `sequence`: that of REQUESTS."""

    event: Event
    call_id: UUID
    sequence: int | None = None
    is_abandoned: bool = False


@dataclass
class Upstream:
    """Publishes as the NATS user upstream, and keeps what was acknowledged, refused and answered."""

    client: Client
    draw: random.Random
    call_ids: list[UUID] = field(default_factory=list)
    """The calls in the order of their requests."""
    sent: dict[str, Sent] = field(default_factory=dict)
    """By message id."""
    outcomes: dict[str, CommandOutcome] = field(default_factory=dict)
    """The last outcome of each command, by message id."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    abandoned: set[UUID] = field(default_factory=set)
    """The calls whose requests were refused and not published again."""
    requested: set[UUID] = field(default_factory=set)
    """The calls whose requests were acknowledged."""
    refusals: int = 0
    """How often the stream refused a message."""
    _message_ids: dict[str, str] = field(default_factory=dict)
    """By the subject of the outcome."""

    @classmethod
    async def connect(cls, url: str, seed: int) -> "Upstream":
        """Connects, and listens for the outcomes of commands."""
        client = await connect(url)
        upstream = cls(client, random.Random(f"{seed}:upstream"))
        await client.subscribe(OUTCOMES, cb=upstream._on_outcome)
        return upstream

    def request(self, request: CallRequested, commands: Iterable[Command]) -> None:
        """Requests a call and sends commands for it in the same breath, without waiting for any acknowledgement."""
        call_id = call_id_of(request.request_id or "")
        self.call_ids.append(call_id)
        self._publish(f"{request.request_id}", request, call_id)
        for command in commands:
            self.command(command)

    def command(self, command: Command) -> None:
        """Sends a command."""
        self._publish(f"command-{len(self.sent)}", command, command.call_id)

    def add_contact(self, message_id: str, request: ContactRequested, call_id: UUID) -> None:
        """Requests to add a contact to its campaign. `call_id`: that of its call, if it has one later."""
        self._publish(message_id, request, call_id)

    def _publish(self, message_id: str, event: Event, call_id: UUID) -> None:
        sent = self.sent[message_id] = Sent(event, call_id)
        self._message_ids[outcome_subject(message_id)] = message_id
        task = asyncio.create_task(self._publish_until_acknowledged(message_id, sent))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _publish_until_acknowledged(self, message_id: str, sent: Sent) -> None:
        js = self.client.jetstream(timeout=5)
        headers = {"Nats-Msg-Id": message_id}
        body = sent.event.model_dump_json(exclude_none=True).encode()
        is_certain = True  # whether every earlier try was refused
        while True:
            try:
                ack = await js.publish(sent.event.subject, body, headers=headers)
            except APIError as error:
                is_refused = error.err_code == _STREAM_IS_FULL
                is_certain &= is_refused
                self.refusals += is_refused
                if is_certain and isinstance(sent.event, CallRequested) and self.draw.random() < _ABANDONED:
                    sent.is_abandoned = True
                    self.abandoned.add(sent.call_id)
                    return
            except (NatsError, TimeoutError, OSError):
                is_certain = False
            else:
                sent.sequence = ack.seq
                if isinstance(sent.event, CallRequested):
                    self.requested.add(sent.call_id)
                return
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _on_outcome(self, message: Msg) -> None:
        self.outcomes[self._message_ids[message.subject]] = CommandOutcome.model_validate_json(message.data)


async def connect(url: str) -> Client:
    """Returns a connection that reconnects until it is closed, and reports no errors."""

    async def ignore(_: Exception) -> None:
        """The caller of the request gets the error."""

    return await nats.connect(
        **connection(url), max_reconnect_attempts=-1, reconnect_time_wait=0.2, error_cb=ignore, pending_size=2**24
    )


def draw_request(draw: random.Random, run: str, number: int) -> CallRequested:
    """Returns a request: short ring times, some retries, some scheduled within seconds, some to one phone."""
    phone = max(number - draw.randrange(1, _SHARING), 0) if draw.random() < 0.2 else number
    scheduled_at = datetime.now(UTC) + timedelta(seconds=draw.uniform(2, 20)) if draw.random() < 0.2 else None
    return CallRequested(
        request_id=f"{run}-{number:04d}",
        campaign_id=f"{CAMPAIGN_ID}-{draw.randrange(3)}",
        contact_id=f"contact-{number:04d}",
        phone_number=f"+1{AREA_CODES[phone // 100 % len(AREA_CODES)]}55501{phone % 100:02d}",
        script_template=_TEMPLATE,
        variables={"name": "Ada", "day": "Monday"},
        language="en",
        scheduled_at=scheduled_at,
        max_retries=draw.randrange(3),
        retry_delay_seconds=draw.randrange(1, 5),
        call_timeout_seconds=draw.randrange(5, 10),
    )


def draw_commands(draw: random.Random, call_id: UUID) -> list[Command]:
    """Returns the commands that are sent in one breath with a request: mostly none."""
    chance = draw.random()
    if chance < 0.10:
        return [CallCancelRequested(call_id=call_id)]
    if chance < 0.15:
        return [draw_change(draw, call_id), draw_change(draw, call_id)]
    if chance < 0.18:
        return [draw_change(draw, call_id), CallCancelRequested(call_id=call_id)]
    if chance < 0.20:
        return [CallRetryRequested(call_id=call_id)]
    return []


def draw_command(draw: random.Random, call_id: UUID) -> Command:
    """Returns one command for a call that was requested earlier."""
    chance = draw.random()
    if chance < 0.4:
        return CallCancelRequested(call_id=call_id)
    return draw_change(draw, call_id) if chance < 0.7 else CallRetryRequested(call_id=call_id)


def draw_change(draw: random.Random, call_id: UUID) -> CallChangeRequested:
    """Returns a change of the metadata, or of the time, too."""
    later = datetime.now(UTC) + timedelta(seconds=draw.uniform(1, 10)) if draw.random() < 0.5 else None
    changes: Mapping[str, Any] = {"metadata": {"change": str(draw.randrange(10**6))}, "scheduled_at": later}
    return CallChangeRequested(call_id=call_id, **changes)
