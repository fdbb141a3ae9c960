"""Subscribes to what callees say; each utterance is a turn to answer."""

from faststream.nats import NatsRouter

from chassis.event_log import StoredEvent
from chassis.subscriptions import subscribe
from contracts import SpeechHeard
from contracts.streams import CONVERSATION_TURNS
from conversation.application.turns import Turns


def build_router(turns: Turns) -> NatsRouter:
    """Returns the subscription to the consumer ``conversation-turns``. `Turns` answers an utterance once, however often
    and to however many replicas it is delivered."""
    router = NatsRouter()

    async def on_speech_heard(event: SpeechHeard, stored: StoredEvent[SpeechHeard]) -> None:
        await turns.answer(event, stored.envelope)

    subscribe(router, CONVERSATION_TURNS, on_speech_heard)
    return router
