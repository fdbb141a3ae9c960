"""The states of all numbers, and the commands to erase persons (`application.retention` and `late_calls`)."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from nats.aio.client import Client

from chassis.event_log import EventLog, UnreadableEvent
from chassis.stream_reader import last_sequence, read
from chassis.unreadable import UnreadableEvents
from contracts import Envelope, NumberChanged, NumberState, PersonEraseRequested
from contracts.streams import NUMBERS


class NatsNumberStates:
    """Implements `call_orchestrator.ports.NumberStates` and `PersonCommands`."""

    def __init__(self, client: Client, numbers: EventLog, requests: EventLog) -> None:
        self._client = client
        self._numbers = numbers
        self._requests = requests
        self._unreadable = UnreadableEvents("retention")

    async def all(self) -> AsyncIterator[NumberState]:
        """Yields the newest state of each number. One that this build cannot decode is left out and reported."""
        end = await last_sequence(self._client, NUMBERS.name)
        async with aclosing(read(self._client, NUMBERS.name, end_sequence=end)) as messages:
            async for message in messages:
                try:
                    event = (await self._numbers.decode(message)).event
                except UnreadableEvent as error:
                    self._unreadable.report(error)
                    continue
                if isinstance(event, NumberChanged):
                    yield event.number

    async def erase(self, command: PersonEraseRequested, *, cause: Envelope | None = None) -> None:
        """Sends the command. Its id follows from the cause, or from the person and the instant: replicas send one."""
        kept_until = command.kept_until.isoformat() if command.kept_until else ""
        event_id = f"{cause.id}/erase" if cause else f"retention/{command.number_digest}/{kept_until}"
        await self._requests.append(command, cause=cause, event_id=event_id)
