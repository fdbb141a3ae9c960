"""Fixed phrases that several services speak, by primary language."""

from collections.abc import Mapping

from contracts.call import Call
from contracts.script import render_greeting, render_line

OPTED_OUT: Mapping[str, str] = {
    "es": "De acuerdo, no le volveremos a llamar. Adiós.",
    "en": "All right, we will not call you again. Goodbye.",
}
"""Spoken before hanging up to a person who wants no more calls."""


def opted_out_phrase(language: str) -> str:
    """Returns the phrase of `OPTED_OUT` for a BCP 47 tag. Requests allow no other languages."""
    return OPTED_OUT[language.split("-")[0]]


DISCLOSURES: Mapping[str, str] = {
    "es": "Esta es una llamada automática con una voz artificial, de parte de {{company}}.",
    "en": "This is an automated call with an artificial voice, on behalf of {{company}}.",
}
"""Spoken before the greeting of a call that names its company: who calls, and that no person speaks."""


def disclosure(language: str, company: str) -> str:
    """Returns the sentence of `DISCLOSURES` for a BCP 47 tag."""
    return render_line(DISCLOSURES[language.split("-")[0]], {"company": company})


def greeting_of(call: Call) -> str:
    """Returns what the callee hears first: the disclosure, if the call names its company, and the script's greeting."""
    greeting = render_greeting(call.script_template, call.variables)
    return f"{disclosure(call.language, call.company)} {greeting}" if call.company else greeting
