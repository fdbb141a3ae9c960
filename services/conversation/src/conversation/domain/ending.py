"""When a talk is over and how it came out: a function of the log, so that a crash in between loses no ending."""

from contracts import ConversationEnded, Disposition
from conversation.domain.talk import Talk
from conversation.domain.tools import END_CALL, disposition_of, fields_of

SILENCES = 2
"""So many silences in a row, and nobody is there."""
CHARACTERS_PER_SECOND = 14
"""How fast speech is, about."""


def ending(talk: Talk) -> ConversationEnded | None:
    """The end that the last exchange, which must be answered, brings; none if the talk goes on."""
    disposition = _disposition(talk)
    if disposition is None:
        return None
    last = talk.exchanges[-1]
    return ConversationEnded(
        call_id=talk.call.call_id,
        attempt=talk.attempt,
        turn=last.turn,
        disposition=disposition,
        summary=_summary(talk),
        fields=fields_of(talk.tool_calls),
        goodbye_seconds=round(len(last.said) / CHARACTERS_PER_SECOND, 1),
    )


def second_failure(talk: Talk) -> bool:
    """Whether the model failed in the turn before the last one."""
    before = talk.exchanges[-2].reply if len(talk.exchanges) > 1 else None
    return before is not None and before.is_fallback


def _disposition(talk: Talk) -> Disposition | None:
    reply = talk.exchanges[-1].reply
    if reply is None:
        return None
    if reply.is_fallback and second_failure(talk):
        return Disposition.TECHNICAL_FAILURE
    for call in reply.tool_calls:
        if call.name == END_CALL:
            return disposition_of(call) or Disposition.ANSWERED
    return Disposition.UNRESPONSIVE if talk.silences >= SILENCES else None


def _summary(talk: Talk) -> str:
    heard = [one.heard for one in talk.exchanges if one.heard is not None and not one.is_silence]
    silences = sum(one.is_silence for one in talk.exchanges)
    parts = [f"The callee answered {len(heard)} times and was silent {silences} times."]
    if facts := fields_of(talk.tool_calls):
        parts.append("Noted: " + "; ".join(f"{field}: {value}" for field, value in facts.items()) + ".")
    if heard:
        parts.append(f"Last heard: “{heard[-1]}”.")
    parts.append(f"Last said: “{talk.exchanges[-1].said}”.")
    for call in talk.tool_calls:
        if call.name == END_CALL and disposition_of(call) is None:
            given = call.arguments.get("disposition") or "none that could be read"
            parts.append(f"The model gave an unknown disposition: {given}.")
    return " ".join(parts)
