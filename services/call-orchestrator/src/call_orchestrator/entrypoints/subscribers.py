"""Subscribes to requests and commands, to events of the other services, and to deadlines."""

from typing import cast

import structlog

from call_orchestrator.application.call_inputs import AttemptEvent, call_input
from call_orchestrator.application.calls import CallService
from call_orchestrator.application.campaigns import CampaignService
from call_orchestrator.application.do_not_call import DoNotCall
from call_orchestrator.application.erasure import Erasure
from call_orchestrator.application.finished_campaigns import FinishedCampaigns
from call_orchestrator.application.grants import Grants
from call_orchestrator.application.new_contacts import NewContacts
from call_orchestrator.entrypoints.handled import Handled
from chassis.broker import Broker
from chassis.event_log import StoredEvent
from chassis.subscriptions import subscribe
from contracts import (
    AdmissionGranted,
    CallCommand,
    CallRequested,
    CampaignCommand,
    CampaignFinished,
    ContactRequested,
    ConversationEnded,
    NumberCommand,
    OptOutKeyPressed,
    PersonEraseRequested,
    TimerDue,
)
from contracts.consumers import (
    ORCHESTRATOR_CAMPAIGNS,
    ORCHESTRATOR_COMMANDS,
    ORCHESTRATOR_CONTACTS,
    ORCHESTRATOR_FACTS,
    ORCHESTRATOR_FINISHES,
    ORCHESTRATOR_NUMBERS,
    ORCHESTRATOR_PERSONS,
    ORCHESTRATOR_REQUESTS,
)
from contracts.vocabulary import RefusalCode

logger = structlog.get_logger()


def subscribe_handlers(
    broker: Broker,
    calls: CallService,
    grants: Grants,
    campaigns: CampaignService,
    contacts: NewContacts,
    do_not_call: DoNotCall,
    erasure: Erasure,
    finished_campaigns: FinishedCampaigns,
    handled: Handled,
) -> None:
    """Subscribes to the eight consumers of this service.

    Their classes, such as `CallService` and `Erasure`, explain why a second delivery is harmless.
    """
    _subscribe_to_calls(broker, calls, grants, do_not_call, handled)

    async def on_campaign_command(event: CampaignCommand, stored: StoredEvent[CampaignCommand]) -> None:
        await handled.end(stored, await campaigns.handle(event, stored.envelope))

    async def on_contact_requested(event: ContactRequested, stored: StoredEvent[ContactRequested]) -> None:
        outcome = await contacts.handle(stored)
        if not outcome.accepted:  # a request on the bus may have no client that waits for its outcome
            logger.warning("contact_refused", campaign_id=event.campaign_id, reasons=list(outcome.reasons))
        await handled.end(stored, outcome)

    async def on_number_command(event: NumberCommand, stored: StoredEvent[NumberCommand]) -> None:
        stored_at = stored.stored_at or stored.envelope.time
        await handled.end(stored, await do_not_call.handle(event, stored_at, stored.envelope))

    async def on_person_erase_requested(_: PersonEraseRequested, stored: StoredEvent[PersonEraseRequested]) -> None:
        await handled.end(stored, await erasure.handle(stored))

    async def on_campaign_finished(event: CampaignFinished, stored: StoredEvent[CampaignFinished]) -> None:
        await finished_campaigns.end_waiting(event, stored.envelope)

    subscribe(broker, ORCHESTRATOR_CAMPAIGNS, on_campaign_command)
    subscribe(broker, ORCHESTRATOR_CONTACTS, on_contact_requested)
    subscribe(broker, ORCHESTRATOR_NUMBERS, on_number_command)
    subscribe(broker, ORCHESTRATOR_PERSONS, on_person_erase_requested)
    subscribe(broker, ORCHESTRATOR_FINISHES, on_campaign_finished)


def _subscribe_to_calls(
    broker: Broker, calls: CallService, grants: Grants, do_not_call: DoNotCall, handled: Handled
) -> None:
    """Subscribes to what is decided about single calls: requests, commands, facts, timers and grants."""

    async def on_call_requested(event: CallRequested, stored: StoredEvent[CallRequested]) -> None:
        is_redelivered = stored.deliveries > 1
        requested = call_input(
            event,
            stored.envelope,
            is_redelivered=is_redelivered,
            sequence=stored.sequence,
            sent_at=stored.sent_at,
        )
        outcome = await calls.handle(requested)
        if not outcome.accepted:  # a request on the bus may have no client that waits for its outcome
            # A full backlog has its own warning, one for many requests; this line has the id of each.
            log = logger.info if outcome.code is RefusalCode.BACKLOG_FULL else logger.warning
            log("request_refused", call_id=str(outcome.call_id), reasons=list(outcome.reasons))
        await handled.end(stored, outcome)

    async def on_call_command(_: CallCommand, stored: StoredEvent[CallCommand]) -> None:
        await handled.end(stored, await calls.handle_command(stored))

    async def on_call_event(event: AttemptEvent | TimerDue, stored: StoredEvent[AttemptEvent | TimerDue]) -> None:
        if isinstance(event, ConversationEnded | OptOutKeyPressed):
            await do_not_call.note_opt_out(
                cast("StoredEvent[ConversationEnded] | StoredEvent[OptOutKeyPressed]", stored)
            )
        outcome = await calls.handle(call_input(event, stored.envelope, is_redelivered=stored.deliveries > 1))
        if not outcome.accepted:  # only because the log has no such call; the event is kept and ignored
            logger.warning("event_of_unknown_call", call_id=str(event.call_id), event_name=event.event_name)

    async def on_admission_granted(event: AdmissionGranted, stored: StoredEvent[AdmissionGranted]) -> None:
        await grants.carry_out(
            event, sequence=stored.sequence, cause=stored.envelope, is_redelivered=stored.deliveries > 1
        )

    subscribe(broker, ORCHESTRATOR_REQUESTS, on_call_requested)
    subscribe(broker, ORCHESTRATOR_COMMANDS, on_call_command)
    subscribe(broker, ORCHESTRATOR_FACTS, on_call_event, on_admission_granted)
