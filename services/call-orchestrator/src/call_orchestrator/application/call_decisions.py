"""From a call and an input to the next event. Pure; replay runs it on recorded inputs."""

from dataclasses import replace
from datetime import datetime

from call_orchestrator.application.call_inputs import CallInput
from call_orchestrator.application.call_terms import (
    NO_TERMS,
    Policy,
    UnacceptableTerms,
    changed_call,
    new_call,
    with_requirements,
)
from call_orchestrator.application.decision_terms import terms_of
from call_orchestrator.application.snapshots import event_of, permission_of, state_of
from call_orchestrator.application.stored_number_use import with_number_use
from call_orchestrator.domain import inputs
from call_orchestrator.domain.decisions import Ignored, Refused
from call_orchestrator.domain.machine import create, decide
from call_orchestrator.domain.number_use import UNUSED, NumberUse
from call_orchestrator.domain.pauses import NO_PAUSES, Pauses
from call_orchestrator.domain.states import Dialing
from contracts import Call, CallChangeRequested, CallCommandRefused, CallDecision, Campaign, CampaignTerms
from contracts.dial_terms import DialTerms
from contracts.vocabulary import RefusalCode

NO_SUCH_CALL = Refused("there is no such call", RefusalCode.NO_SUCH_CALL)
PERSON_ERASED = Refused("phone_number: the person was erased before the request was decided")


def read_late(grant: CallInput, campaign: Campaign) -> CallInput:
    """Returns the input of a grant that is carried out late: the campaign as it is then decides, with its terms."""
    return replace(grant, campaign=campaign, dial_terms=campaign.dial_terms)


def decide_call(
    before: Call | None,
    call_input: CallInput,
    policy: Policy,
    now: datetime,
    pauses: Pauses = NO_PAUSES,
    campaign: CampaignTerms = NO_TERMS,
    number: NumberUse = UNUSED,
    *,
    is_campaign_finished: bool = False,
    number_refusal: Refused | None = None,
) -> CallDecision | Ignored | Refused:
    """Returns the event that follows from an input, or why none does. `before`: the call, if it exists.

    A refused command of an existing call is an event, too: `CallCommandRefused`. `pauses`, those of the campaign, only
    prevent that the call expires. `campaign`: its terms, from which a new call takes what its request leaves out. They
    restrict when the call is dialled, except that a grant carries its own `DialTerms`. `number`: how its number is
    used, if the input grants a slot. `is_campaign_finished`: as far as the replica knows. `number_refusal`: why the
    number that a change leads to is not called.
    """
    if before is None:
        return _create(call_input, policy, now, campaign)
    dial_terms = campaign.dial_terms if call_input.dial_terms is None else call_input.dial_terms
    decision = number_refusal or _decide(
        before, call_input, policy, now, pauses, dial_terms, number, is_finished=is_campaign_finished
    )
    if isinstance(decision, Refused) and (command := call_input.command):
        refused = _at(before, call_input).model_copy(update={"permission": permission_of(decision, dial_terms)})
        change = command if isinstance(command, CallChangeRequested) else None
        return CallCommandRefused(
            call=refused,
            occurred_at=now,
            command=command.event_name,
            changed=tuple(change.changes()) if change else (),
            scheduled_at=change.scheduled_at if change else None,
            reason=decision.reason,
            code=decision.code,
        )
    return decision


def _decide(
    before: Call,
    call_input: CallInput,
    policy: Policy,
    now: datetime,
    pauses: Pauses,
    dial_terms: DialTerms,
    number: NumberUse,
    *,
    is_finished: bool,
) -> CallDecision | Ignored | Refused:
    command, call, read = call_input.command, _at(before, call_input), call_input.campaign
    terms = terms_of(
        with_requirements(before, command, policy) if isinstance(command, CallChangeRequested) else before,
        policy.dial_within,
        policy.calling_policy,
        dial_terms,
        number,
        is_campaign_finished=is_finished or bool(read and read.finished_at),
        is_campaign_closed=bool(read and not read.is_open(now)),
    )
    decision = decide(state_of(before), call_input.input, terms, now, pauses)
    if isinstance(decision, Ignored | Refused):
        return decision
    if isinstance(decision.state, Dialing) and call_input.grant_sequence is not None:
        call = call.model_copy(update={"granted_sequence": call_input.grant_sequence})
    if call_input.callback_reason is not None:
        call = call.model_copy(update={"callback_reason": call_input.callback_reason})
    if not isinstance(command, CallChangeRequested):
        event = event_of(decision, call, now, campaign=dial_terms)
        return event.model_copy(update={"call": with_number_use(event.call, number)})
    try:
        after = changed_call(call, command, policy)
    except UnacceptableTerms as error:
        return Refused(str(error))
    if command.phone_number is not None:
        after = after.model_copy(update={"number_changed_at": now})
    event = event_of(decision, after, now, tuple(command.changes()), dial_terms)
    return event.model_copy(update={"scheduled_at": command.scheduled_at})


def _create(call_input: CallInput, policy: Policy, now: datetime, campaign: CampaignTerms) -> CallDecision | Refused:
    input, request = call_input.input, call_input.request
    if not (isinstance(input, inputs.CallRequested) and request):
        return NO_SUCH_CALL
    try:
        call = new_call(call_input.call_id, request, policy, now, campaign)
    except UnacceptableTerms as error:
        return Refused(str(error))
    dial_terms = campaign.dial_terms
    created = create(input, terms_of(call, policy.dial_within, policy.calling_policy, dial_terms), now)
    if isinstance(created, Refused):
        return created
    event = event_of(created, _at(call, call_input), now, campaign=dial_terms)
    return event.model_copy(update={"scheduled_at": input.scheduled_at})


def _at(call: Call, call_input: CallInput) -> Call:
    """Returns the call with the position of this request or command. An input without a position changes nothing."""
    if call_input.sequence is None:
        return call
    return call.model_copy(update={"command_sequence": max(call.command_sequence or 0, call_input.sequence)})
