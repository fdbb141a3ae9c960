"""Moves the deadlines of much older installations from CALLS to the stream SCHEDULES, while no service runs.

nats-server never disables schedules of a stream, so CALLS is copied to a new stream and back (docs/adr/0027). All
messages keep their sequences, headers and times; every durable consumer continues after its last acknowledged message.
Messages that were acknowledged out of order are delivered again (law 6). It needs free disk space of the size of CALLS.

If the command is interrupted, it is run again: each step finds out from the server what is done.

| found on the server | next step |
|---|---|
| CALLS with schedules | its subjects change, SCHEDULES is created, pending schedules are moved to it |
| CALLS without a schedule | `COPY` is created as a mirror, which keeps all sequences |
| `COPY` is complete | the positions of the consumers are written into it, and it becomes a stream of its own |
| `COPY` is a stream of its own | CALLS is deleted, and created again as a mirror of `COPY` |
| the new CALLS is complete | it becomes a stream of its own with all its settings; its consumers are created |
| the consumers are created | `COPY` is deleted |
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamConfig, StreamInfo, StreamSource
from nats.js.errors import NotFoundError

from chassis.direct_get import StoredMessage
from chassis.migration_checks import COPY_OF_CALLS as COPY
from chassis.provision import stream_config
from chassis.stored_event import stored_event_of_raw
from chassis.stream_api import find_stream
from chassis.stream_move import Report
from chassis.stream_reader import read
from chassis.stream_replacement import (
    archive_metadata,
    as_mirror,
    create_consumers,
    create_stream,
    positions_of_consumers,
    wait_until_equal,
)
from contracts import CallDecision
from contracts.events.timers import TimerDue, schedule_headers, schedule_subject
from contracts.filters import call_state_filter
from contracts.streams import CALLS, SCHEDULES

OLD_SCHEDULES = "timer.set.*"
"""The schedules of older builds, one for each call."""
_COPY_SUBJECT = "migration.copy"
"""A stream that is no mirror needs a subject."""
_POSITIONS, _LAST_SEQUENCE = "centralita-positions", "centralita-last-sequence"
"""The names in the metadata of `COPY`: the next sequence of each consumer, and the end of CALLS."""
_CONCURRENT = 64


class DeadlineMigration:
    """One run. Each method does what is left to do of its step."""

    def __init__(self, client: Client, report: Report) -> None:
        self._client = client
        self._js: JetStreamContext = client.jetstream(timeout=30)
        self._report = report

    async def run(self) -> None:
        """Does what is left to do."""
        calls, copy = await find_stream(self._js, CALLS.name), await find_stream(self._js, COPY)
        if calls and copy and _is_outdated(copy, calls):
            self._report("a service has written to CALLS since the interruption: the copy is made again")
            await self._js.delete_stream(COPY)
            copy = None
        if copy is None and (calls is None or not _has_schedules(calls)):
            return
        if calls and (copy is None or copy.config.mirror):
            await self._move_schedules(calls)
            await self._copy_calls(calls)
        await self._recreate_calls()
        await self._create_consumers()
        self._report(f"the stream {COPY} is deleted")
        await self._js.delete_stream(COPY)

    async def _move_schedules(self, calls: StreamInfo) -> None:
        """Moves the pending schedules. One that fires meanwhile in both streams is ignored the second time."""
        self._report("pending deadlines are moved to SCHEDULES")
        subjects = [subject for subject in calls.config.subjects or () if not subject.startswith("timer.")]
        await self._js.update_stream(replace(calls.config, subjects=[*subjects, TimerDue.subjects()]))
        if await find_stream(self._js, SCHEDULES.name) is None:
            await self._js.add_stream(stream_config(SCHEDULES, replicas=calls.config.num_replicas or 1))
        chunk: list[StoredMessage] = []
        async for message in read(self._client, CALLS.name, (OLD_SCHEDULES,), end_sequence=calls.state.last_seq):
            chunk.append(message)
            if len(chunk) == _CONCURRENT:
                await asyncio.gather(*map(self._move_schedule, chunk))
                chunk.clear()
        await asyncio.gather(*map(self._move_schedule, chunk))
        await self._js.purge_stream(CALLS.name, subject=OLD_SCHEDULES)

    async def _move_schedule(self, message: StoredMessage) -> None:
        """Publishes the schedule again for the deadline of its call. A call without a state needs none."""
        call_id, headers = message.subject.rpartition(".")[2], message.headers
        try:
            newest = await self._js.get_last_msg(CALLS.name, call_state_filter(call_id))
        except NotFoundError:
            return
        event = stored_event_of_raw(newest, CALLS.name).event
        subject = schedule_subject(event.call) if isinstance(event, CallDecision) else None
        if subject and "Nats-Schedule" in headers:
            own = {name: value for name, value in headers.items() if not name.startswith("Nats-")}
            schedule = schedule_headers(call_id, headers["Nats-Schedule"])
            await self._js.publish(subject, message.data, headers={**own, **schedule})

    async def _copy_calls(self, calls: StreamInfo) -> None:
        self._report(f"CALLS is copied to {COPY}")
        config = StreamConfig(
            name=COPY,
            storage=StorageType.FILE,
            num_replicas=calls.config.num_replicas,
            mirror=StreamSource(name=CALLS.name),
        )
        if await find_stream(self._js, COPY) is None:
            await self._js.add_stream(config)
        end_sequence = await wait_until_equal(self._js, COPY, CALLS.name)
        self._report("the positions of the consumers are recorded")
        positions = {
            name: sequence async for name, sequence in positions_of_consumers(self._js, CALLS.name, end_sequence)
        }
        last_sequence = (await self._js.stream_info(CALLS.name)).state.last_seq
        metadata = {_POSITIONS: json.dumps(positions), _LAST_SEQUENCE: str(last_sequence), **archive_metadata(calls)}
        await self._js.update_stream(replace(config, mirror=None, subjects=[_COPY_SUBJECT], metadata=metadata))

    async def _recreate_calls(self) -> None:
        calls = await find_stream(self._js, CALLS.name)
        if calls and _has_schedules(calls):
            self._report("CALLS is deleted")
            await self._js.delete_stream(CALLS.name)
            calls = None
        copy = await self._js.stream_info(COPY)
        config = replace(stream_config(CALLS, replicas=copy.config.num_replicas or 1), metadata=archive_metadata(copy))
        if calls is None:
            self._report(f"CALLS is created from {COPY}")
            await create_stream(self._js, as_mirror(config, COPY))
        elif calls.config.mirror is None:
            return
        await wait_until_equal(self._js, CALLS.name, COPY)
        self._report("CALLS gets its settings")
        await self._js.update_stream(config)

    async def _create_consumers(self) -> None:
        self._report("the consumers of CALLS are created")
        copy = await self._js.stream_info(COPY)
        positions: Mapping[str, int] = json.loads((copy.config.metadata or {})[_POSITIONS])
        await create_consumers(self._js, CALLS.name, positions)


def _has_schedules(stream: StreamInfo) -> bool:
    return bool(stream.config.allow_msg_schedules)


def _is_outdated(copy: StreamInfo, calls: StreamInfo) -> bool:
    """Returns whether the old CALLS has messages that it did not have when the copy was complete."""
    if copy.config.mirror or not _has_schedules(calls):
        return False
    return int((copy.config.metadata or {})[_LAST_SEQUENCE]) != calls.state.last_seq
