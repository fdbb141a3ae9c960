"""Granting, where others grant at the same time."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from uuid import UUID, uuid4

from call_orchestrator.application.admission import Admission
from call_orchestrator.domain.slots import Limits, Slots, Waiting
from call_orchestrator.ports import Heard, Stored, StoredCampaign
from centralita.docs.state_machine import NOW
from chassis.event_log import Conflict
from contracts import AdmissionGranted, Call, CallDecision, Campaign, CampaignDecision, Envelope
from contracts.examples import CALL

DUE = 5


class FakeLog:
    """The port `CallLog`, of calls that all wait, and of a server that takes its time to say so."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def load(self, call_id: UUID) -> Stored | None:
        self.asked.set()
        await self.may_answer.wait()
        return Stored(CALL.model_copy(update={"call_id": call_id, "is_queued": True}), DUE, None)

    async def append(self, event: CallDecision, *, after: int, cause: Envelope) -> int:
        raise AssertionError("a grant decides nothing by itself")

    async def has_decided(self, call_id: UUID, cause: Envelope) -> bool:
        return False


class FakeCampaigns:
    """The port `CampaignLog`: how campaigns stand, and what a replica has heard of that."""

    def __init__(self, *, heard: bool = True, paused: bool = False) -> None:
        self.paused = paused
        self.asked = asyncio.Event()
        self.news: asyncio.Queue[Mapping[str, bool]] = asyncio.Queue()
        if heard:
            self.news.put_nowait({})

    async def load(self, campaign_id: str) -> StoredCampaign:
        self.asked.set()
        return StoredCampaign(Campaign(campaign_id=campaign_id, is_paused=self.paused), 1)

    async def append(self, event: CampaignDecision, *, after: int, cause: Envelope) -> None:
        raise AssertionError("admission pauses nothing")

    @asynccontextmanager
    async def standings(self) -> AsyncIterator[AsyncIterator[Mapping[str, bool]]]:
        async def batches() -> AsyncIterator[Mapping[str, bool]]:
            while True:
                yield await self.news.get()

        yield batches()


class FakeSlots:
    """The ports `Admissions` and `Queue`: the server keeps the last grant, and refuses whoever has not seen it."""

    def __init__(self, waiting: list[Waiting]) -> None:
        self.places = waiting
        self.last = 0
        self.given: list[str] = []
        self.refused = 0
        self.news: asyncio.Queue[list[Heard]] = asyncio.Queue()

    @asynccontextmanager
    async def heard(self) -> AsyncIterator[AsyncIterator[list[Heard]]]:
        async def batches() -> AsyncIterator[list[Heard]]:
            while True:
                yield await self.news.get()

        yield batches()

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[AsyncIterator[list[Waiting]]]:
        async def batches() -> AsyncIterator[list[Waiting]]:
            yield self.places
            await asyncio.get_running_loop().create_future()

        yield batches()

    async def grant(self, call: Waiting, *, since: int, after: int) -> int:
        if after != self.last:
            self.refused += 1
            raise Conflict
        return self.store(call.call_id)

    def store(self, call_id: str) -> int:
        self.last += 10
        self.given.append(call_id)
        grant = AdmissionGranted(
            call_id=UUID(call_id), campaign_id="a", attempt=1, due_sequence=DUE, replay_from_sequence=1
        )
        self.news.put_nowait([Heard(self.last, call_id, grant)])
        return self.last

    async def release(self, grant: AdmissionGranted, *, granted: int, cause: Envelope) -> None:
        raise AssertionError("nothing is released")

    async def join(self, call: Call, *, due_sequence: int, cause: Envelope) -> None:
        raise AssertionError("nothing joins")

    async def leave(self, place: int) -> None:
        """Places are given up."""


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def waits(place: int) -> Waiting:
    return Waiting(call_id=str(uuid4()), campaign_id="a", attempt=1, due_at=NOW, due=DUE, place=place)


@asynccontextmanager
async def granting(log: FakeLog, campaigns: FakeCampaigns, server: FakeSlots) -> AsyncIterator[Slots]:
    slots = Slots(Limits(live=1, live_of_campaign=None, on_the_way=10))
    running = asyncio.create_task(Admission(slots, log, campaigns, server, server, now=lambda: NOW).run())
    try:
        yield slots
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_a_grant_is_guarded_by_what_was_seen_when_it_was_decided_not_by_what_came_since() -> None:
    ours, theirs = waits(1), waits(2)
    server, log = FakeSlots([ours]), FakeLog()
    async with granting(log, FakeCampaigns(), server) as slots:
        await log.asked.wait()
        server.store(theirs.call_id)  # another replica takes the only slot while ours asks for its call
        await settled()
        assert slots.last_grant == server.last, "we have heard of it"
        log.may_answer.set()
        await settled()
        assert server.given == [theirs.call_id]
        assert server.refused == 1


async def test_nothing_is_granted_before_it_is_heard_which_campaigns_are_paused() -> None:
    ours = waits(1)
    server, log, campaigns = FakeSlots([ours]), FakeLog(), FakeCampaigns(heard=False)
    log.may_answer.set()
    async with granting(log, campaigns, server) as slots:
        await settled()
        assert list(slots.waiting) == [ours.call_id]
        assert not log.asked.is_set()
        campaigns.news.put_nowait({"a": True})
        await settled()
        assert server.given == []
        campaigns.news.put_nowait({"a": False})
        await settled()
        assert server.given == [ours.call_id]


async def test_a_replica_that_has_not_heard_of_a_pause_asks_the_log_before_it_grants() -> None:
    ours = waits(1)
    server, log, campaigns = FakeSlots([ours]), FakeLog(), FakeCampaigns(paused=True)
    log.may_answer.set()
    async with granting(log, campaigns, server):
        async with asyncio.timeout(10):
            await campaigns.asked.wait()
        await settled()
        assert server.given == []
        campaigns.paused = False
        async with asyncio.timeout(10):
            while not server.given:
                await asyncio.sleep(0)
        assert server.given == [ours.call_id]
