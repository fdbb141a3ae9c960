"""A call in progress on a real nats-server, and a model server on the wire."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar
from uuid import uuid4

import pytest
from tests.fakes.model import ModelServer
from tests.fakes.providers import provider

from chassis.event_log import EventLog, StoredEvent
from contracts import AudioRequested, Call, CallStatus, CallStatusChanged, Event, SpeechHeard
from contracts.streams import call_filters
from conversation.adapters.openai import openai_model
from conversation.application.turns import Turns
from conversation.ports import Model
from simulators.serving import serving

E = TypeVar("E", bound=Event)


@dataclass
class ActiveCall:
    """One call in progress: publishes the callee's utterances, delivers them to `turns`, and reads the log."""

    log: EventLog
    turns: Turns
    call: Call
    models: Sequence[Model] = ()

    async def change(self, **changes: object) -> None:
        """Appends a decision of the orchestrator that changes the call."""
        self.call = self.call.model_copy(update=changes)
        now, status, attempt = datetime.now(UTC), self.call.status, self.call.attempt
        await self.log.append(
            CallStatusChanged(
                call=self.call, occurred_at=now, previous=CallStatus.RINGING, status=status, attempt=attempt
            )
        )

    async def append_utterance(self, turn: int, text: str) -> StoredEvent:
        """Appends an utterance, as edge does, without delivering it."""
        return await self.log.append(
            SpeechHeard(
                call_id=self.call.call_id, attempt=1, turn=turn, text=text, language=self.call.language, confidence=0.9
            )
        )

    async def deliver(self, stored: StoredEvent) -> None:
        """Delivers an utterance to the service."""
        assert isinstance(stored.event, SpeechHeard)
        await self.turns.answer(stored.event, stored.envelope)

    async def callee_says(self, turn: int, text: str) -> StoredEvent:
        """Appends an utterance and delivers it."""
        stored = await self.append_utterance(turn, text)
        await self.deliver(stored)
        return stored

    async def append_sentence(self, turn: int, sentence: int, text: str) -> None:
        """Appends a sentence, as another replica does that is answering."""
        await self.log.append(
            AudioRequested(call_id=self.call.call_id, attempt=1, turn=turn, sentence=sentence, text=text, language="es")
        )

    async def events(self, kind: type[E]) -> list[E]:
        """Returns all events of one type in the log of this call."""
        stored = await self.log.read(call_filters(self.call.call_id))
        return [one.event for one in stored if isinstance(one.event, kind)]

    async def sentences(self, turn: int) -> list[str]:
        """Returns the sentences of a turn, in the order of the log."""
        return [event.text for event in await self.events(AudioRequested) if event.turn == turn]


@pytest.fixture
async def model_server() -> AsyncIterator[ModelServer]:
    """The model's vendor, on a port that the kernel chooses."""
    server = ModelServer()
    async with serving(server, "127.0.0.1") as origin:
        server.url = f"{origin}/v1"
        yield server


@pytest.fixture
def deadline_seconds() -> float:
    """The deadline of a turn; a test overrides it by parametrizing."""
    return 5.0


@pytest.fixture
async def active_call(calls: EventLog, model_server: ModelServer, deadline_seconds: float) -> AsyncIterator[ActiveCall]:
    """A call in Spanish whose callee has answered and heard the greeting."""
    now = datetime.now(UTC)
    call = Call(
        call_id=uuid4(),
        request_id="r-1",
        campaign_id="reminders",
        contact_id="c-1",
        phone_number="+12125550123",
        script_template="Hola, {{name}}.\n\nRecuérdele su cita.",
        variables={"name": "Ana"},
        language="es",
        metadata={},
        max_retries=0,
        retry_delay_seconds=60,
        call_timeout_seconds=30,
        max_call_seconds=600,
        created_at=now,
        status=CallStatus.IN_PROGRESS,
        attempt=1,
        status_changed_at=now,
    )
    async with openai_model("sk-fictional", "gpt-4.1-mini", provider("openai"), base_url=model_server.url) as model:
        active_call = ActiveCall(calls, Turns(calls, [model], deadline_seconds=deadline_seconds), call, [model])
        await active_call.change()
        await calls.append(
            AudioRequested(
                call_id=call.call_id, attempt=0, turn=0, sentence=0, text="Hola, Ana.", language="es", is_reusable=True
            )
        )
        yield active_call
