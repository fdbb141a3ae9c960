"""The story of a call over REST: equal to that of the command line, audited, and read at a bounded cost."""

import asyncio
import json
import os
import re
import subprocess
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.builders.long_call import append_long_call
from tests.integration.edge.conftest import LIMITED, client_of, new_call, secret_of

from chassis.broker import Broker
from chassis.event_log import EventLog
from chassis.serve import Bus
from contracts import (
    Call,
    CallCreated,
    CallRequested,
    CallStatus,
    ContactRefused,
    ConversationEnded,
    DialPlaced,
    Event,
    ReplyGenerated,
    Service,
    SpeechHeard,
    decode,
)
from contracts.examples import EXAMPLES
from contracts.streams import AUDIT
from contracts.vocabulary import Disposition
from edge.application.rate_limit import RequestLimit
from edge.composition import build
from edge.settings import Settings
from records import messages
from records.masking import mask_numbers

if TYPE_CHECKING:
    from tests.integration.edge.conftest import As, Orchestrator

PERSON = "ab" * 16
HOSTILE = "<img src=x onerror=alert(1)> \u202egnol [bold]" + "x" * 200
NUMBER, MASKED = "+12125550123", "+1••••••••23"


@pytest.fixture
async def ended(orchestrator: "Orchestrator", body: dict[str, object], as_: "As") -> Call:
    """A call that was talked to, canceled and hung up. What was spoken and the number are sealed."""
    created = new_call(CallRequested.model_validate({**body, "request_id": "r-1"}))
    created = created.model_copy(update={"number_digest": PERSON, "deadline_at": created.created_at})
    calls = orchestrator.log
    await calls.append(CallCreated(call=created, occurred_at=created.created_at))
    call = await orchestrator.move(created.call_id, status=CallStatus.IN_PROGRESS, attempt=1)
    reply = EXAMPLES["reply.generated"]
    assert isinstance(reply, ReplyGenerated)
    spoken = (
        DialPlaced(call_id=call.call_id, attempt=1, provider_call_id="CA1"),
        SpeechHeard(call_id=call.call_id, attempt=1, turn=1, text=HOSTILE, language="es"),
        SpeechHeard(call_id=call.call_id, attempt=1, turn=2, text="", language="es"),
        reply.model_copy(update={"call_id": call.call_id, "attempt": 1, "turn": 2, "text": f"Llame al {NUMBER}"}),
        ConversationEnded(
            call_id=call.call_id, attempt=1, turn=2, disposition=Disposition.CONFIRMED, summary="Viene el lunes."
        ),
    )
    for event in spoken:
        await calls.append(event, person=PERSON)
    await as_("caller").post(f"/api/v1/calls/{call.call_id}/cancel")
    return await orchestrator.move(call.call_id, status=CallStatus.COMPLETED, reason="confirmed", deadline_at=None)


async def story(client: httpx.AsyncClient, call: Call, **query: object) -> dict[str, Any]:
    answer = await client.get(f"/api/v1/calls/{call.call_id}/story", params={k: str(v) for k, v in query.items()})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def show(nats_url: str, call: Call, *arguments: object) -> str:
    """Returns what `centralita replay show` prints on a wide terminal."""
    line = [sys.executable, "-m", "centralita", "replay", "show", str(call.call_id), *map(str, arguments)]
    given = {"NATS_URL": nats_url, "MASTER_KEY": os.environ["MASTER_KEY"], "PATH": os.environ["PATH"], "COLUMNS": "500"}
    shown = await asyncio.to_thread(subprocess.run, line, env=given, capture_output=True, text=True, timeout=200)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


def lines_of(told: dict[str, Any]) -> list[str]:
    """Returns the lines that the command prints for a story, without their layout."""
    rows = [
        (
            str(one["sequence"]) if one["stream"] == "CALLS" else "request",
            f"{datetime.fromisoformat(one['at']):%H:%M:%S.%f}"[:-3],
            one["event"],
            one["text"],
        )
        for one in told["timeline"]
    ]
    state = [(one["name"], one["text"]) for one in told["state"]]
    spoken = [
        (
            f"{datetime.fromisoformat(one['at']):%H:%M:%S}",
            "ended" if one["speaker"] == "end" else one["speaker"],
            one["text"] or "(silence)",
        )
        for one in told["conversation"]
    ]
    title = f"Call {told['call']['call_id']} after sequence {told['sequence']}"
    return [
        title,
        "sequence at event",
        *(" ".join(" ".join(row).split()) for row in (*rows, ("state",), *state, *spoken)),
    ]


async def test_the_story_has_the_text_and_the_data_of_the_command_line_at_each_sequence(
    api: httpx.AsyncClient, nats_url: str, ended: Call
) -> None:
    now = await story(api, ended)
    assert now["sequences"][-1] == now["sequence"]
    assert "request" in {line.split()[0] for line in lines_of(now)}, "the cancel is in the stream of requests"
    for at in (*now["sequences"][::3], now["sequence"]):
        told = await story(api, ended, at=at)
        assert told == json.loads(await show(nats_url, ended, "--at", at, "--json"))
        printed = re.sub("[│╭╮╰╯─]", " ", await show(nats_url, ended, "--at", at))
        assert [text for line in printed.splitlines() if (text := " ".join(line.split()))] == lines_of(told)
    assert await story(api, ended, numbers=True) == json.loads(await show(nats_url, ended, "--json", "--show-numbers"))


async def test_at_a_sequence_the_call_is_as_it_was(api: httpx.AsyncClient, ended: Call) -> None:
    now = await story(api, ended)
    first, *_, last = now["sequences"]
    begun = await story(api, ended, at=first)
    assert (begun["call"]["status"], now["call"]["status"]) == ("pending", "completed")
    assert [one["speaker"] for one in now["conversation"]] == ["callee", "callee", "agent", "end"]
    assert (begun["conversation"], begun["sequences"]) == ([], now["sequences"])
    assert now["conversation"][0]["text"] == HOSTILE
    assert begun["prompt"] == now["prompt"] == "Hola Ana.\n\nConfirma la cita."
    assert [one["status"] for one in now["decisions"]][:2] == ["pending", "in_progress"]
    assert now["decisions"] == (await api.get(f"/api/v1/calls/{ended.call_id}/decisions")).json()
    assert await story(api, ended, at=last + 1000) == now


async def test_numbers_are_masked_unless_they_are_asked_for(api: httpx.AsyncClient, ended: Call) -> None:
    masked, open_ = await story(api, ended), await story(api, ended, numbers=True)
    assert (masked["call"]["phone_number"], open_["call"]["phone_number"]) == (MASKED, NUMBER)
    assert NUMBER not in json.dumps(masked)
    assert [one["text"] for one in masked["conversation"]][2] == f"Llame al {MASKED}"


async def test_a_story_has_the_events_on_request_by_the_same_read(
    api: httpx.AsyncClient, ended: Call, bus_client: Client
) -> None:
    await bus_client.jetstream().publish(DialPlaced.subject_for(ended.call_id), b'{"attempt": 1}')
    events = (await api.get(f"/api/v1/calls/{ended.call_id}/events")).json()
    plain = await story(api, ended, at=1_000)
    reads = Reads(bus_client)
    await reads.watch()
    await story(api, ended)
    cost = await reads.taken()
    both = await story(api, ended, events=True)
    assert 0 < await reads.taken() == cost

    assert "events" not in plain
    assert both.pop("events") == json.loads(mask_numbers(json.dumps(events, ensure_ascii=False)))
    assert both == plain
    early = await story(api, ended, at=plain["sequences"][0], events=True, numbers=True)
    assert early["events"] == events, "later ones, too"
    assert len(early["timeline"]) == 1


async def test_reading_a_story_is_audited_as_reading_the_events(as_: "As", ended: Call) -> None:
    for at in (1, 1, 2):
        await story(as_("reader"), ended, at=at, numbers=True)
    await as_("reader").get(f"/api/v1/calls/{ended.call_id}/events")
    await story(as_("desk"), ended)
    entries = (await as_("auditor").get("/api/v1/audit", params={"call_id": str(ended.call_id)})).json()["entries"]
    reads = [(one["key_name"], one["stage"]) for one in entries if one["act"] == "call.read_events"]
    assert reads == [("reader", "accepted"), ("desk", "accepted")], "one entry a minute for each key"


async def test_reading_unmasked_numbers_has_an_entry_of_its_own(
    api: httpx.AsyncClient, as_: "As", ended: Call, bus_client: Client
) -> None:
    await story(as_("desk"), ended)
    for numbers in (True, True, False):
        await story(as_("reader"), ended, numbers=numbers)
    await story(as_("desk"), ended, numbers=True)

    entries = (await as_("auditor").get("/api/v1/audit", params={"call_id": str(ended.call_id)})).json()["entries"]
    reads = [(one["key_name"], one["act"]) for one in entries if one["act"].startswith("call.read")]
    assert reads == [
        ("desk", "call.read_events"),
        ("reader", "call.read_events"),
        ("reader", "call.read_number"),
        ("desk", "call.read_number"),
    ]
    await bus_client.jetstream().delete_stream(AUDIT.name)
    unaudited = await api.get(f"/api/v1/calls/{ended.call_id}/story?numbers=true")
    assert unaudited.status_code == 503
    assert NUMBER not in unaudited.text


async def test_a_call_that_did_not_exist_is_not_found(api: httpx.AsyncClient, ended: Call, calls: EventLog) -> None:
    refused = ContactRefused(
        call_id=uuid4(), campaign_id="spring", contact_id="c", reason="listed", refused_at=ended.created_at
    )
    await calls.append(refused)
    other = _other(ended)
    later = await calls.append(other)
    path = "/api/v1/calls/{}/story?at={}"
    before = await api.get(path.format(other.call.call_id, later.sequence - 1))
    assert (before.status_code, before.json()["type"]) == (404, "urn:centralita:problem:unknown-call")
    assert before.json()["detail"] == (
        f"the call did not exist at sequence {later.sequence - 1}; its first event is later"
    )
    for unknown in (uuid4(), refused.call_id):
        assert (await api.get(path.format(unknown, 1))).status_code == 404


def _other(call: Call) -> CallCreated:
    return CallCreated(call=call.model_copy(update={"call_id": uuid4()}), occurred_at=call.created_at)


@pytest.mark.parametrize("at", ["0", "-1", "x", "1.5", str(2**53), "9" * 400, ""])
async def test_an_impossible_sequence_is_refused(api: httpx.AsyncClient, ended: Call, at: str) -> None:
    answer = await api.get(f"/api/v1/calls/{ended.call_id}/story", params={"at": at})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "at")


async def test_an_event_that_cannot_be_decoded_is_an_entry_and_changes_nothing_else(
    api: httpx.AsyncClient, ended: Call, bus_client: Client
) -> None:
    before = await story(api, ended)
    await bus_client.jetstream().publish(DialPlaced.subject_for(ended.call_id), b'{"attempt": 1}')
    after = await story(api, ended)
    assert after["timeline"][:-1] == before["timeline"]
    assert after["timeline"][-1]["text"] == "invalid: call_id: Field required; provider_call_id: Field required"
    assert (after["call"], after["conversation"]) == (before["call"], before["conversation"])


async def test_what_an_erased_person_said_is_in_no_story(
    api: httpx.AsyncClient, ended: Call, bus_client: Client
) -> None:
    assert HOSTILE[:20] in json.dumps(await story(api, ended))
    await bus_client.jetstream().publish(f"key.{PERSON}", b"")
    told = await story(api, ended)
    assert {one["text"] for one in told["conversation"] if one["speaker"] == "callee"} == {"[erased]"}
    assert told["prompt"] == "[erased]"
    assert [one for one in (HOSTILE[:20], "Viene el lunes") if one in json.dumps(told)] == []


class Reads:
    """The subjects of the requests for stored messages that the server receives, beside those for the audit log."""

    def __init__(self, client: Client) -> None:
        self.subjects: list[str] = []
        self._client = client

    async def watch(self) -> None:
        async def record(message: Msg) -> None:
            if "AUDIT" not in message.subject and "KEYS" not in message.subject:
                self.subjects.append(message.subject)

        for subject in ("$JS.API.DIRECT.GET.>", "$JS.API.STREAM.MSG.GET.>"):
            await self._client.subscribe(subject, cb=record)
        await self._client.flush()

    async def taken(self) -> int:
        await self._client.flush()
        count = len(self.subjects)
        self.subjects.clear()
        return count


async def test_the_cost_is_that_of_the_call_and_not_of_the_log(
    api: httpx.AsyncClient, ended: Call, calls: EventLog, bus_client: Client
) -> None:
    reads = Reads(bus_client)
    await story(api, ended)
    await reads.watch()
    await story(api, ended)
    first = await reads.taken()
    for _ in range(300):
        await calls.append(SpeechHeard(call_id=uuid4(), attempt=1, turn=1, text="hola", language="es"))
    await story(api, ended)
    assert 0 < await reads.taken() == first <= 20
    await story(api, ended, at=1)
    assert await reads.taken() == first, "an earlier sequence costs no more"


async def test_nothing_is_read_for_a_request_that_is_refused(
    anyone: httpx.AsyncClient, as_: "As", ended: Call, bus_client: Client
) -> None:
    reads, path = Reads(bus_client), f"/api/v1/calls/{ended.call_id}/story"
    await reads.watch()
    assert (await anyone.get(path)).status_code == 401
    assert (await anyone.get(path, headers={"X-API-Key": "x" * 40})).status_code == 401
    assert (await as_("caller").get(path)).status_code == 403
    assert (await as_("reader").get(path, params={"at": "0"})).status_code == 422
    assert await reads.taken() == 0
    assert (await as_(LIMITED).get(path.replace(str(ended.call_id), str(uuid4())))).status_code == 404
    assert await reads.taken() == 1, "the campaign of the call"


READ_TWICE = RequestLimit(per_second=0.001, burst=10)
"""The bucket is not refilled during a test. A story of 200 events takes one token as a request, and four for them."""


async def test_a_key_pays_for_the_events_of_the_stories_that_it_reads(
    bus_client: Client, settings: Settings, orchestrator: "Orchestrator", body: dict[str, object]
) -> None:
    created = new_call(CallRequested.model_validate({**body, "request_id": "r-long"}))
    call = await append_long_call(orchestrator.log, created)
    limits = {"rest_requests_per_second": READ_TWICE.per_second, "rest_burst": READ_TWICE.burst}
    reads = Reads(bus_client)
    await reads.watch()
    async with build(settings.model_copy(update=limits), Bus(bus_client, Broker(), Service.EDGE)) as app:
        for name, what in {"reader": "story", "desk": "events", "another": "story?events=true"}.items():
            path = f"/api/v1/calls/{call.call_id}/{what}"
            async with client_of(app, **{"X-API-Key": secret_of(name)}) as http:
                assert [(await http.get(path)).status_code for _ in range(2)] == [200, 200]
                await reads.taken()
                refused = await http.get(path)
                assert (refused.status_code, refused.json()["type"]) == (
                    429,
                    "urn:centralita:problem:too-many-requests",
                )
                assert int(refused.headers["retry-after"]) > 0
                assert await reads.taken() == 0


async def test_the_events_of_a_story_are_decoded_once(
    api: httpx.AsyncClient, orchestrator: "Orchestrator", body: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    created = new_call(CallRequested.model_validate({**body, "request_id": "r-long"}))
    call = await append_long_call(orchestrator.log, created)
    decoded: list[str] = []

    def counted(subject: str, *arguments: Any) -> Event:
        decoded.append(subject)
        return decode(subject, *arguments)

    monkeypatch.setattr(messages, "decode", counted)
    assert len((await story(api, call))["sequences"]) == 200
    decisions = sum(subject.startswith("call.") for subject in decoded) // 2
    assert len(decoded) == 200 + decisions
