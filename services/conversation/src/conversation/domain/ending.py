"""Decides whether a turn ends the conversation, and with which disposition.

Both follow from the log alone, so a replica that finds a closed turn can append an ending that a crash prevented.
"""

from contracts import ConversationEnded, Disposition, Event, SpeechHeard, TelephonyStatus, TelephonyStatusReported
from conversation.domain.conversation import Conversation
from conversation.domain.tools import END_CALL, disposition_of, fields_of

MAX_SILENCES = 2
"""After so many silences in a row the conversation ends: the callee has probably left the telephone."""
CHARACTERS_PER_SECOND = 14
"""The approximate speed of speech."""
_OPEN_STATUSES = (
    TelephonyStatus.QUEUED,
    TelephonyStatus.INITIATED,
    TelephonyStatus.RINGING,
    TelephonyStatus.IN_PROGRESS,
)


def decide_ending(conversation: Conversation) -> ConversationEnded | None:
    """Returns the ending that follows from the last turn, which must have a reply; none if the conversation goes on."""
    disposition = _disposition(conversation)
    if disposition is None:
        return None
    last = conversation.turns[-1]
    return ConversationEnded(
        call_id=conversation.call.call_id,
        attempt=conversation.attempt,
        turn=last.number,
        disposition=disposition,
        summary=_summary(conversation),
        fields=fields_of(conversation.tool_calls),
        goodbye_seconds=round(len(last.reply_text) / CHARACTERS_PER_SECOND, 1),
    )


def late_opt_out(utterance: SpeechHeard) -> ConversationEnded:
    """Returns the ending by a person who wants no more calls, and whose line closed before a reply."""
    return ConversationEnded(
        call_id=utterance.call_id,
        attempt=utterance.attempt,
        turn=utterance.turn,
        disposition=Disposition.OPT_OUT,
        summary=f"The callee's last words: “{utterance.text}”. The line was closed.",
    )


def is_end(event: Event, attempt: int) -> bool:
    """Whether an event ends an attempt, or its conversation."""
    if isinstance(event, TelephonyStatusReported):
        return event.attempt == attempt and event.status not in _OPEN_STATUSES
    return isinstance(event, ConversationEnded) and event.attempt == attempt


def has_failed_before(conversation: Conversation) -> bool:
    """Whether the reply to the turn before the last one was a fallback."""
    previous = conversation.turns[-2].reply if len(conversation.turns) > 1 else None
    return previous is not None and previous.is_fallback


def _disposition(conversation: Conversation) -> Disposition | None:
    reply = conversation.turns[-1].reply
    if reply is None:
        return None
    if conversation.has_opted_out:
        return Disposition.OPT_OUT
    if reply.is_fallback and has_failed_before(conversation):
        return Disposition.TECHNICAL_FAILURE
    for call in reply.tool_calls:
        if call.name == END_CALL:
            return disposition_of(call) or Disposition.ANSWERED
    return Disposition.UNRESPONSIVE if conversation.last_silences >= MAX_SILENCES else None


def _summary(conversation: Conversation) -> str:
    turns = conversation.turns
    utterances = [turn.utterance for turn in turns if turn.utterance is not None and not turn.is_silence]
    silences = sum(turn.is_silence for turn in turns)
    parts = [f"The callee answered {len(utterances)} times and was silent {silences} times."]
    if fields := fields_of(conversation.tool_calls):
        parts.append("Noted: " + "; ".join(f"{field}: {value}" for field, value in fields.items()) + ".")
    if utterances:
        parts.append(f"The callee's last words: “{utterances[-1]}”.")
    parts.append(f"The agent's last words: “{turns[-1].reply_text}”.")
    for call in conversation.tool_calls:
        if call.name == END_CALL and disposition_of(call) is None:
            value = call.arguments.get("disposition") or "none that is readable"
            parts.append(f"The model gave an unknown disposition: {value}.")
    return " ".join(parts)
