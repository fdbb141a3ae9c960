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


FORMER_DISCLOSURES: Mapping[str, str] = {
    "es": "Esta es una llamada automática con una voz artificial, de parte de {{company}}.",
    "en": "This is an automated call with an artificial voice, on behalf of {{company}}.",
}
"""Spoken before the greeting, or the message, of a call with a company that an older build created: it stored none."""


def greeting_of(call: Call) -> str:
    """Returns what the callee hears first: the disclosure, if the call has a company, and the script's greeting."""
    return _disclosed(call, call.disclosure, render_greeting(call.script_template, call.variables))


def message_of(call: Call) -> str | None:
    """Returns what a machine hears: the disclosure, if the call has a company, and the message; None: no message."""
    if call.voicemail is None:
        return None
    return _disclosed(call, call.message_disclosure, call.voicemail.render(call.variables))


def _disclosed(call: Call, disclosure: str | None, text: str) -> str:
    if call.company is None:
        return text
    former = FORMER_DISCLOSURES[call.language.split("-")[0]]
    return f"{disclosure or render_line(former, {'company': call.company})} {text}"
