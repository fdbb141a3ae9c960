"""Each instruction as TwiML, and Twilio's signature."""

from uuid import UUID

import pytest
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from telephony.instructions import HangUp, Instruction, Listen, PlayGreeting, PlayTurn, SpeakText
from telephony.media import derive_media_key, sign
from telephony.twilio import TwilioWebhooks

CALL = UUID("5f0c9d5e-7d0a-5c43-9a43-6f0f6d1f7c11")
PROVIDER = TwilioWebhooks("token", "https://calls.example.com", "https://media.example.com")
TARGET = f"/twilio/status/{CALL}/1"
FORM = {"CallSid": "CA1", "CallStatus": "ringing"}


def gather(turn: int, content: str, *, query: str = "", language: str = "es-ES") -> str:
    action = f"https://calls.example.com/twilio/gather/{CALL}/2/{turn}{query}#rc=2&amp;rp=ct,rt,5xx"
    attributes = (
        f'action="{action}" actionOnEmptyResult="true" bargeIn="true" input="speech" language="{language}" '
        'method="POST" speechTimeout="auto" timeout="5"'
    )
    element = f"<Gather {attributes}>{content}</Gather>" if content else f"<Gather {attributes} />"
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{element}</Response>'


def play(turn: int) -> str:
    path = f"/media/{CALL}/2/{turn}"
    return f"<Play>https://media.example.com{path}?token={sign(derive_media_key('token'), path)}</Play>"


@pytest.mark.parametrize(
    ("instruction", "document"),
    [
        (PlayGreeting(CALL, 2, "es"), gather(1, play(0))),
        (PlayTurn(CALL, 2, "en", 3), gather(4, play(3), language="en-US")),
        (PlayTurn(CALL, 2, "es-MX", 3), gather(4, play(3), language="es-MX")),
        (SpeakText(CALL, 2, "es", 3, "A & B"), gather(4, '<Say language="es-ES">A &amp; B</Say>', query="?said=true")),
        (Listen(CALL, 2, "es", 3), gather(4, "", query="?said=true")),
        (HangUp(), '<?xml version="1.0" encoding="UTF-8"?><Response><Hangup /></Response>'),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_an_instruction_becomes_twiml(instruction: Instruction, document: str) -> None:
    assert PROVIDER.render(instruction) == document


def test_a_signature_of_the_public_url_and_the_form_is_authentic() -> None:
    signature = RequestValidator("token").compute_signature("https://calls.example.com" + TARGET, FORM)

    assert PROVIDER.is_authentic(TARGET, FORM, signature)
    assert not PROVIDER.is_authentic(TARGET + "?x=1", FORM, signature)
    assert not PROVIDER.is_authentic(TARGET, {**FORM, "CallStatus": "completed"}, signature)


@pytest.mark.parametrize("signature", [None, "", "forged"])
def test_a_missing_or_wrong_signature_is_not_authentic(signature: str | None) -> None:
    assert not PROVIDER.is_authentic(TARGET, FORM, signature)
