"""How the simulated agent interprets text: the language of its instructions, and the meaning of an utterance."""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

from simulators.openai.requests import ChatMessage

Language = Literal["en", "es"]


class Meaning(StrEnum):
    """The meaning of an utterance. `meaning_of` checks the strongest meanings first."""

    TRANSFER_FAILED = "transfer_failed"
    SILENCE = "silence"
    PERSON = "person"
    WRONG_NUMBER = "wrong_number"
    REFUSAL = "refusal"
    GOODBYE = "goodbye"
    TIME = "time"
    NO = "no"
    YES = "yes"
    QUESTION = "question"
    OTHER = "other"


_TAG = re.compile(r"\b(en|es)-(?:[A-Z]{2}|\d{3})\b")
_NAMED = re.compile(
    r"\b(?:language|idioma|lengua)\b\W{0,3}(?:\w+\W+){0,2}?(es|en|spanish|english|español|inglés)\b"
    r"|\b(?:in|speak|use|reply in|en|habla|hable)\s+(spanish|english|español|inglés|castellano)\b",
    re.IGNORECASE,
)
_SPANISH_WORDS = re.compile(
    r"\b(?:el|la|los|las|del|una?|que|para|con|por|usted|eres|es|llamada|cliente|cita)\b", re.IGNORECASE
)
_ENGLISH_WORDS = re.compile(
    r"\b(?:the|an?|of|to|you|your|are|is|and|with|for|call|customer|appointment)\b", re.IGNORECASE
)

_SILENCE = re.compile(
    r"nothing was heard|(?:said|heard) nothing|not (?:say|hear) anything|(?:stayed|remained|was) silent"
    r"|no (?:speech|input|answer|response)\b.{0,30}$|no (?:se )?(?:oy[oó]|escuch[oó]|dijo) nada|silenci?[eo]",
    re.IGNORECASE,
)
_TRANSFER = re.compile(r"^\[transfer \S+: ")
"""How the application reports a transfer that connected no person."""
_BRACKETED = re.compile(r"^\s*[\[(<].*[\])>]\s*$", re.DOTALL)
_MEANINGS: Sequence[tuple[Meaning, str]] = (
    (Meaning.WRONG_NUMBER, r"wrong (?:number|person)|n[uú]mero equivocado|se equivoc|no vive aqu[ií]"),
    (
        Meaning.PERSON,
        r"\b(?:talk|speak) (?:to|with) (?:a|an|some|your) ?(?:person|human|one|agent|colleague)"
        r"|hablar con (?:una persona|alguien|un (?:agente|compañero))",
    ),
    (
        Meaning.REFUSAL,
        r"not interested|stop calling|(?:don'?t|do not|never) call|take me off|remove me|leave me alone"
        r"|no me interesa|no (?:me )?llame|no vuelva|b[oó]rre(?:me|nme)|no quiero (?:hablar|participar)|d[eé]jeme",
    ),
    (
        Meaning.GOODBYE,
        r"\b(?:good\s?bye|bye|have to go|got to go|talk later|that(?:'s| is) all)\b"
        r"|\b(?:adi[oó]s|hasta (?:luego|pronto|mañana)|chao|tengo que (?:irme|colgar)|eso es todo|nada m[aá]s)\b",
    ),
    (Meaning.QUESTION, r"\bwho (?:is|are)\b|qui[eé]n (?:es|llama|habla)"),
    (
        Meaning.OTHER,
        r"\b(?:speaking|that's me|go ahead|soy yo|d[ií]game|adelante)\b",
    ),  # picks up, does not agree
    (Meaning.YES, r"^\W*(?:yes|s[ií])\b"),
    (
        Meaning.TIME,
        r"\d|\b(?:morning|afternoon|evening|noon|tomorrow|tonight|later|o'clock|next week|(?:mon|tues|wednes|thurs|fri"
        r"|satur|sun)day)\b|\b(?:mañana|tarde|noche|mediod[ií]a|luego|semana|lunes|martes|mi[eé]rcoles|jueves|viernes"
        r"|s[aá]bado|domingo)\b",
    ),
    (Meaning.NO, r"\b(?:no|nope|can'?t|cannot|won'?t|tampoco|nunca)\b"),
    (
        Meaning.YES,
        r"\b(?:yes|yeah|yep|sure|okay|ok|of course|correct|right|great|fine|perfect)\b"
        r"|\b(?:s[ií]|claro|vale|bueno|de acuerdo|por supuesto|correcto|perfecto|confirmo|as[ií] es)\b",
    ),
    (Meaning.QUESTION, r"\?"),
)
_COMPILED = tuple((meaning, re.compile(pattern, re.IGNORECASE)) for meaning, pattern in _MEANINGS)


def language_of(instructions: str) -> Language:
    """Returns the language that the instructions name by tag or by name, otherwise the one they are written in."""
    if tagged := _TAG.search(instructions):
        return "es" if tagged.group(1) == "es" else "en"
    if named := _NAMED.search(instructions):
        name = (named.group(1) or named.group(2)).lower()
        return "es" if name in ("es", "spanish", "español", "castellano") else "en"
    spanish = len(_SPANISH_WORDS.findall(instructions))
    return "es" if spanish > len(_ENGLISH_WORDS.findall(instructions)) else "en"


def meaning_of(utterance: str) -> Meaning:
    """Returns the meaning of a user message. An empty message, or a note that nothing was heard, is silence."""
    if _TRANSFER.match(utterance):
        return Meaning.TRANSFER_FAILED
    if not utterance.strip() or _is_silence_note(utterance):
        return Meaning.SILENCE
    return next((meaning for meaning, pattern in _COMPILED if pattern.search(utterance)), Meaning.OTHER)


def _is_silence_note(text: str) -> bool:
    return _SILENCE.search(text) is not None and (_BRACKETED.match(text) is not None or len(text) < 60)


def instructions_of(messages: Sequence[ChatMessage]) -> str:
    """Returns the text of all system and developer messages."""
    return "\n".join(message.text for message in messages if message.role in ("system", "developer"))
