"""Subscribes to ``speech.heard``: each utterance is one turn to answer."""

from chassis.broker import Broker
from chassis.event_log import StoredEvent
from chassis.subscriptions import subscribe
from contracts import SpeechHeard
from contracts.consumers import CONVERSATION_TURNS
from conversation.application.turns import Turns


def subscribe_handlers(broker: Broker, turns: Turns) -> None:
    """Subscribes to the service's one consumer. `Turns` explains why a second delivery is harmless."""

    async def on_speech_heard(_: SpeechHeard, stored: StoredEvent[SpeechHeard]) -> None:
        await turns.answer(stored)

    subscribe(broker, CONVERSATION_TURNS, on_speech_heard)
