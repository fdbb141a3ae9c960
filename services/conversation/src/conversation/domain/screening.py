"""Recognizes call-screening assistants by their words.

An assistant answers in place of the person, asks who calls and why, and connects the call if the person wants it. The
phrases are those of the assistants of telephones and networks, in every language, because an assistant speaks the
language of its owner. "Who is calling?" alone is no such phrase: a person asks the same, and the model answers it.
"""

import re

from contracts.plain_words import plain_words

MAX_SCREENED_TURNS = 3
"""An assistant speaks first; later words are those of a person."""
_PHRASES = (
    # English
    r"(record|say|state|give) your name and (the )?(reason|purpose)",
    r"(record|say|state|tell me) (your name|who you are) and why (you re|you are|you)",
    r"(name and|state the|record the|tell me the) (reason|purpose) (for|of) (your call|calling|the call)",
    r"using a (call )?screening service",
    r"call (screening|assist) (service|assistant|feature)",
    r"i ll see if (this|the) person is available",
    r"screen(s|ing)? (this|your|my|their) calls?",
    # Spanish
    r"(graba|grabe|di|diga|indica|indique) (tu|su) nombre y (el|la) (motivo|razon)",
    r"(di|diga|indica|indique|dime|digame) quien (eres|es|llama) y (por que|el motivo)",
    r"(motivo|razon) de (tu|su|la) llamada",
    r"(servicio|asistente) de (filtrado|filtro) de llamadas",
    r"vere si (esta|la) persona esta disponible",
)
_PATTERN = re.compile(r"\b(?:" + "|".join(_PHRASES) + r")\b")


def is_screening_prompt(transcript: str) -> bool:
    """Returns whether a screening assistant asks who calls and why."""
    return _PATTERN.search(plain_words(transcript)) is not None
