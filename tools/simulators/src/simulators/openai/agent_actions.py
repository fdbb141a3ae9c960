"""What the simulated agent does beside speaking: it presses the keys of a menu, and schedules another call."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from simulators.openai.agent_tools import AgentToolCall
from simulators.openai.requests import Function
from simulators.openai.utterance_meaning import Language

SEND_DIGITS = "send_digits"
SCHEDULE_CALLBACK = "schedule_callback"
_NUMBERS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "cero": 0, "uno": 1, "dos": 2, "tres": 3, "cuatro": 4, "cinco": 5, "seis": 6, "siete": 7, "ocho": 8, "nueve": 9,
}  # fmt: skip
_HOURS = {"ten": 10, "diez": 10, "noon": 12, "five": 17, "cinco": 17}
_MENU = re.compile(r"\b(?:press|marque|pulse)\s+(?:el\s+)?(\w+)", re.IGNORECASE)
_AGAIN = re.compile(
    r"\bcall (?:me )?(?:back|again)\b|\bll[aá]m(?:e|a)me (?:mañana|en|luego)\b|\bvuelva a llamar", re.IGNORECASE
)
_SPAN = re.compile(r"\b(?:in|en) (\d+) (second|minute|hour|segundo|minuto|hora)", re.IGNORECASE)
_TIME = re.compile(r"\b(?:at|las) (\w+)", re.IGNORECASE)
_NOW = re.compile(r"\b(\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?[+-]\d\d:\d\d)")
"""The person's present time in the instructions."""
_SECONDS = {"second": 1, "segundo": 1, "minute": 60, "minuto": 60, "hour": 3600, "hora": 3600}


CALLBACK_GOODBYES: Mapping[Language, str] = {
    "en": "Very well, I will call you then. Goodbye.",
    "es": "De acuerdo, le llamo entonces. Adiós.",
}
"""What the agent says once another call is scheduled, or was refused."""


def act(functions: Mapping[str, Function], utterance: str, instructions: str) -> AgentToolCall | None:
    """Returns what the agent does because of an utterance; none: it speaks."""
    return _press_key(functions, utterance) or _schedule_callback(functions, utterance, instructions)


def end_for_callback() -> AgentToolCall:
    """Returns the call that ends the conversation because the callee is called again."""
    return AgentToolCall("end_call", {"disposition": "callback_requested"})


def _press_key(functions: Mapping[str, Function], utterance: str) -> AgentToolCall | None:
    """Returns the call that presses the first key of a menu; none if the utterance is no menu."""
    if SEND_DIGITS not in functions or not (found := _MENU.search(utterance)):
        return None
    word = found[1].lower()
    digit = str(_NUMBERS.get(word, word))
    return AgentToolCall(SEND_DIGITS, {"digits": digit}) if digit.isdigit() else None


def _schedule_callback(functions: Mapping[str, Function], utterance: str, instructions: str) -> AgentToolCall | None:
    """Returns the call that schedules another call; none if the callee does not ask for that.

    The time is that of the utterance: in so many seconds, minutes or hours, or else tomorrow, at ten by default.
    """
    if SCHEDULE_CALLBACK not in functions or not _AGAIN.search(utterance) or not (now := _NOW.search(instructions)):
        return None
    at = _instant(utterance, datetime.fromisoformat(now[1]))
    local_time = at.replace(tzinfo=None).isoformat(timespec="seconds")
    return AgentToolCall(SCHEDULE_CALLBACK, {"local_time": local_time, "reason": utterance.strip()})


def _instant(utterance: str, now: datetime) -> datetime:
    if span := _SPAN.search(utterance):
        return now + timedelta(seconds=int(span[1]) * _SECONDS[span[2].lower()])
    hours = [_HOURS[word.lower()] for word in _TIME.findall(utterance) if word.lower() in _HOURS]
    return (now + timedelta(days=1)).replace(hour=hours[0] if hours else 10, minute=0, second=0)
