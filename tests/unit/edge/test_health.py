"""The health of the installation is examined once for all who ask within a few seconds."""

import asyncio
from datetime import UTC, datetime

from nats.aio.client import Client

from chassis.findings import Result
from edge.adapters.system_health import NatsInstallation
from edge.application.health import FRESH_SECONDS, HealthChecks
from edge.ports.health import Health


class _Installation:
    """Counts examinations; each waits until it may end."""

    def __init__(self) -> None:
        self.count = 0
        self.may_end = asyncio.Event()

    async def examine(self) -> Health:
        self.count += 1
        await self.may_end.wait()
        return Health(datetime(2026, 11, 29, 12, tzinfo=UTC), [], [], [], [])


async def test_all_who_ask_at_once_share_one_examination() -> None:
    installation = _Installation()
    checks = HealthChecks(installation, lambda: 0.0)
    asked = [asyncio.create_task(checks.read()) for _ in range(50)]
    await asyncio.sleep(0)
    installation.may_end.set()

    answers = await asyncio.gather(*asked)

    assert installation.count == 1
    assert all(one is answers[0] for one in answers)


async def test_clients_that_disconnect_begin_no_further_examination() -> None:
    installation = _Installation()
    checks = HealthChecks(installation, lambda: 0.0)
    for _ in range(20):
        gone = asyncio.create_task(checks.read())
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
    installation.may_end.set()

    await checks.read()

    assert installation.count == 1


async def test_an_answer_is_at_most_some_seconds_old() -> None:
    installation, now = _Installation(), [0.0]
    installation.may_end.set()
    checks = HealthChecks(installation, lambda: now[0])
    for instant in (0.0, FRESH_SECONDS - 0.1, FRESH_SECONDS, FRESH_SECONDS + 1):
        now[0] = instant
        await checks.read()

    assert installation.count == 2


async def test_an_examination_that_fails_is_repeated() -> None:
    class Failing(_Installation):
        async def examine(self) -> Health:
            if self.count == 0:
                self.count = 1
                raise RuntimeError
            return await super().examine()

    installation, now = Failing(), [0.0]
    installation.may_end.set()
    checks = HealthChecks(installation, lambda: now[0])
    [error] = await asyncio.gather(checks.read(), return_exceptions=True)
    now[0] = FRESH_SECONDS
    await checks.read()

    assert isinstance(error, RuntimeError)
    assert installation.count == 2


async def test_without_nats_the_finding_names_the_setting_and_the_command() -> None:
    [finding] = (await NatsInstallation(Client()).examine()).findings

    assert (finding.result, finding.check) == (Result.FAILED, "connection")
    assert "NATS_URL" in finding.advice
    assert "centralita doctor" in finding.advice
