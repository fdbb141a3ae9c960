"""A call in progress on a real nats-server, and a model server on the wire."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import uuid4

import pytest
from tests.builders.calls import a_call
from tests.builders.events import status_changed
from tests.builders.turns import a_sentence, an_utterance
from tests.fakes.model import ModelServer
from tests.fakes.providers import provider

from chassis.event_log import EventLog, StoredEvent
from contracts import AudioRequested, Call, CallStatus, Event, ReplyGenerated, SpeechHeard
from contracts.filters import call_filters
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
        await self.log.append(status_changed(self.call, previous=CallStatus.RINGING))

    async def append_utterance(self, turn: int, text: str, granted_sequence: int | None = None) -> StoredEvent:
        """Appends an utterance, as edge does, without delivering it."""
        utterance = an_utterance(self.call.call_id, turn, text)
        return await self.log.append(utterance.model_copy(update={"granted_sequence": granted_sequence}))

    async def deliver(self, stored: StoredEvent) -> None:
        """Delivers an utterance to the service."""
        assert isinstance(stored.event, SpeechHeard)
        await self.turns.answer(StoredEvent(stored.event, stored.envelope, stored.sequence))

    async def callee_says(self, turn: int, text: str) -> StoredEvent:
        """Appends an utterance and delivers it."""
        stored = await self.append_utterance(turn, text)
        await self.deliver(stored)
        return stored

    async def append_sentence(self, turn: int, sentence: int, text: str) -> None:
        """Appends a sentence, as another replica does while it answers."""
        await self.log.append(a_sentence(self.call.call_id, turn, sentence, text))

    async def events(self, kind: type[E]) -> list[E]:
        """Returns all events of one type in the log of this call."""
        stored = await self.log.read(call_filters(self.call.call_id))
        return [one.event for one in stored if isinstance(one.event, kind)]

    async def sentences(self, turn: int) -> list[str]:
        """Returns the sentences of a turn, in the order of the log. The last one may be in the reply."""
        requested = [event.text for event in await self.events(AudioRequested) if event.turn == turn]
        replies = [event for event in await self.events(ReplyGenerated) if event.turn == turn]
        return [*requested, *(reply.last_sentence for reply in replies if reply.last_sentence is not None)]


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
    return 60.0


@pytest.fixture
async def active_call(calls: EventLog, model_server: ModelServer, deadline_seconds: float) -> AsyncIterator[ActiveCall]:
    """A call in Spanish whose callee has answered and heard the greeting."""
    call = a_call(
        CallStatus.IN_PROGRESS,
        call_id=uuid4(),
        script_template="Hola, {{name}}.\n\nRecuérdele su cita.",
        max_retries=0,
        granted_sequence=0,
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
