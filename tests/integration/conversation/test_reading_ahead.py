"""A turn is read when the reply before it was played, and the read is used only if nothing has happened since."""

import asyncio
from dataclasses import dataclass, field
from typing import cast

import pytest
from nats.aio.client import Client
from nats.errors import NoRespondersError
from tests.builders.turns import an_interruption, an_utterance
from tests.fakes.model import ModelServer
from tests.integration.conversation.conftest import ActiveCall

from chassis.event_log import EventLog, StoredEvent
from contracts import SpeechHeard, SpeechPlayed
from conversation.adapters.played_replies import following_played_replies
from conversation.application import turn_reading
from conversation.application.turns import Turns


@dataclass
class CountedLog:
    """A log that counts the pages that are read of it."""

    log: EventLog
    pages: int = 0
    failures: list[Exception] = field(default_factory=list)

    def __getattr__(self, name: str) -> object:
        return getattr(self.log, name)

    async def read_after(self, *arguments: object, **options: object) -> list[StoredEvent]:
        """As the log does; raises what is in `failures` first."""
        if self.failures:
            raise self.failures.pop()
        self.pages += 1
        return await self.log.read_after(*arguments, **options)  # type: ignore[arg-type]


@dataclass
class LiveTurns:
    """One call in a live conversation, and a replica that answers it."""

    call: ActiveCall
    log: CountedLog
    turns: Turns

    async def play(self, turn: int, *, is_complete: bool = True) -> int:
        """Appends that the reply of a turn was played, has the replica read ahead, and returns the sequence."""
        played = SpeechPlayed(
            call_id=self.call.call.call_id, attempt=1, turn=turn, is_complete=is_complete, seconds=1.0
        )
        sequence = (await self.call.log.append(played)).sequence
        await self.turns.read_ahead(played, sequence)
        return sequence

    async def hear(
        self, turn: int, text: str, known_sequence: int | None, *, deliveries: int = 1, is_opened: bool = True
    ) -> int:
        """Appends an utterance, delivers it, and returns how many pages were read for it."""
        utterance = an_utterance(self.call.call.call_id, turn, text)
        known = {"granted_sequence": 0, "previous_sequence": known_sequence}
        stored = await self.call.log.append(utterance.model_copy(update=known))
        before, event = self.log.pages, stored.event
        assert isinstance(event, SpeechHeard)
        delivered = StoredEvent(event, stored.envelope, stored.sequence, deliveries, is_opened=is_opened)
        await self.turns.answer(delivered)
        return self.log.pages - before


@pytest.fixture
def live(active_call: ActiveCall) -> LiveTurns:
    log = CountedLog(active_call.log)
    return LiveTurns(active_call, log, Turns(cast("EventLog", log), active_call.models, deadline_seconds=60))


def history(model_server: ModelServer) -> list[tuple[str, str]]:
    return [(one["role"], one["content"]) for one in model_server.requests[-1]["messages"]][-3:]


async def test_turns_that_were_read_ahead_read_nothing_and_know_all(live: LiveTurns, model_server: ModelServer) -> None:
    model_server.prepare("Muy bien, gracias. ¿Podrá venir?")
    model_server.prepare("De acuerdo. Adiós.")
    assert await live.hear(1, "Sí", await live.play(0)) == 0
    assert await live.hear(2, "Claro", await live.play(1)) == 0
    assert history(model_server) == [
        ("user", "Sí"),
        ("assistant", "Muy bien, gracias. ¿Podrá venir?"),
        ("user", "Claro"),
    ]
    assert await live.call.sentences(2) == ["De acuerdo.", "Adiós."]


async def test_what_happened_after_the_read_is_read(live: LiveTurns, model_server: ModelServer) -> None:
    model_server.prepare("Muy bien, gracias. ¿Podrá venir?")
    model_server.prepare("Dígame. Le escucho.")
    assert await live.hear(1, "Sí", await live.play(0)) == 0
    await live.play(1, is_complete=False)
    interrupted = await live.call.log.append(an_interruption(live.call.call.call_id, 1, "Muy bien"))
    assert await live.hear(2, "Oiga", interrupted.sequence) == 1
    assert history(model_server) == [("user", "Sí"), ("assistant", "Muy bien…"), ("user", "Oiga")]


@pytest.mark.parametrize(("deliveries", "is_opened", "is_known"), [(2, True, True), (1, False, True), (1, True, False)])
async def test_a_second_delivery_a_destroyed_key_and_an_older_writer_are_read(
    live: LiveTurns, model_server: ModelServer, deliveries: int, is_opened: bool, is_known: bool
) -> None:
    model_server.prepare("Muy bien, gracias.")
    sequence = await live.play(0)
    known_sequence = sequence if is_known else None
    assert await live.hear(1, "Sí", known_sequence, deliveries=deliveries, is_opened=is_opened) == 1
    assert await live.call.sentences(1) == ["Muy bien, gracias."]


async def test_an_utterance_of_another_grant_is_read(live: LiveTurns, model_server: ModelServer) -> None:
    model_server.prepare("Muy bien, gracias.")
    await live.call.change(granted_sequence=await live.play(0))
    assert await live.hear(1, "Sí", await live.play(0)) > 0
    assert await live.call.sentences(1) == ["Muy bien, gracias."]


async def test_a_replica_reads_ahead_after_the_greeting_and_after_its_own_replies_only(
    live: LiveTurns, model_server: ModelServer
) -> None:
    model_server.prepare("Muy bien, gracias.")
    other = CountedLog(live.call.log)
    others = LiveTurns(live.call, other, Turns(cast("EventLog", other), live.call.models, deadline_seconds=60))
    assert await live.hear(1, "Sí", await live.play(0)) == 0
    await others.play(0)
    assert other.pages == 1
    await others.play(1)
    assert other.pages == 1, "the other replica has answered"


async def test_a_read_that_fails_or_is_too_old_is_made_by_the_turn(
    live: LiveTurns, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_server.prepare("Muy bien, gracias. ¿Podrá venir?")
    model_server.prepare("De acuerdo. Adiós.")
    live.log.failures.append(NoRespondersError())
    assert await live.hear(1, "Sí", await live.play(0)) == 1
    sequence = await live.play(1)
    monkeypatch.setattr(turn_reading, "MAX_AGE_SECONDS", -1.0)
    assert await live.hear(2, "Claro", sequence) == 1


async def test_what_is_read_ahead_has_a_limit(live: LiveTurns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_reading, "MAX_KEPT", 0)
    assert await live.hear(1, "Sí", await live.play(0)) == 1


async def test_hints_come_from_the_stream_and_what_is_none_is_ignored(
    active_call: ActiveCall, bus_client: Client
) -> None:
    received: list[tuple[SpeechPlayed, int]] = []
    played = SpeechPlayed(call_id=active_call.call.call_id, attempt=1, turn=0, is_complete=True, seconds=1.0)

    async def on_played(event: SpeechPlayed, sequence: int) -> None:
        received.append((event, sequence))

    async with following_played_replies(bus_client, on_played):
        await bus_client.publish(f"live.CALLS.speech.played.{played.call_id}", b"{")
        await bus_client.publish(
            f"live.CALLS.speech.played.{played.call_id}", b"{}", headers={"Nats-Sequence": "1", "Nats-Subject": "a"}
        )
        stored = await active_call.log.append(played)
        async with asyncio.timeout(60):
            while not received:
                await asyncio.sleep(0.02)
    assert received == [(played, stored.sequence)]
