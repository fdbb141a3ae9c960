"""The three simulators in one process: ports, fault injection, shutdown, and the command."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx
import openai
import pytest
from starlette.applications import Starlette
from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped]
from twilio.http.async_http_client import AsyncTwilioHttpClient  # type: ignore[import-untyped]
from twilio.http.response import Response  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

from simulators.faults import FaultRule
from simulators.server import DEFAULT_ACCOUNT_SID, DEFAULT_AUTH_TOKEN, Simulators, running
from simulators.serving import serving

# The Twilio SDK uses a function that aiohttp deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*encode_basic_auth:DeprecationWarning")
CALLEE = "+12125550123"


class LoopbackHttpClient(AsyncTwilioHttpClient):  # type: ignore[misc]
    """The SDK's HTTP client, which connects to the simulator instead of api.twilio.com."""

    def __init__(self, origin: str) -> None:
        super().__init__()
        self._origin = origin

    async def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Response:
        return await super().request(method, url.replace("https://api.twilio.com", self._origin), *args, **kwargs)


@contextlib.asynccontextmanager
async def telephony(simulators: Simulators) -> AsyncIterator[Client]:
    async with LoopbackHttpClient(simulators.twilio_url) as http:
        yield Client(DEFAULT_ACCOUNT_SID, DEFAULT_AUTH_TOKEN, http_client=http)


async def dial(client: Client) -> str:
    call = await client.calls.create_async(to=CALLEE, from_="+12125550100", twiml="<Response><Hangup/></Response>")
    return str(call.sid)


async def dialled_sids(simulators: Simulators) -> list[str]:
    async with httpx.AsyncClient(base_url=simulators.twilio_url, timeout=60) as http:
        return [call["sid"] for call in (await http.get("/_simulator/ledger")).json()["calls"]]


async def test_a_call_is_dialled_and_is_in_the_ledger() -> None:
    async with running(speed=50) as simulators, telephony(simulators) as client:
        sid = await dial(client)
        assert await dialled_sids(simulators) == [sid]
        assert [call["sid"] for call in simulators.ledger.as_json()] == [sid]


async def test_a_create_request_whose_response_is_lost_was_dialled() -> None:
    async with running(speed=50) as simulators, telephony(simulators) as client:
        simulators.faults.rules = [FaultRule(target="twilio", method="POST", path=r"Calls\.json", kind="lost_response")]
        with pytest.raises(aiohttp.ClientConnectionError):
            await dial(client)
        assert len(await dialled_sids(simulators)) == 1


async def test_a_create_request_that_was_reset_was_not_dialled() -> None:
    async with running(speed=50) as simulators, telephony(simulators) as client:
        simulators.faults.rules = [FaultRule(target="twilio", method="POST", kind="reset")]
        with pytest.raises(aiohttp.ClientConnectionError):
            await dial(client)
        assert await dialled_sids(simulators) == []


async def test_a_throttled_create_request_was_not_dialled_and_can_be_repeated() -> None:
    async with running(speed=50) as simulators, telephony(simulators) as client:
        simulators.faults.rules = [FaultRule(target="twilio", kind="status", status=429, remaining=1)]
        with pytest.raises(TwilioRestException) as error:
            await dial(client)
        assert (error.value.status, error.value.code) == (429, 20429)
        sid = await dial(client)
        assert await dialled_sids(simulators) == [sid]


async def test_a_create_request_whose_answer_is_cut_was_dialled() -> None:
    async with running(speed=50) as simulators, telephony(simulators) as client:
        simulators.faults.rules = [FaultRule(target="twilio", method="POST", kind="cut_body")]
        with pytest.raises(aiohttp.ClientPayloadError):
            await dial(client)
        assert len(await dialled_sids(simulators)) == 1


async def test_the_control_route_sets_faults_for_all_vendors_and_a_reset_removes_them() -> None:
    async with (
        running(speed=50) as simulators,
        httpx.AsyncClient(base_url=simulators.twilio_url, timeout=60) as control,
        openai.AsyncOpenAI(base_url=simulators.openai_url, api_key="sk-fictional", max_retries=0) as model,
    ):
        rules = [{"target": "openai", "kind": "status", "status": 503}]
        assert (await control.put("/_simulator/faults", json=rules)).is_success
        with pytest.raises(openai.InternalServerError):
            await model.models.retrieve("gpt-4o")
        assert (await control.delete("/_simulator")).is_success
        assert (await model.models.retrieve("gpt-4o")).id == "gpt-4o"


async def test_the_control_route_refuses_an_invalid_rule() -> None:
    async with (
        running(speed=50) as simulators,
        httpx.AsyncClient(base_url=simulators.twilio_url, timeout=60) as control,
    ):
        response = await control.put("/_simulator/faults", json=[{"target": "unknown-vendor", "kind": "reset"}])
        assert response.status_code == 422
        assert simulators.faults.rules == ()


async def test_no_task_is_left_after_the_end_even_with_a_call_in_progress() -> None:
    before = asyncio.all_tasks()
    async with running(speed=1) as simulators, telephony(simulators) as client:
        await dial(client)
    assert asyncio.all_tasks() == before


async def test_a_request_that_outlives_the_shutdown_is_reset(caplog: pytest.LogCaptureFixture) -> None:
    async with httpx.AsyncClient(timeout=60) as http:
        async with running() as simulators:
            simulators.faults.rules = [FaultRule(target="openai", kind="latency", seconds=60)]
            waiting = asyncio.create_task(http.get(f"{simulators.openai_url}/models"))
            await asyncio.sleep(0.2)
        with pytest.raises(httpx.TransportError):
            await waiting
    assert "Exception in ASGI application" not in caplog.text


async def test_a_port_in_use_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(OSError, match="in use"):
        async with running(openai_port=other.getsockname()[1]):
            pass


@pytest.mark.parametrize("wrong", [{"speed": 0}, {"behaviours": {"sings": 1.0}}])
async def test_invalid_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"speed|sings"):
        async with running(**wrong):
            pass


class FailingLifespan:
    """A lifespan whose start fails."""

    def __init__(self, _: Starlette) -> None:
        pass

    async def __aenter__(self) -> None:
        raise ConnectionError("no backend")

    async def __aexit__(self, *_: object) -> None:
        pass


async def test_an_application_that_cannot_start_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="did not start"):
        async with serving(Starlette(lifespan=FailingLifespan), "127.0.0.1"):
            pass


@contextlib.asynccontextmanager
async def command(*arguments: str, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Runs `python -m simulators` as a process; kills it at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulators", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environ},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def printed_urls(process: asyncio.subprocess.Process) -> dict[str, str]:
    assert process.stdout is not None
    line = json.loads(await process.stdout.readline())
    assert isinstance(line, dict)
    return line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_serves_all_vendors_until_a_signal_and_exits_with_0(number: signal.Signals) -> None:
    async with command("--seed", "7", "--speed", "20", "--behaviours", "human=0.6,busy=0.4") as process:
        printed = await printed_urls(process)
        assert set(printed) == {"twilio", "elevenlabs", "openai"}
        async with httpx.AsyncClient(timeout=60) as http:
            assert (await http.get(f"{printed['twilio']}/_simulator/ledger")).json()["calls"] == []
            assert (await http.get(f"{printed['openai']}/models")).status_code == 401
            assert (await http.get(f"{printed['elevenlabs']}/v1/user")).status_code == 401
        process.send_signal(number)
        _, stderr = await process.communicate()
    assert (process.returncode, stderr) == (0, b"")


async def test_the_command_reads_its_credentials_from_the_environment() -> None:
    async with command(OPENAI_API_KEY="sk-right") as process:
        url = (await printed_urls(process))["openai"]
        async with openai.AsyncOpenAI(base_url=url, api_key="sk-wrong", max_retries=0) as model:
            with pytest.raises(openai.AuthenticationError):
                await model.models.retrieve("gpt-4o")
            assert await model.with_options(api_key="sk-right").models.retrieve("gpt-4o")


async def test_the_command_names_an_unknown_behaviour_and_exits_with_2() -> None:
    async with command("--behaviours", "sings=1") as process:
        printed, stderr = await process.communicate()
    assert (process.returncode, printed) == (2, b"")
    assert b"sings" in stderr
