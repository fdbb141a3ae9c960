"""A replica whose machine's clock is an hour off decides by the time of nats-server."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import pytest
from nats.aio.client import Client
from tests.builders.consumers import is_settled
from tests.builders.numbers import number_for
from tests.builders.secret_keys import TEST_KEYS
from tests.integration.call_orchestrator.conftest import Ask, call_of, end, until, until_dialing, with_status

from centralita.embedded.vendors import ANY_TIME
from chassis.event_log import EventLog
from contracts import Call, CallRequested, CallStatus, TimerDue, call_id_of
from contracts.consumers import ORCHESTRATOR_FACTS
from contracts.streams import CALLS

LIBRARY = Path(str(files("libfaketime"))) / "vendor/libfaketime/src/libfaketime.so.1"
HALF_AN_HOUR = timedelta(minutes=30)


@asynccontextmanager
async def replica(nats_url: str, clock: str) -> AsyncIterator[None]:
    """Runs a replica as a process whose clocks are shifted by `clock`, such as ``+1h``."""
    environment = {
        "PATH": os.environ["PATH"],
        "NATS_URL": nats_url,
        "ALLOWED_COUNTRIES": "US",
        "CALLING_RULES": ANY_TIME,
        **TEST_KEYS,
        "TWILIO_CALLS_PER_SECOND": "100",
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME": clock,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "call_orchestrator", env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    try:
        async with asyncio.timeout(60):
            assert b"clock_differs" in await process.stdout.readline()
            while b"listening" not in await process.stdout.readline():
                continue
        yield
    finally:
        process.terminate()
        await process.wait()


def is_near(instant: datetime | None, expected: datetime) -> bool:
    """Whether two instants are of the same clock: an hour off is far, a busy machine is near."""
    return instant is not None and abs(instant - expected) < timedelta(minutes=10)


@pytest.mark.skipif(not LIBRARY.exists(), reason="libfaketime is not built for this machine")
@pytest.mark.parametrize("clock", ["+1h", "-1h"])
async def test_a_replica_whose_clock_is_an_hour_off_dials_due_calls_only_and_sets_right_deadlines(
    nats_url: str, bus_client: Client, calls: EventLog, ask: Ask, clock: str
) -> None:
    now, later = (
        datetime.now(UTC),
        CallRequested(
            request_id="later",
            campaign_id="spring",
            contact_id="c-1",
            phone_number=number_for("later"),
            script_template="Hello.",
            language="en",
            scheduled_at=datetime.now(UTC) + HALF_AN_HOUR,
        ),
    )
    later_id = call_id_of("later")
    async with replica(nats_url, clock):
        await bus_client.jetstream().publish(later.subject, later.model_dump_json().encode())
        [now_id] = await until_dialing(calls, await ask("spring", 1), 1)
        dialing = await call_of(calls, now_id)
        assert isinstance(dialing, Call)
        for instant in (dialing.created_at, dialing.dialed_at, dialing.deadline_at):
            assert is_near(instant, now)
        await end(calls, now_id)
        await until(lambda: with_status(calls, [now_id], CallStatus.BUSY))
        await calls.append(TimerDue(call_id=later_id, deadline_at=now + HALF_AN_HOUR))  # half an hour early
        await until(lambda: is_settled(bus_client, ORCHESTRATOR_FACTS))
        waiting = await call_of(calls, later_id)
    assert isinstance(waiting, Call)
    assert (waiting.status, waiting.is_queued) == (CallStatus.PENDING, False)
    assert is_near(waiting.deadline_at, now + HALF_AN_HOUR)
    fired = await bus_client.jetstream().stream_info(CALLS.name, subjects_filter=TimerDue.subject_for(later_id))
    assert sum((fired.state.subjects or {}).values()) == 1, "the timer is set again, and not in a loop"
