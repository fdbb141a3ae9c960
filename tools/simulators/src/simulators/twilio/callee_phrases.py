"""The phrases of callees in English and Spanish: answers to a reminder or a survey, one phrase per turn."""

from collections.abc import Mapping
from typing import Literal

Language = Literal["en", "es"]

OPENINGS: Mapping[Language, tuple[str, ...]] = {
    "en": ("Yes, speaking.", "Hello? Yes, that's me.", "Yes, who is calling?", "Hi, yes, go ahead."),
    "es": ("Sí, soy yo.", "¿Hola? Sí, dígame.", "Sí, ¿quién llama?", "Hola, sí, adelante."),
}
ANSWERS: Mapping[Language, tuple[str, ...]] = {
    "en": (
        "Yes, tomorrow at ten works for me.",
        "No, I can't make it that day.",
        "I would give it an eight.",
        "Could we move it to Friday afternoon?",
        "Yes, that is right.",
        "I am not sure, maybe next week.",
    ),
    "es": (
        "Sí, mañana a las diez me viene bien.",
        "No, ese día no puedo.",
        "Le pondría un ocho.",
        "¿Podríamos pasarlo al viernes por la tarde?",
        "Sí, es correcto.",
        "No estoy seguro, quizás la semana que viene.",
    ),
}
LONG_ANSWERS: Mapping[Language, tuple[str, ...]] = {
    "en": (
        "Well, let me think about it, because last time I came by bus and it took me almost two hours, "
        "and then the doctor was late, and my sister had to wait outside in the rain.",
        "You know, I was talking about exactly this with my neighbour yesterday, and she said that she "
        "always goes in the morning, because in the afternoon there is nowhere to park.",
        "Before I answer that, could you tell me again what it is about? I was in the kitchen and the radio "
        "was on, so I only heard half of what you said.",
        "I would say yes, but only if it is after lunch, and not on a Wednesday, because on Wednesdays I "
        "look after my grandchildren and they need to be picked up at four.",
    ),
    "es": (
        "Bueno, déjeme pensarlo, porque la última vez vine en autobús y tardé casi dos horas, luego el médico "
        "llegó tarde, y mi hermana tuvo que esperar fuera bajo la lluvia.",
        "Pues mire, ayer mismo hablaba de esto con mi vecina, y me decía que ella siempre va por la mañana, "
        "porque por la tarde no hay dónde aparcar.",
        "Antes de contestar, ¿me puede repetir de qué se trata? Estaba en la cocina con la radio puesta y "
        "solo he oído la mitad de lo que ha dicho.",
        "Yo diría que sí, pero solo si es después de comer, y no en miércoles, porque los miércoles cuido "
        "de mis nietos y hay que recogerlos a las cuatro.",
    ),
}
GOODBYES: Mapping[Language, tuple[str, ...]] = {
    "en": ("Thank you, goodbye.", "That is all, thanks. Bye.", "Okay, goodbye."),
    "es": ("Gracias, adiós.", "Eso es todo, gracias. Adiós.", "Vale, hasta luego."),
}
NUMBERS: Mapping[Language, str] = {
    "en": "It is six, one, two, [0.9] three, four.",
    "es": "Es el seis, uno, dos, [0.9] tres, cuatro.",
}
"""Phrases with a pause inside; `[0.9]` is 0.9 seconds."""
BACKCHANNELS: Mapping[Language, tuple[str, ...]] = {
    "en": ("Mm-hm.", "Uh-huh.", "Right."),
    "es": ("Ajá.", "Mm-hm.", "Sí, sí."),
}
OPT_OUTS: Mapping[Language, str] = {
    "en": "No, thank you. Please take me off your list.",
    "es": "No, gracias. Por favor, no me llamen más.",
}
MACHINE_GREETING: Mapping[Language, str] = {
    "en": "You have reached the mailbox of this number. Please leave a message after the tone.",
    "es": "Ha llamado al buzón de voz de este número. Deje su mensaje después de la señal.",
}
MENU: Mapping[Language, str] = {
    "en": "Welcome. For appointments, press two. For anything else, press zero.",
    "es": "Bienvenido. Para citas, marque dos. Para cualquier otra cosa, marque cero.",
}
MENU_KEYS = "20"
CONNECTED: Mapping[Language, str] = {
    "en": "Appointments, how can I help you?",
    "es": "Citas, dígame.",
}
"""What a person says whom the menu has connected."""
SCREENING_PROMPT: Mapping[Language, str] = {
    "en": "Hi, if you record your name and reason for calling, I'll see if this person is available.",
    "es": "Hola. Si graba su nombre y el motivo de la llamada, veré si esta persona está disponible.",
}


def language_of(tag: str) -> Language:
    """Returns the language of the phrases for a BCP 47 tag: Spanish for `es…`, otherwise English."""
    return "es" if tag.lower().startswith("es") else "en"
