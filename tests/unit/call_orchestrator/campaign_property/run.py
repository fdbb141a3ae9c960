"""Runs a scenario, and records what operators and people did."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import cycle
from random import Random
from typing import Any
from uuid import UUID

from tests.unit.call_orchestrator.campaign_property.oracle import ListChange
from tests.unit.call_orchestrator.campaign_property.scenario import Person, Scenario
from tests.unit.call_orchestrator.campaign_property.system import DIGESTS, Installation, System, the_policy

from contracts import (
    CallCancelRequested,
    CallChangeRequested,
    CallDecision,
    CallRequested,
    CallRetryRequested,
    CampaignChangeRequested,
    CampaignCreateRequested,
    CampaignFinishRequested,
    CampaignPauseRequested,
    CampaignResumeRequested,
    CampaignStartRequested,
    ContactRequested,
    NumberBlockRequested,
    NumberUnblockRequested,
    RequestedTerms,
    call_id_of,
)
from contracts.vocabulary import Purpose

CONSENT_AT, COMPANY = datetime(2020, 1, 1, tzinfo=UTC), "Acme"
"""What the shipped rules require in some countries: each person and campaign has it."""
HORIZON, DAILY_HORIZON = timedelta(hours=20), timedelta(hours=30)
"""How long a run goes on after its last action, if calls still wait: without and with a daily limit of dials."""


@dataclass
class Run:
    """A running scenario."""

    scenario: Scenario
    system: System
    requests: list[CallRequested] = field(default_factory=list)
    list_changes: list[ListChange] = field(default_factory=list)
    contacts: int = 0
    is_restarted: bool = False
    ended_at: datetime = field(init=False)

    @classmethod
    async def of(cls, scenario: Scenario) -> "Run":
        """Runs the scenario to its end, and returns it."""
        policy = the_policy(scenario.dial_within, 3, scenario.retry_delay)
        has_contacts = any(action.name == "contact" for action in scenario.actions)
        installation = Installation(scenario.replicas, scenario.limits, policy, has_contacts)
        system = System(installation, scenario.begins_at, Random(scenario.seed), cycle(scenario.outcomes))
        run = cls(scenario, system)
        for campaign, terms in enumerate(scenario.terms):
            if terms is not None:
                system.send(CampaignCreateRequested(campaign_id=run.name_of(campaign), terms=run._terms(terms)))
                system.send(CampaignStartRequested(campaign_id=run.name_of(campaign)))
        for action in scenario.actions:
            await asyncio.sleep(action.wait_seconds)
            await getattr(run, action.name)(*action.arguments)
        ends_at = system.server.now() + (DAILY_HORIZON if run._has_daily_limit() else HORIZON)
        while system.server.now() < ends_at and not run._is_over():
            await asyncio.sleep(900)
        run.ended_at = system.server.now()
        await system.stop()
        return run

    def _has_daily_limit(self) -> bool:
        changes = [action.arguments[1] for action in self.scenario.actions if action.name == "change"]
        return any(terms and "max_attempts_per_day" in terms for terms in (*self.scenario.terms, *changes))

    def name_of(self, campaign: int) -> str:
        """Returns the id of a campaign."""
        return f"campaign-{campaign}"

    def _is_over(self) -> bool:
        newest = {event.call_id: event.call for event in self.system.log.events() if isinstance(event, CallDecision)}
        is_waiting = self.system.requests.undecided or self.system.contacts.waiting()
        return all(call.status.is_final for call in newest.values()) and not is_waiting

    def _terms(self, drawn: dict[str, Any]) -> RequestedTerms:
        instants = {
            name: self.scenario.begins_at + timedelta(seconds=drawn[name])
            for name in ("starts_at", "ends_at")
            if name in drawn
        }
        return RequestedTerms.model_validate({**drawn, **instants, "company": COMPANY})

    async def request(
        self, campaign: int, person: int, purpose: Purpose | None, scheduled_in: float | None, max_retries: int | None
    ) -> None:
        called = self.scenario.people[person]
        now = self.system.server.now()
        request = CallRequested(
            request_id=f"call-{len(self.requests)}",
            campaign_id=self.name_of(campaign),
            contact_id="contact",
            phone_number=called.number,
            script_template="Hola.",
            company=COMPANY,
            consent_at=CONSENT_AT,
            purpose=purpose,
            time_zone=called.time_zone,
            scheduled_at=None if scheduled_in is None else now + timedelta(seconds=scheduled_in),
            max_retries=max_retries,
        )
        self.system.send(request)
        self.requests.append(request)

    async def contact(self, campaign: int, person: int) -> None:
        called = self.scenario.people[person]
        self.contacts += 1
        self.system.send(
            ContactRequested(
                campaign_id=self.name_of(campaign),
                contact_id=f"contact-{self.contacts}",
                phone_number=called.number,
                consent_at=CONSENT_AT,
                time_zone=called.time_zone,
            )
        )

    async def pause(self, campaign: int) -> None:
        self.system.send(CampaignPauseRequested(campaign_id=self.name_of(campaign)))

    async def resume(self, campaign: int) -> None:
        self.system.send(CampaignResumeRequested(campaign_id=self.name_of(campaign)))

    async def change(self, campaign: int, terms: dict[str, Any]) -> None:
        self.system.send(CampaignChangeRequested(campaign_id=self.name_of(campaign), terms=self._terms(terms)))

    async def finish(self, campaign: int) -> None:
        self.system.send(CampaignFinishRequested(campaign_id=self.name_of(campaign)))

    async def restart(self) -> None:
        self.is_restarted = True
        await self.system.restart_replica()

    async def lose_grant(self) -> None:
        """Kills the replica that receives the next grant. The grant is delivered again after `ACK_WAIT_SECONDS`."""
        self.is_restarted = True
        self.system.fatal_grants += 1

    async def block(self, person: int, campaign: int | None) -> None:
        await self._list(person, campaign, is_listed=True)

    async def block_on(self, person: int, list_name: str) -> None:
        """Puts the number on a named list. The oracle knows only the lists of campaigns, and that of all."""
        number = self.scenario.people[person].number
        digest = DIGESTS.of(number)
        self.system.send(NumberBlockRequested(number_digest=digest, list_name=list_name, phone_number=number))

    async def unblock(self, person: int, campaign: int | None) -> None:
        await self._list(person, campaign, is_listed=False)

    async def _list(self, person: int, campaign: int | None, *, is_listed: bool) -> None:
        number = self.scenario.people[person].number
        campaign_id = None if campaign is None else self.name_of(campaign)
        at = self.system.server.now()
        self.list_changes.append(ListChange(at, number, campaign_id, is_listed))
        digest = DIGESTS.of(number)
        if is_listed:
            self.system.send(NumberBlockRequested(number_digest=digest, campaign_id=campaign_id, phone_number=number))
        else:
            self.system.send(NumberUnblockRequested(number_digest=digest, campaign_id=campaign_id))

    async def cancel(self, call: int) -> None:
        if call_id := self._call(call):
            self.system.send(CallCancelRequested(call_id=call_id))

    async def retry(self, call: int) -> None:
        if call_id := self._call(call):
            self.system.send(CallRetryRequested(call_id=call_id))

    async def reschedule(self, call: int) -> None:
        if call_id := self._call(call):
            at = self.system.server.now() + timedelta(minutes=2)
            self.system.send(CallChangeRequested(call_id=call_id, scheduled_at=at))

    def person_of(self, number: str) -> Person:
        """Returns the person with a number."""
        return next(one for one in self.scenario.people if one.number == number)

    def _call(self, number: int) -> UUID | None:
        return call_id_of(f"call-{number % len(self.requests)}") if self.requests else None
