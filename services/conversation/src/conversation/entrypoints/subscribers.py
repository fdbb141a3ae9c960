"""Subscribes to ``speech.heard``: each utterance is one turn to answer."""

from faststream.nats import NatsRouter

from chassis.event_log import StoredEvent
from chassis.subscriptions import subscribe
from contracts import SpeechHeard
from contracts.consumers import CONVERSATION_TURNS
from conversation.application.turns import Turns


def build_router(turns: Turns) -> NatsRouter:
    """Returns a router with the service's one consumer. `Turns` explains why a second delivery is harmless."""
    router = NatsRouter()

    async def on_speech_heard(_: SpeechHeard, stored: StoredEvent[SpeechHeard]) -> None:
        await turns.answer(stored)

    subscribe(router, CONVERSATION_TURNS, on_speech_heard)
    return router
