"""``centralita demo --campaigns``: two campaigns on a simulated morning (`centralita.demo.campaign_plan`).

Everything is requested over the REST API. Each step waits for what the one before has led to, so the speed of the
machine does not matter, as long as calls end before the offers do.
"""

import asyncio
import os
import secrets
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
    FACTOR,
    LATE,
    LATE_CALL_AT,
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
from centralita.demo.run import DemoFailed
from centralita.embedded.ledger import set_callee_behaviour
from centralita.embedded.system import System, running
from centralita.embedded.vendors import real_vendors
from centralita.embedded.views import started
from centralita.operations.rest_api import RestApi
from chassis.time_mapping import TimeMapping

_POLL_SECONDS = 0.25


async def demo_campaigns(console: Console, *, timeout: float, keep: bool) -> None:
    """Runs the demo. Raises DemoFailed, CannotStart or RequestFailed, and then keeps the folder with the logs."""
    if "twilio" in real_vendors(os.environ):
        raise DemoFailed("simulated time needs the simulator of Twilio: unset the settings of twilio")
    folder = Path(tempfile.mkdtemp(prefix="centralita-demo-"))
    key, simulated_clock = secrets.token_urlsafe(24), clock(datetime.now(UTC))
    settings = {**SETTINGS, "API_KEYS": key}
    try:
        async with running(folder, speed=FACTOR, settings=settings, simulated_clock=simulated_clock) as system:
            console.print(started(system))
            async with RestApi(system.edge_url, key) as api:
                await _Morning(console, system, api, simulated_clock, timeout).run()
    except BaseException:
        console.print(f"[red]The logs are kept in {folder}[/red]")
        raise
    if keep:
        console.print(f"The logs are kept in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class _Morning:
    console: Console
    system: System
    api: RestApi
    clock: TimeMapping
    timeout: float
    calls: dict[str, Document] = field(default_factory=dict)
    """By contact."""

    async def run(self) -> None:
        """Carries out the steps, and shows the outcomes."""
        try:
            async with asyncio.timeout(self.timeout):
                with Live(console=self.console, refresh_per_second=4, transient=True) as live:
                    await self._begin()
                    await self._watch(live, "the reminders are paused", self._is_past_pause)
                    await self.api.resume(REMINDERS)
                    await self._watch(live, "both campaigns run", self._have_all_outcomes)
        except TimeoutError as error:
            missing = ", ".join(f"{name} is {self._status(name)}" for name in EXPECTED if not self._is_expected(name))
            raise DemoFailed(f"not every outcome came within {self.timeout:.0f} s: {missing}") from error
        await self._show()

    async def _begin(self) -> None:
        """Creates and starts the campaigns, pauses the reminders, and requests the calls."""
        for campaign_id, its_terms in terms(self.clock.starts_at).items():
            await self.api.create({"campaign_id": campaign_id, **its_terms})
            await self.api.start(campaign_id)
        await self.api.pause(REMINDERS, "the calendar is being checked")
        for campaign_id in (REMINDERS, OFFERS):
            for row in contacts(campaign_id):
                await self._request(campaign_id, row)
        late = {"phone_number": "+12125550125", "contact_id": LATE, "name": "Leslie"}
        await self._request(OFFERS, late, at(self.clock.starts_at, LATE_CALL_AT))

    async def _request(self, campaign_id: str, row: dict[str, str], scheduled_at: datetime | None = None) -> None:
        fields = {name: row[name] for name in ("phone_number", "contact_id")}
        assert self.system.vendors.control  # noqa: S101  the real Twilio was refused
        behaviour = EXPECTED[row["contact_id"]].behaviour
        await set_callee_behaviour(self.system.vendors.control, row["phone_number"], behaviour)
        variables = {name: value for name, value in row.items() if name not in fields}
        call = {"campaign_id": campaign_id, **fields, "variables": variables}
        await self.api.request_call(call | ({"scheduled_at": scheduled_at.isoformat()} if scheduled_at else {}))

    async def _watch(self, live: Live, step: str, is_done: Callable[[], bool]) -> None:
        while not is_done():
            for campaign_id in (REMINDERS, OFFERS):
                self.calls |= {call["contact_id"]: call for call in await self.api.calls(campaign_id)}
            live.update(campaign_views.progress(self._now(), self.calls, step))
            await asyncio.sleep(_POLL_SECONDS)

    def _now(self) -> datetime:
        return self.clock.simulated(datetime.now(UTC))

    def _is_past_pause(self) -> bool:
        return self._now() >= at(self.clock.starts_at, RESUMED_AT)

    def _have_all_outcomes(self) -> bool:
        return all(map(self._is_expected, EXPECTED))

    def _is_expected(self, contact_id: str) -> bool:
        """Whether the call of the contact has its expected status; one that still waits, after its dials."""
        status, expected = self._status(contact_id), EXPECTED[contact_id]
        return status == expected.status and self.calls[contact_id]["attempts"] >= expected.dials

    def _status(self, contact_id: str) -> str:
        call = self.calls.get(contact_id)
        return str(call["status"]) if call else "not requested"

    async def _show(self) -> None:
        explained = {
            contact_id: ExplainedCall(call, await self.api.decisions(UUID(call["id"])))
            for contact_id, call in self.calls.items()
        }
        for campaign_id in (REMINDERS, OFFERS):
            own = [one for one in map(explained.__getitem__, EXPECTED) if one.call["campaign_id"] == campaign_id]
            self.console.print(campaign_views.outcomes(campaign_id, own))
        for contact_id in EXPLAINED:
            self.console.print(campaign_views.explanation(explained[contact_id]))
