"""Who answers decides what follows: machines get their message, people a conversation. With the real services."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from centralita.embedded.system import System, running
from contracts.vocabulary import MESSAGE_TURN

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
MESSAGE = "Hello {{name}}, this is the clinic. Please call us back about your appointment."


class Line:
    """Calls callees of a given behaviour, and reads what the simulated network recorded."""

    def __init__(self, system: System, http: httpx.AsyncClient) -> None:
        self._control = system.vendors.control
        self._http = http
        self._numbers = count(100)

    async def call(self, name: str, behaviour: str, **fields: object) -> dict[str, Any]:
        """Calls a callee, and returns the call when it has ended."""
        number = f"+1212555{next(self._numbers):04d}"
        await self._http.put(f"{self._control}/_simulator/callees/{number}", json={"behaviour": behaviour})
        body = {
            "campaign_id": "answers",
            "contact_id": name,
            "request_id": name,
            "phone_number": number,
            "script_template": "Hello {{name}}, this is the clinic.\n\nConfirm the appointment tomorrow at ten.",
            "variables": {"name": "Ada"},
            "language": "en",
            **fields,
        }
        created = await self._http.post("/api/v1/calls", json=body)
        assert created.status_code in (201, 202), created.text  # 202: decided later
        async with asyncio.timeout(120):
            while not (call := (await self._http.get(created.headers["Location"])).json()).get("ended_at"):
                await asyncio.sleep(0.1)
        return dict(call)

    async def create_campaign(self, campaign_id: str, **terms: object) -> httpx.Response:
        """Creates and starts a campaign. Returns the answer to its creation."""
        created = await self._http.post("/api/v1/campaigns", json={"campaign_id": campaign_id, **terms})
        await self._http.post(f"/api/v1/campaigns/{campaign_id}/start")
        return created

    async def events(self, call: dict[str, Any]) -> list[str]:
        """Returns the names of the call's events, in the order of the log."""
        events = (await self._http.get(f"/api/v1/calls/{call['id']}/events")).json()
        return [event["type"].rpartition(".")[0] for event in events]

    async def entry(self, call: dict[str, Any]) -> dict[str, Any]:
        """Returns what the network recorded of the call."""
        ledger = (await self._http.get(f"{self._control}/_simulator/ledger")).json()
        return next(entry for entry in ledger["calls"] if entry["sid"] == call["twilio_sid"])


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    settings = {"API_KEYS": "k", "CALLER_IDS": "+12125550101"}
    headers = {"X-API-Key": "k"}
    async with (
        running(tmp_path, environment=ENVIRONMENT, seed=3, speed=10, settings=settings) as system,
        httpx.AsyncClient(base_url=system.edge_url, headers=headers, timeout=60) as http,
    ):
        yield Line(system, http)


def spoken(entry: dict[str, Any]) -> list[str]:
    """Returns what was played on the line, by the last part of its path, in order."""
    return [play["url"].partition("?")[0].rpartition("/")[2] for play in entry["plays"]]


async def test_who_answers_decides_what_follows(line: Line) -> None:
    voicemail = {"message": MESSAGE}
    machine, silent_machine, person, fax, screened = await asyncio.gather(
        line.call("machine", "voicemail", voicemail=voicemail),
        line.call("machine without a message", "voicemail"),
        line.call("person", "mistaken_human", voicemail=voicemail),
        line.call("fax", "fax", voicemail=voicemail),
        line.call("screened", "screened", voicemail=voicemail),
    )

    assert (machine["status"], machine["voicemail_delivery"]) == ("voicemail", "whole")
    events = await line.events(machine)
    steps = ("telephony.answer_classified", "call.message_requested", "call.message_started", "call.hangup_requested")
    assert [event for event in events if event in steps] == list(steps)
    entry = await line.entry(machine)
    assert spoken(entry) == ["0", str(MESSAGE_TURN)]
    assert entry["plays"][-1]["outcome"] == "played"
    assert entry["plays"][-1]["at"] > entry["beep_at"], "the message begins after the beep"

    assert (silent_machine["status"], silent_machine["voicemail_delivery"]) == ("voicemail", None)
    assert spoken(await line.entry(silent_machine)) == ["0"]

    assert (person["status"], person["voicemail_delivery"]) == ("completed", None)
    events = await line.events(person)
    withdrawn = ("call.message_requested", "telephony.person_recognized", "call.message_withdrawn")
    assert [event for event in events if event in withdrawn] == list(withdrawn)
    assert "reply.generated" in events

    assert (fax["status"], fax["error_message"]) == ("failed", "a fax machine answered")
    assert spoken(await line.entry(fax)) == ["0"]

    assert (screened["status"], screened["voicemail_delivery"]) == ("completed", None)
    greeting, answer, *_ = (await line.entry(screened))["plays"]
    assert (answer["bytes"], answer["outcome"]) == (greeting["bytes"], "played"), "the assistant hears who calls"


async def test_a_person_who_presses_the_opt_out_key_is_not_called_again(line: Line) -> None:
    pressed = await line.call("key", "presses_key")

    assert (pressed["status"], pressed["disposition"]) == ("completed", "opt_out")
    events = await line.events(pressed)
    assert [name for name in events if name in ("telephony.opt_out_key_pressed", "call.concluded")] == [
        "telephony.opt_out_key_pressed",
        "call.concluded",
    ]
    assert not {"speech.heard", "reply.generated"} & set(events), "the model and the conversation have no part in it"
    entry = await line.entry(pressed)
    assert entry["utterances"][-1]["text"] == "All right, we will not call you again. Goodbye."
    with pytest.raises(AssertionError, match="source: key"):
        await line.call("again", "human", phone_number=pressed["phone_number"])


async def test_a_campaign_calls_from_its_own_number_and_in_its_own_voice(line: Line) -> None:
    refused = await line.create_campaign("answers", caller_id="+12125550102")
    assert refused.status_code == 409
    assert refused.json()["errors"][0]["field"] == "caller_id"
    assert (await line.create_campaign("answers", caller_id="+12125550101", voice="AnotherVoice")).status_code == 201
    call = await line.call("own", "human")
    assert (await line.entry(call))["from"] == "+12125550101"
