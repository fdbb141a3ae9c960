"""Deadlines on three nats-servers: each one that passes is in the log once, also when a leader is killed."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nats
import pytest
from nats.errors import Error as NatsError
from tests.builders.calls import a_call
from tests.builders.events import an_envelope

from call_orchestrator.adapters.nats.timers import NatsTimers
from centralita.embedded.cluster import NODES, nats_cluster
from centralita.embedded.credentials import Credentials
from chassis.addresses import connection
from chassis.bus_clock import wall_clock
from chassis.provision import provision
from contracts import Service, TimerDue
from contracts.accounts import ADMIN
from contracts.permissions import inbox_of
from contracts.streams import CALLS, SCHEDULES, Stream

COUNT = 20


@pytest.mark.timeout(240)
@pytest.mark.parametrize("stream", [CALLS, SCHEDULES], ids=lambda stream: stream.name)
async def test_each_deadline_is_in_the_log_once_and_leaves_no_schedule_after_a_leader_was_killed(
    tmp_path: Path, stream: Stream
) -> None:
    access = Credentials.generate()
    with nats_cluster(tmp_path, access=access) as cluster:
        client = await nats.connect(**connection(access.url(cluster.url, ADMIN)), reconnect_time_wait=0)
        orchestrator = await nats.connect(
            **connection(access.url(cluster.url, Service.ORCHESTRATOR)),
            inbox_prefix=inbox_of(Service.ORCHESTRATOR),
            reconnect_time_wait=0,
        )
        js = client.jetstream(timeout=2)
        await provision(client, replicas=NODES)
        timers, cause = NatsTimers(orchestrator, Service.ORCHESTRATOR, wall_clock), an_envelope("cause")
        state = (await js.stream_info(stream.name)).cluster
        assert state
        leader = cluster.nodes[state.leader or ""]
        soon, later = datetime.now(UTC) + timedelta(seconds=1), datetime.now(UTC) + timedelta(hours=1)
        calls = [a_call(request_id=str(number), deadline_at=later, command_sequence=1) for number in range(COUNT)]
        for number, call in enumerate(calls):
            if number == COUNT // 2:
                leader.kill()
            advanced = call.model_copy(update={"deadline_at": soon, "command_sequence": 2})
            await timers.set(call, later, previous=None, cause=cause)
            await timers.set(advanced, soon, previous=call, cause=cause)
        fired: dict[str, int] = {}
        while len(fired) < COUNT:
            await asyncio.sleep(0.2)
            try:
                info = await js.stream_info(CALLS.name, subjects_filter=TimerDue.subjects())
            except (NatsError, TimeoutError):
                continue
            fired = info.state.subjects or {}
        assert fired == {TimerDue.subject_for(call.call_id): 1 for call in calls}
        assert not (await js.stream_info(SCHEDULES.name, subjects_filter="timer.set_for.>")).state.subjects
        await client.close()
        await orchestrator.close()
