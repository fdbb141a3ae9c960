"""`centralita why` as a process, against the real edge."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from uuid import uuid4

from starlette.types import ASGIApp
from tests.integration.edge.conftest import secret_of

from chassis.event_log import EventLog
from contracts import Call, CallPutOff
from contracts.call import Permission

OnAPort = Callable[[ASGIApp], AbstractAsyncContextManager[str]]


async def why(url: str, call_id: object, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "centralita", "why", str(call_id), *arguments]
    environment = {"PATH": os.environ["PATH"], "COLUMNS": "220", "API_URL": url, "API_KEY": secret_of("reader")}
    return await asyncio.to_thread(subprocess.run, line, env=environment, capture_output=True, text=True, timeout=60)


async def test_a_delay_is_shown_with_the_rule_of_the_calling_policy(
    app: ASGIApp, on_a_port: OnAPort, waiting: Call, calls: EventLog
) -> None:
    opens_at = waiting.created_at + timedelta(hours=12)
    permission = Permission(rule="calling_hours", detail="22:00 is outside 08:00-21:00", policy_version="1")
    put_off = waiting.model_copy(update={"due_at": opens_at, "deadline_at": opens_at, "permission": permission})
    await calls.append(CallPutOff(call=put_off, occurred_at=waiting.created_at))
    async with on_a_port(app) as url:
        shown = await why(url, waiting.call_id)
        listed = await why(url, waiting.call_id, "--json")
        unknown = await why(url, uuid4())
    assert shown.returncode == 0, shown.stderr
    assert "put_off" in shown.stdout
    assert "calling_hours: 22:00 is outside 08:00-21:00" in shown.stdout
    assert [one["type"] for one in json.loads(listed.stdout)] == ["call.created.v2", "call.put_off.v2"]
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith("Not found: ")
