"""Words of a voicemail's greeting, by which an utterance of a machine is told from one of a person.

The transcript of a greeting often arrives after the verdict of detection, so it must not be taken for a person.
"""

import re

from contracts.plain_words import plain_words

_PHRASES = (
    # English
    "leave a message",
    "leave me a message",
    "leave us a message",
    "leave your message",
    "leave your name",
    "record your message",
    "after the tone",
    "after the beep",
    "at the tone",
    "at the beep",
    "voicemail",
    "voice mail",
    "mailbox",
    "you have reached",
    "you ve reached",
    "not available",
    "unavailable",
    "cannot take your call",
    "can t take your call",
    "unable to take your call",
    "cannot come to the phone",
    "can t come to the phone",
    "unable to answer",
    "can t answer",
    "will call you back",
    "when you have finished recording",
    # Spanish
    "deje su mensaje",
    "deje un mensaje",
    "deje su nombre",
    "deja tu mensaje",
    "deja un mensaje",
    "dejar un mensaje",
    "dejar su mensaje",
    "grabe su mensaje",
    "despues de la senal",
    "despues del tono",
    "despues del bip",
    "tras la senal",
    "al oir la senal",
    "buzon de voz",
    "buzon de mensajes",
    "contestador",
    "no esta disponible",
    "no estoy disponible",
    "no se encuentra disponible",
    "no puedo atender",
    "no podemos atender",
    "no puedo contestar",
    "no puede contestar",
    "apagado o fuera de cobertura",
)
_PATTERN = re.compile(r"\b(?:" + "|".join(_PHRASES) + r")\b")


def is_of_voicemail(transcript: str) -> bool:
    """Returns whether a transcript has words of a voicemail's greeting. Case, accents and punctuation do not matter."""
    return _PATTERN.search(plain_words(transcript)) is not None
