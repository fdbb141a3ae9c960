"""Subscribes to the orchestrator's decisions about dialling, messages to machines, hanging up and settling."""

from chassis.broker import Broker
from chassis.event_log import StoredEvent
from chassis.subscriptions import subscribe
from contracts import CallHangupRequested, CallMessageRequested, CallSettlementRequested, CallStatusChanged
from contracts.consumers import VOICE_DIALS, VOICE_HANGUPS, VOICE_MESSAGES, VOICE_SETTLEMENTS
from voice.application.telephony.dialing import Dialing
from voice.application.telephony.hangup import HangUp
from voice.application.telephony.messages import Messages
from voice.application.telephony.settlement import Settlement


def subscribe_handlers(
    broker: Broker, dialing: Dialing, settlement: Settlement, hangup: HangUp, messages: Messages
) -> None:
    """Subscribes to the four consumers of this service.

    Each use case explains why a second delivery is harmless.
    """

    async def on_dial_ordered(event: CallStatusChanged, stored: StoredEvent[CallStatusChanged]) -> None:
        await dialing.dial(event, stored.envelope, is_redelivered=stored.deliveries > 1)

    async def on_settlement_requested(
        event: CallSettlementRequested, stored: StoredEvent[CallSettlementRequested]
    ) -> None:
        await settlement.settle(event, stored.envelope)

    async def on_hangup_requested(event: CallHangupRequested, stored: StoredEvent[CallHangupRequested]) -> None:
        await hangup.hang_up(event, stored.envelope)

    async def on_message_requested(event: CallMessageRequested, stored: StoredEvent[CallMessageRequested]) -> None:
        await messages.leave(event, stored.envelope)

    subscribe(broker, VOICE_DIALS, on_dial_ordered)
    subscribe(broker, VOICE_SETTLEMENTS, on_settlement_requested)
    subscribe(broker, VOICE_HANGUPS, on_hangup_requested)
    subscribe(broker, VOICE_MESSAGES, on_message_requested)
