"""Refusals of the whole account open the circuit breaker; refusals of one callee do not."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import pytest
from tests.fakes.providers import provider
from tests.integration.voice.conftest import ACCOUNT_SID, AUTH_TOKEN, CALLEE, CALLER

from providers import BreakerState, CircuitBreaker
from simulators.faults import FaultRule
from simulators.server import Simulators
from telephony.dial_failures import DialFailed
from voice.adapters import twilio
from voice.adapters.twilio import Twilio
from voice.ports import DialOrder

FAILURES = 3


@dataclass(frozen=True)
class Account:
    """The adapter with a circuit breaker that opens after three failures."""

    telephony: Twilio
    breaker: CircuitBreaker

    async def dial(self, times: int) -> None:
        for _ in range(times):
            with pytest.raises(DialFailed):
                await self.telephony.dial(DialOrder(uuid4(), 1, CALLEE, 30, 600))


@pytest.fixture
async def account(simulators: Simulators) -> AsyncIterator[Account]:
    twilio_provider = provider("twilio", capacity=5, max_failures=FAILURES)
    async with twilio.connect(
        account_sid=ACCOUNT_SID,
        auth_token=AUTH_TOKEN,
        base_url=simulators.twilio_url,
        number=CALLER,
        callbacks="http://127.0.0.1:9",
        provider=twilio_provider,
    ) as telephony:
        yield Account(telephony, twilio_provider.breaker)


def refuse(simulators: Simulators, status: int, code: int | None) -> None:
    body = {} if code is None else {"code": code, "message": "no", "more_info": "", "status": status}
    simulators.faults.rules = [FaultRule(target="twilio", kind="status", status=status, body=body)]


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, 20003), (401, None), (403, 20005), (400, 10001), (400, 21210), (404, 20404)],
    ids=["credentials", "credentials without a code", "suspended", "inactive", "caller id", "no such account"],
)
async def test_a_refusal_of_the_account_is_a_failure_of_the_provider(
    status: int, code: int | None, account: Account, simulators: Simulators
) -> None:
    refuse(simulators, status, code)
    await account.dial(FAILURES)
    assert account.breaker.state is BreakerState.OPEN
    with pytest.raises(DialFailed, match="not sent"):
        await account.telephony.dial(DialOrder(uuid4(), 1, CALLEE, 30, 600))


@pytest.mark.parametrize("code", [21203, 21215, 21219, 21211, 21216, 10004, 21999])
async def test_a_refusal_of_one_callee_or_one_moment_does_not_open_the_breaker(
    code: int, account: Account, simulators: Simulators
) -> None:
    refuse(simulators, 400, code)
    await account.dial(2 * FAILURES)
    assert account.breaker.state is BreakerState.CLOSED


async def test_an_unknown_call_does_not_open_the_breaker(account: Account, simulators: Simulators) -> None:
    for _ in range(2 * FAILURES):
        await account.telephony.hang_up("CA" + "f" * 32)
        assert await account.telephony.fetch("CA" + "f" * 32) is None
    assert account.breaker.state is BreakerState.CLOSED


async def test_refused_credentials_count_for_every_kind_of_request(account: Account, simulators: Simulators) -> None:
    refuse(simulators, 401, 20003)
    for _ in range(FAILURES):
        with pytest.raises(Exception, match="401"):
            await account.telephony.hang_up("CA" + "f" * 32)
    assert account.breaker.state is BreakerState.OPEN
