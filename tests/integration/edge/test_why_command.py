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
from contracts import Call, CallCreated, CallPutOff, ContactRefused, call_id_of
from contracts.call import Permission
from contracts.contacts import request_id_of_other_number

OnAPort = Callable[[ASGIApp], AbstractAsyncContextManager[str]]


async def why(url: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "centralita", "why", *map(str, arguments)]
    environment = {"PATH": os.environ["PATH"], "COLUMNS": "220", "API_URL": url, "API_KEY": secret_of("reader")}
    return await asyncio.to_thread(subprocess.run, line, env=environment, capture_output=True, text=True, timeout=200)


async def test_a_refused_contact_is_explained_by_its_id_and_by_that_of_its_call(
    app: ASGIApp, on_a_port: OnAPort, waiting: Call, calls: EventLog
) -> None:
    reason = "script_template asks for name: give it in variables"
    call_id = call_id_of("spring:c 7/8")
    refused = ContactRefused(
        call_id=call_id, campaign_id="spring", contact_id="c 7/8", reason=reason, refused_at=waiting.created_at
    )
    await calls.append(refused)
    contact = ("--campaign", "spring", "--contact")
    async with on_a_port(app) as url:
        shown = await why(url, *contact, "c 7/8")
        listed = [json.loads((await why(url, *which, "--json")).stdout) for which in ((*contact, "c 7/8"), (call_id,))]
        unknown = await why(url, *contact, "c-9")
        wrong = [await why(url, *arguments) for arguments in ((), (call_id, *contact, "c 7/8"), ("--contact", "c"))]
    assert shown.returncode == 0, shown.stderr
    assert "contact.refused" in shown.stdout
    assert reason in shown.stdout
    assert listed[0] == listed[1]
    assert [(one["type"], one["status"], one["reason"]) for one in listed[0]] == [("contact.refused.v1", None, reason)]
    assert (unknown.returncode, "nothing is decided about the contact c-9" in unknown.stderr) == (1, True)
    assert [(one.returncode, "--contact" in one.stderr) for one in wrong] == [(2, True)] * 3


async def test_the_call_of_a_contact_is_explained_by_the_contact(
    app: ASGIApp, on_a_port: OnAPort, waiting: Call, calls: EventLog
) -> None:
    call = waiting.model_copy(update={"call_id": call_id_of("spring:c-1"), "campaign_id": "spring"})
    await calls.append(CallCreated(call=call, occurred_at=call.created_at))
    async with on_a_port(app) as url:
        listed = await why(url, "--campaign", "spring", "--contact", "c-1", "--json")
    assert [one["type"] for one in json.loads(listed.stdout)] == ["call.created.v2"]


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


async def test_the_refusal_of_another_number_with_the_id_of_a_contact_is_shown_with_its_call(
    app: ASGIApp, on_a_port: OnAPort, waiting: Call, calls: EventLog
) -> None:
    call = waiting.model_copy(update={"call_id": call_id_of("spring:c-1"), "campaign_id": "spring"})
    refused = ContactRefused(
        call_id=call_id_of(request_id_of_other_number("spring", "c-1")),
        campaign_id="spring",
        contact_id="c-1",
        reason="contact_id: another number of the campaign has this id",
        refused_at=call.created_at,
    )
    for event in (CallCreated(call=call, occurred_at=call.created_at), refused):
        await calls.append(event)
    async with on_a_port(app) as url:
        listed = await why(url, "--campaign", "spring", "--contact", "c-1", "--json")
    decisions = [(one["type"], one["reason"]) for one in json.loads(listed.stdout)]
    assert decisions == [("call.created.v2", None), ("contact.refused.v1", refused.reason)]
