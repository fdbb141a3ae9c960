"""NATS: what the orchestrator decided, and what is to be made ready to be heard."""

from faststream.nats import NatsRouter
from nats.aio.client import Client

from chassis.event_log import StoredEvent
from chassis.subscriptions import subscribe
from contracts import (
    AudioRequested,
    CallHangupRequested,
    CallSettlementRequested,
    CallStatusChanged,
    Event,
    InvalidMessage,
)
from contracts.streams import VOICE_DIALS, VOICE_GREETINGS, VOICE_HANGUPS, VOICE_SETTLEMENTS
from voice.application.speech.greetings import Greetings
from voice.application.telephony.dialing import Dialing
from voice.application.telephony.hangup import HangUp
from voice.application.telephony.settlement import Settlement


def build_router(
    client: Client, dialing: Dialing, settlement: Settlement, hangup: HangUp, greetings: Greetings
) -> NatsRouter:
    """The service's four consumers. Why a repeated message does no harm is said by each use."""
    router = NatsRouter()

    async def on_dial(told: StoredEvent) -> None:
        if not isinstance(told.event, CallStatusChanged):
            raise _misplaced(told.event)
        await dialing.dial(told.event, told.envelope)

    async def on_settlement(told: StoredEvent) -> None:
        if not isinstance(told.event, CallSettlementRequested):
            raise _misplaced(told.event)
        await settlement.settle(told.event, told.envelope)

    async def on_hangup(told: StoredEvent) -> None:
        if not isinstance(told.event, CallHangupRequested):
            raise _misplaced(told.event)
        await hangup.hang_up(told.event, told.envelope)

    async def on_audio(told: StoredEvent) -> None:
        if not isinstance(told.event, AudioRequested):
            raise _misplaced(told.event)
        await greetings.prepare(told, told.event)

    subscribe(router, client, VOICE_DIALS, on_dial)
    subscribe(router, client, VOICE_SETTLEMENTS, on_settlement)
    subscribe(router, client, VOICE_HANGUPS, on_hangup)
    subscribe(router, client, VOICE_GREETINGS, on_audio)
    return router


def _misplaced(event: Event) -> InvalidMessage:
    return InvalidMessage([f"subject: {event.event_name} is nothing that this consumer handles"])
