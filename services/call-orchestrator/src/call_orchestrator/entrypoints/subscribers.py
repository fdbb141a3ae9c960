"""Subscribes to requests and commands, to events of the other services, and to deadlines."""

from typing import assert_never

from faststream.nats import NatsRouter
from nats.aio.client import Client

from call_orchestrator.application.calls import CallInput, CallService
from call_orchestrator.application.campaigns import CampaignService
from call_orchestrator.application.grants import Grants
from call_orchestrator.domain import inputs
from chassis.event_log import StoredEvent
from chassis.subscriptions import subscribe
from contracts import (
    AdmissionGranted,
    AnswerClassified,
    CallCancelRequested,
    CallChangeRequested,
    CallRequested,
    CallRetryRequested,
    CampaignPauseRequested,
    CampaignResumeRequested,
    CommandOutcome,
    ConversationEnded,
    DialLookedUp,
    DialPlaced,
    DialRefused,
    DialUnknown,
    TelephonyStatusReported,
    TimerDue,
)
from contracts.permissions import is_inbox
from contracts.streams import ORCHESTRATOR_CAMPAIGNS, ORCHESTRATOR_FACTS, ORCHESTRATOR_REQUESTS

Command = CallRequested | CallChangeRequested | CallCancelRequested | CallRetryRequested
CallFact = (
    DialPlaced
    | DialRefused
    | DialUnknown
    | DialLookedUp
    | TelephonyStatusReported
    | AnswerClassified
    | ConversationEnded
    | TimerDue
)
Fact = CallFact | AdmissionGranted
CampaignCommand = CampaignPauseRequested | CampaignResumeRequested


def build_router(calls: CallService, grants: Grants, campaigns: CampaignService, client: Client) -> NatsRouter:
    """Returns the subscriptions to the three consumers of this service. `CallService`, `Grants` and `CampaignService`
    explain why a second delivery is harmless."""
    router = NatsRouter()

    async def on_command(event: Command, stored: StoredEvent[Command]) -> None:
        await _reply(client, stored, await _decide(calls, event, stored))

    async def on_campaign_command(event: CampaignCommand, stored: StoredEvent[CampaignCommand]) -> None:
        await _reply(client, stored, await campaigns.ask(event, stored.envelope))

    async def on_admission_granted(event: AdmissionGranted, stored: StoredEvent[AdmissionGranted]) -> None:
        await grants.carry_out(
            event, sequence=stored.sequence, cause=stored.envelope, redelivered=stored.deliveries > 1
        )

    async def on_call_event(event: CallFact, stored: StoredEvent[CallFact]) -> None:
        await calls.tell(CallInput(event.call_id, input_of(event), stored.envelope, stored.deliveries > 1))

    subscribe(router, ORCHESTRATOR_REQUESTS, on_command)
    subscribe(router, ORCHESTRATOR_CAMPAIGNS, on_campaign_command)
    subscribe(router, ORCHESTRATOR_FACTS, on_call_event, on_admission_granted)
    return router


async def _reply(client: Client, stored: StoredEvent, outcome: CommandOutcome) -> None:
    """Sends the outcome to the inbox that the command names. Any other subject is ignored: the sender may not be
    allowed to publish there."""
    inbox = stored.envelope.reply_to
    if inbox and is_inbox(inbox):
        await client.publish(inbox, outcome.model_dump_json().encode())


async def _decide(calls: CallService, command: Command, stored: StoredEvent) -> CommandOutcome:
    cause, redelivered = stored.envelope, stored.deliveries > 1
    match command:
        case CallRequested():
            return await calls.request(command, cause, redelivered=redelivered)
        case CallChangeRequested():
            return await calls.change(command, cause, redelivered=redelivered)
        case CallCancelRequested():
            return await calls.tell(CallInput(command.call_id, inputs.CancelRequested(), cause, redelivered))
        case CallRetryRequested():
            return await calls.tell(CallInput(command.call_id, inputs.RetryRequested(), cause, redelivered))
        case _:
            assert_never(command)


def input_of(fact: Fact) -> inputs.Input:
    """The fact in the words of the state machine."""
    match fact:
        case DialPlaced():
            return inputs.DialPlaced(attempt=fact.attempt)
        case DialRefused():
            return inputs.DialRefused(attempt=fact.attempt, is_permanent=fact.is_permanent, reason=fact.reason)
        case DialUnknown():
            return inputs.DialUnknown(attempt=fact.attempt)
        case DialLookedUp():
            return inputs.NetworkReported(
                attempt=fact.attempt,
                status=fact.status,
                duration_seconds=fact.duration_seconds,
                looked_up=True,
            )
        case TelephonyStatusReported():
            return inputs.NetworkReported(
                attempt=fact.attempt,
                status=fact.status,
                duration_seconds=fact.duration_seconds,
                is_permanent=fact.is_permanent,
                reason=fact.reason,
            )
        case AnswerClassified():
            return inputs.AnswerClassified(attempt=fact.attempt, answered_by=fact.answered_by)
        case ConversationEnded():
            return inputs.ConversationEnded(
                attempt=fact.attempt, disposition=fact.disposition, goodbye_seconds=fact.goodbye_seconds
            )
        case TimerDue():
            return inputs.TimerDue(deadline_at=fact.deadline_at)
        case AdmissionGranted():
            return inputs.Admitted(attempt=fact.attempt)
        case _:
            assert_never(fact)
