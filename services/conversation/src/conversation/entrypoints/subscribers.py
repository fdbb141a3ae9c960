"""``speech.heard.*``: each is a turn to answer."""

from faststream.nats import NatsRouter
from nats.aio.client import Client

from chassis.event_log import StoredEvent
from chassis.subscriptions import subscribe
from contracts import InvalidMessage, SpeechHeard
from contracts.streams import CONVERSATION_TURNS
from conversation.application.turns import Turns


def build_router(turns: Turns, client: Client) -> NatsRouter:
    """The service's one consumer. What comes twice or to two replicas is answered once: see `Turns`."""
    router = NatsRouter()

    async def on_speech(recorded: StoredEvent) -> None:
        if not isinstance(recorded.event, SpeechHeard):
            raise InvalidMessage([f"subject: {recorded.event.event_name} is nothing that was heard"])
        await turns.answer(recorded.event, recorded.envelope)

    subscribe(router, client, CONVERSATION_TURNS, on_speech)
    return router
