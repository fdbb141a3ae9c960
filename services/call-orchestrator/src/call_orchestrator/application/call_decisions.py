"""From a call and an input to the next event. Pure; replay runs it on recorded inputs."""

from datetime import datetime

from call_orchestrator.application.call_inputs import CallInput
from call_orchestrator.application.call_terms import Policy, UnacceptableTerms, changed_call, new_call
from call_orchestrator.application.snapshots import event_of, state_of, terms_of
from call_orchestrator.domain import inputs
from call_orchestrator.domain.decisions import Ignored, Refused
from call_orchestrator.domain.machine import create, decide
from contracts import Call, CallChangeRequested, CallDecision, CallRequested


def decide_call(
    before: Call | None, call_input: CallInput, policy: Policy, now: datetime
) -> CallDecision | Ignored | Refused:
    """Returns the event that follows from an input, or why none does. `before`: the call, if it exists."""
    if before is None:
        return _create(call_input, policy, now)
    decision = decide(state_of(before), call_input.input, terms_of(before, policy.dial_within), now)
    if isinstance(decision, Ignored | Refused):
        return decision
    request = call_input.request
    if not isinstance(request, CallChangeRequested):
        return event_of(decision, before, now)
    try:
        return event_of(decision, changed_call(before, request, policy), now, tuple(request.changes()))
    except UnacceptableTerms as error:
        return Refused(str(error))


def _create(call_input: CallInput, policy: Policy, now: datetime) -> CallDecision | Refused:
    input, request = call_input.input, call_input.request
    if not (isinstance(input, inputs.CallRequested) and isinstance(request, CallRequested)):
        return Refused("there is no such call")
    try:
        return event_of(create(input, now), new_call(call_input.call_id, request, policy, now), now)
    except UnacceptableTerms as error:
        return Refused(str(error))
