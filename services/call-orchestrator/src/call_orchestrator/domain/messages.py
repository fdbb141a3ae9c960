"""The rules for the message to a machine that answered.

Detection finishes at the end of the machine's greeting, so the message is requested at once. How much of it was left
follows from two reports of the network: that it begins, and that it was played to its end. Then the line is closed.

Detection may be wrong. If no beep was heard, speech of the callee withdraws the message, and the conversation goes on
(docs/adr/0041).
"""

from dataclasses import replace
from datetime import datetime

from call_orchestrator.domain import inputs
from call_orchestrator.domain.decisions import (
    CallMessageRequested,
    CallMessageStarted,
    CallMessageWithdrawn,
    Decision,
    Ignored,
)
from call_orchestrator.domain.hangups import hang_up
from call_orchestrator.domain.states import InProgress, Live, Message, Terms
from contracts.vocabulary import HangupReason, VoicemailDelivery


def meet_machine(state: Live, *, is_after_beep: bool, terms: Terms, now: datetime) -> Decision:
    """Decides what to do with a machine: leave the message if there is one, else close the line.

    A conversation that is over has reached its callee; then no message is left.
    """
    if terms.message_time is None or state.disposition is not None:
        return hang_up(state, HangupReason.VOICEMAIL, now)
    if state.message is not None:
        return Ignored("the message is being left already")
    talk_ends_at = state.deadline_at if isinstance(state, InProgress) else now + terms.max_talk
    deadline_at = min(talk_ends_at, now + terms.message_time)
    message = Message(is_after_beep=is_after_beep)
    return CallMessageRequested(state=replace(state, message=message, deadline_at=deadline_at))


def follow_message(state: Live, report: inputs.MessageReported, now: datetime) -> Decision:
    """Records how much of the message was played, and closes the line after all of it."""
    if state.message is None or state.hangup_reason is not None:
        return Ignored("no message is being left")
    if report.is_finished:
        whole = replace(state, message=replace(state.message, delivery=VoicemailDelivery.WHOLE))
        return hang_up(whole, HangupReason.VOICEMAIL, now)
    if state.message.delivery is not VoicemailDelivery.NONE:
        return Ignored("the message has begun before")
    return CallMessageStarted(state=replace(state, message=replace(state.message, delivery=VoicemailDelivery.CUT)))


def recognize_person(state: Live, terms: Terms) -> Decision:
    """Withdraws the message, because a person has answered."""
    if state.message is None or state.hangup_reason is not None:
        return Ignored("no message is being left")
    if state.message.is_after_beep:
        return Ignored("the beep of a voicemail was heard")
    deadline_at = state.answered_at + terms.max_talk if isinstance(state, InProgress) else state.deadline_at
    return CallMessageWithdrawn(state=replace(state, message=None, deadline_at=deadline_at))
