"""NATS: requests and commands from upstream and the edge, facts from the other services, deadlines from the server."""

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
    InvalidMessage,
    TelephonyStatusReported,
    TimerDue,
)
from contracts.permissions import is_inbox
from contracts.streams import ORCHESTRATOR_CAMPAIGNS, ORCHESTRATOR_FACTS, ORCHESTRATOR_REQUESTS

Command = CallRequested | CallChangeRequested | CallCancelRequested | CallRetryRequested
Fact = (
    DialPlaced
    | DialRefused
    | DialUnknown
    | DialLookedUp
    | TelephonyStatusReported
    | AnswerClassified
    | ConversationEnded
    | TimerDue
    | AdmissionGranted
)


def build_router(calls: CallService, grants: Grants, campaigns: CampaignService, client: Client) -> NatsRouter:
    """The service's three consumers, idempotent by `CallService` and `CampaignService`: see there."""
    router = NatsRouter()

    async def on_request(recorded: StoredEvent) -> None:
        event = recorded.event
        if not isinstance(event, Command):
            raise InvalidMessage([f"subject: {event.event_name} is no request"])
        await _answer(client, recorded, await _ask(calls, event, recorded))

    async def on_campaign(recorded: StoredEvent) -> None:
        event = recorded.event
        if not isinstance(event, CampaignPauseRequested | CampaignResumeRequested):
            raise InvalidMessage([f"subject: {event.event_name} asks nothing of a campaign"])
        await _answer(client, recorded, await campaigns.ask(event, recorded.envelope))

    async def on_fact(recorded: StoredEvent) -> None:
        event, again = recorded.event, recorded.deliveries > 1
        if isinstance(event, AdmissionGranted):
            await grants.carry_out(event, sequence=recorded.sequence, cause=recorded.envelope, redelivered=again)
            return
        if not isinstance(event, Fact):
            raise InvalidMessage([f"subject: {event.event_name} is no fact that the state machine knows"])
        await calls.tell(CallInput(event.call_id, input_of(event), recorded.envelope, again))

    subscribe(router, client, ORCHESTRATOR_REQUESTS, on_request)
    subscribe(router, client, ORCHESTRATOR_CAMPAIGNS, on_campaign)
    subscribe(router, client, ORCHESTRATOR_FACTS, on_fact)
    return router


async def _answer(client: Client, recorded: StoredEvent, outcome: CommandOutcome) -> None:
    answer_to = recorded.envelope.reply_to
    if answer_to and is_inbox(answer_to):  # anything else would be said in our name, not in the asker's
        await client.publish(answer_to, outcome.model_dump_json().encode())


async def _ask(calls: CallService, command: Command, recorded: StoredEvent) -> CommandOutcome:
    cause, again = recorded.envelope, recorded.deliveries > 1
    match command:
        case CallRequested():
            return await calls.request(command, cause, redelivered=again)
        case CallChangeRequested():
            return await calls.change(command, cause, redelivered=again)
        case CallCancelRequested():
            return await calls.tell(CallInput(command.call_id, inputs.CancelRequested(), cause, again))
        case CallRetryRequested():
            return await calls.tell(CallInput(command.call_id, inputs.RetryRequested(), cause, again))
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
