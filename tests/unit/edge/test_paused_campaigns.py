"""The edge shows the campaign that the last event contains."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import ClassVar

from tests.builders.calls import NOW
from tests.builders.events import an_envelope, campaign_paused

from chassis.event_log import Guard, StoredEvent
from contracts import CampaignDecision, CommandOutcome, Envelope, Event
from edge.application.campaigns import Campaigns
from edge.ports import OnOutcome


class PaceChanged(CampaignDecision):
    """A third kind of event, about something else."""

    event_name: ClassVar[str] = "campaign.pace_changed"


class Log:
    """A log with one event, the last one of a campaign."""

    def __init__(self, event: Event) -> None:
        self.event = event

    async def last(self, subject: str) -> StoredEvent | None:
        return StoredEvent(self.event, an_envelope(), 2)

    async def read(self, subjects: Sequence[str]) -> list[StoredEvent]:
        raise AssertionError("one read of the last event is enough")

    async def last_of_any_node(self, subject: str) -> StoredEvent | None:
        raise AssertionError("a campaign is read from the leader")

    async def read_after(
        self,
        subject: str,
        after_sequence: int,
        *,
        known_sequence: int | None = None,
        kinds: Collection[type[Event]] | None = None,
    ) -> list[StoredEvent]:
        raise AssertionError("one read of the last event is enough")

    async def append(
        self, event: Event, *, cause: Envelope | None, event_id: str, guard: Guard | None = None
    ) -> StoredEvent:
        raise AssertionError("reading appends nothing")


class NoRequests:
    """Fails the test if a request is sent to the orchestrator."""

    async def send(
        self,
        request: Event,
        message_id: str | None = None,
        *,
        on_late_outcome: OnOutcome | None = None,
        person: str | None = None,
    ) -> CommandOutcome | None:
        raise AssertionError("reading requests nothing")


async def test_an_event_of_a_third_kind_does_not_resume_a_paused_campaign() -> None:
    paused = campaign_paused("reminders", reason="public holiday").campaign
    later = PaceChanged(campaign=paused, occurred_at=NOW + timedelta(hours=1))
    shown = await Campaigns(Log(later), NoRequests()).get("reminders")
    assert (shown.paused, shown.since, shown.reason) == (True, NOW, "public holiday")
