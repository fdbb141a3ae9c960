"""``centralita demo --campaigns``: two campaigns in simulated time (`centralita.demo.campaign_plan`).

Everything is requested over the REST API. Each step waits for what the one before has led to, so the speed of the
machine does not matter, as long as calls end before the offers do.
"""

import asyncio
import csv
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from rich.console import Console
from rich.live import Live

from centralita.demo import campaign_views
from centralita.demo.campaign_plan import (
    EXPECTED,
    EXPLAINED,
    LATE_CALL,
    LATE_CALL_AT,
    NETWORK_SPEED,
    OFFERS,
    REMINDERS,
    RESUMED_AT,
    SETTINGS,
    at,
    clock,
    contacts,
    terms,
)
from centralita.demo.campaign_views import Document, ExplainedCall
from centralita.demo.erasure import PersonToForget
from centralita.demo.failure import DemoFailed
from centralita.demo.stay import Stay
from centralita.embedded.console import api_key
from centralita.embedded.ledger import set_callee_behaviour
from centralita.embedded.system import System, running
from centralita.embedded.vendors import real_vendors
from centralita.embedded.views import started
from centralita.operations.rest_api import ContactFile, RestApi
from chassis.time_mapping import TimeMapping
from contracts import call_id_of

_POLL_SECONDS = 0.25


async def demo_campaigns(
    console: Console, *, timeout: float, keep: bool, stays: bool = False, forget: str | None = None
) -> None:
    """Runs the demo. Raises DemoFailed, CannotStart or RequestFailed, and then keeps the folder with the logs.

    `stays`: its console is shown until Ctrl-C. `forget`: the contact whose person is erased at the end, one of
    `FORGETTABLE`.
    """
    if "twilio" in real_vendors(os.environ):
        raise DemoFailed("simulated time needs the simulator of Twilio: unset the settings of twilio")
    folder = Path(tempfile.mkdtemp(prefix="centralita-demo-"))
    key, simulated_clock = api_key(""), clock(datetime.now(UTC))
    stay = Stay(stays, key)
    settings = {**SETTINGS, **key.settings}
    run = running(folder, speed=NETWORK_SPEED, settings=settings, simulated_clock=simulated_clock, console=stay.login)
    try:
        async with run as system:
            console.print(started(system))
            stay.announce(console, system)
            async with RestApi(system.edge_url, key.key) as api:
                plan = _Plan(console, system, api, simulated_clock, timeout)
                await plan.run()
                person = PersonToForget(forget, plan.calls) if forget else None
                if person:
                    await person.forget(console, system, api)
            await stay.until_stopped(console)
        if person:
            person.search_files(console, system)
    except BaseException:
        console.print(f"[red]The logs are kept in {folder}[/red]")
        raise
    if keep:
        console.print(f"The logs are kept in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class _Plan:
    console: Console
    system: System
    api: RestApi
    clock: TimeMapping
    timeout: float
    calls: dict[str, Document] = field(default_factory=dict)
    """By contact."""
    refused_contacts: int = 0

    async def run(self) -> None:
        """Carries out the steps, and shows the outcomes."""
        try:
            async with asyncio.timeout(self.timeout):
                await self._begin()
                with Live(console=self.console, refresh_per_second=4, transient=True) as live:
                    await self._watch(live, "the reminders are paused", self._may_resume)
                    await self.api.resume(REMINDERS)
                    await self._watch(live, "both campaigns run", lambda: all(map(self._is_expected, EXPECTED)))
        except TimeoutError as error:
            missing = ", ".join(f"{name} is {self._status(name)}" for name in EXPECTED if not self._is_expected(name))
            raise DemoFailed(f"not every outcome came within {self.timeout:.0f} s: {missing}") from error
        await self._show()

    async def _begin(self) -> None:
        """Creates and starts the campaigns, pauses the reminders, imports the contacts, and requests the late call."""
        for campaign_id, its_terms in terms(self.clock.starts_at).items():
            await self.api.create({"campaign_id": campaign_id, **its_terms})
            await self._set_behaviours(contacts(campaign_id))
        await self.api.pause(REMINDERS, "the calendar is being checked")
        for campaign_id in (REMINDERS, OFFERS):
            file = ContactFile(contacts(campaign_id), "text/csv", lambda *_: None)
            result = await self.api.import_contacts(campaign_id, file, dry_run=False, from_line=1, refused=None)
            self.console.print(campaign_views.imported(result))
            await self.api.start(campaign_id)
        late_at = at(self.clock.starts_at, LATE_CALL_AT)
        await self.api.request_call({"campaign_id": OFFERS, **LATE_CALL, "scheduled_at": late_at.isoformat()})

    async def _set_behaviours(self, file: Path) -> None:
        assert self.system.vendors.control  # noqa: S101  the real Twilio was refused
        for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines()):
            if expected := EXPECTED.get(row["contact_id"]):
                await set_callee_behaviour(self.system.vendors.control, row["phone_number"], expected.behaviour)

    async def _watch(self, live: Live, step: str, is_done: Callable[[], bool]) -> None:
        while not is_done():
            for campaign_id in (REMINDERS, OFFERS):
                self.calls |= {call["contact_id"]: call for call in await self.api.calls(campaign_id)}
            self.refused_contacts = (await self.api.campaign(REMINDERS))["calls"]["contacts_refused"]
            live.update(campaign_views.progress(self._now(), self.calls, step))
            await asyncio.sleep(_POLL_SECONDS)

    def _now(self) -> datetime:
        return self.clock.simulated(datetime.now(UTC))

    def _may_resume(self) -> bool:
        """Whether the pause is over, and a person has opted out meanwhile."""
        return self._now() >= at(self.clock.starts_at, RESUMED_AT) and self._is_expected("leslie")

    def _is_expected(self, contact_id: str) -> bool:
        """Whether the call of the contact has its expected status and dials."""
        expected, call = EXPECTED[contact_id], self.calls.get(contact_id)
        if expected.status is None:
            return call is None and self.refused_contacts > 0
        return call is not None and call["status"] == expected.status and call["attempts"] >= expected.dials

    def _status(self, contact_id: str) -> str:
        call = self.calls.get(contact_id)
        return str(call["status"]) if call else "not called"

    async def _show(self) -> None:
        explained = {contact_id: await self._explained(contact_id) for contact_id in EXPECTED}
        for campaign_id in (REMINDERS, OFFERS):
            own = [one for one in explained.values() if one.campaign_id == campaign_id]
            self.console.print(campaign_views.outcomes(campaign_id, own))
        for contact_id in EXPLAINED:
            self.console.print(campaign_views.explanation(explained[contact_id]))

    async def _explained(self, contact_id: str) -> ExplainedCall:
        """Returns a call and its decisions. Raises DemoFailed if not as much of a message was left as expected."""
        if contact_id not in self.calls:
            [refusal] = await self.api.events(call_id_of(f"{REMINDERS}:{contact_id}"))
            return ExplainedCall(contact_id, REMINDERS, None, [refusal["data"]])
        call = await self.api.call(UUID(self.calls[contact_id]["id"]))
        if (left := call["voicemail_delivery"]) != EXPECTED[contact_id].left:
            raise DemoFailed(f"{contact_id} got {left} of the message, not {EXPECTED[contact_id].left}")
        return ExplainedCall(contact_id, call["campaign_id"], call, await self.api.decisions(UUID(call["id"])))
