"""Each instruction as TwiML, and Twilio's signature."""

import base64
import hmac
import re
from typing import ClassVar
from uuid import UUID
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from contracts.vocabulary import MESSAGE_TURN
from telephony.instructions import (
    AskAgain,
    HangUp,
    Instruction,
    Listen,
    OpenStream,
    PlayGreeting,
    PlayMessage,
    PlayTurn,
    RestartMessage,
    SpeakGoodbye,
    SpeakMessage,
    SpeakText,
)
from telephony.media import derive_media_key, sign, stream_path
from telephony.provider import Form
from telephony.twilio import TwilioWebhooks
from telephony.twilio_speech import MAX_SPOKEN_BYTES
from telephony.twilio_streams import StreamSignatures

CALL = UUID("5f0c9d5e-7d0a-5c43-9a43-6f0f6d1f7c11")
LIVE_URL = "wss://media.example.com"
PROVIDER = TwilioWebhooks("token", "https://calls.example.com", "https://media.example.com", LIVE_URL)
TARGET = f"/twilio/status/{CALL}/1"
FORM = Form({"CallSid": "CA1", "CallStatus": "ringing"}.items())


def gather(turn: int, content: str, *, query: str = "", language: str = "es-ES") -> str:
    action = f"https://calls.example.com/twilio/gather/{CALL}/2/{turn}{query}#rc=2&amp;rp=ct,rt,5xx"
    attributes = (
        f'action="{action}" actionOnEmptyResult="true" bargeIn="true" input="speech" language="{language}" '
        'method="POST" speechTimeout="auto" timeout="5"'
    )
    element = f"<Gather {attributes}>{content}</Gather>" if content else f"<Gather {attributes} />"
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{element}</Response>'


def play(turn: int, after: int = 0) -> str:
    path = f"/media/{CALL}/2/{turn}"
    query = f"?token={sign(derive_media_key('token'), path, after)}" + (f"&amp;after={after}" if after else "")
    return f"<Play>https://media.example.com{path}{query}</Play>"


def redirect(query: str = "") -> str:
    url = f"https://calls.example.com/twilio/message/{CALL}/2{query}#rc=2&amp;rp=ct,rt,5xx"
    return f'<Redirect method="POST">{url}</Redirect>'


def stream_ended(generation: int, query: str = "") -> str:
    return f"https://calls.example.com/twilio/live/{CALL}/2/{generation}{query}#rc=2&amp;rp=ct,rt,5xx"


def connect(generation: int) -> str:
    path = f"/media/stream/{CALL}/2/{generation}"
    parameter = f'<Parameter name="token" value="{sign(derive_media_key("token"), path)}" />'
    stream = f'<Stream url="{LIVE_URL}{path}">{parameter}</Stream>'
    return f'<Connect action="{stream_ended(generation)}" method="POST">{stream}</Connect>'


def relay(generation: int, attributes: str) -> str:
    path = f"/media/relay/{CALL}/2/{generation}"
    parameter = f'<Parameter name="token" value="{sign(derive_media_key("token"), path)}" />'
    noun = (
        '<ConversationRelay dtmfDetection="true" events="speaker-events tokens-played" ignoreBackchannel="true" '
        f'interruptible="any" language="es-ES" reportInputDuringAgentSpeech="any" {attributes % (LIVE_URL + path)}>'
    )
    content = f"{noun}{parameter}</ConversationRelay>"
    connected = f'<Connect action="{stream_ended(generation)}" method="POST">{content}</Connect>'
    return connected + f'<Redirect method="POST">{stream_ended(generation)}</Redirect>'


def response(*verbs: str) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{"".join(verbs)}</Response>'


def message_gather(content: str) -> str:
    action = f"https://calls.example.com/twilio/gather/{CALL}/2/4?said=true&amp;after=81#rc=2&amp;rp=ct,rt,5xx"
    attributes = (
        f'action="{action}" actionOnEmptyResult="false" bargeIn="true" input="speech" language="es-ES" '
        'method="POST" speechTimeout="auto" timeout="1"'
    )
    return f"<Gather {attributes}>{content}</Gather>"


PAUSE = '<Pause length="1" />'
SPOKEN = '<Say language="es-ES">A</Say>'


@pytest.mark.parametrize(
    ("instruction", "document"),
    [
        (PlayMessage(CALL, 2, "es", 3, 81), response(play(MESSAGE_TURN), redirect("?finished=true"))),
        (
            PlayMessage(CALL, 2, "es", 3, 81, is_interruptible=True),
            response(message_gather(play(MESSAGE_TURN)), redirect("?finished=true")),
        ),
        (SpeakMessage(CALL, 2, "es", 3, "A", 81), response(SPOKEN, redirect("?finished=true&amp;said=true"))),
        (
            SpeakMessage(CALL, 2, "es", 3, "A", 81, is_interruptible=True),
            response(message_gather(SPOKEN), redirect("?finished=true&amp;said=true")),
        ),
        (RestartMessage(CALL, 2), response(redirect())),
        (PlayGreeting(CALL, 2, "es"), gather(1, play(0))),
        (PlayTurn(CALL, 2, "en", 3), gather(4, play(3), language="en-US")),
        (PlayTurn(CALL, 2, "es-MX", 3), gather(4, play(3), language="es-MX")),
        (PlayTurn(CALL, 2, "es", 3, 81), gather(4, play(3, 81), query="?after=81")),
        (
            SpeakText(CALL, 2, "es", 3, "A", 81),
            gather(4, '<Say language="es-ES">A</Say>', query="?said=true&amp;after=81"),
        ),
        (Listen(CALL, 2, "es", 3, 81), gather(4, "", query="?said=true&amp;after=81")),
        (SpeakText(CALL, 2, "es", 3, "A & B"), gather(4, '<Say language="es-ES">A &amp; B</Say>', query="?said=true")),
        (Listen(CALL, 2, "es", 3), gather(4, "", query="?said=true")),
        (
            PlayGreeting(CALL, 2, "es", hears_keys=True),
            gather(1, play(0))
            .replace('input="speech"', 'finishOnKey="" input="dtmf speech"')
            .replace('method="POST" ', 'method="POST" numDigits="1" '),
        ),
        (OpenStream(CALL, 2, 4), response(connect(4), f'<Redirect method="POST">{stream_ended(4)}</Redirect>')),
        (
            OpenStream(CALL, 2, 4, "es", "A", 1),
            response(SPOKEN, PAUSE, connect(4), f'<Redirect method="POST">{stream_ended(4)}</Redirect>'),
        ),
        (
            AskAgain(CALL, 2, 4, 3),
            response(PAUSE, f'<Redirect method="POST">{stream_ended(4, "?again=3")}</Redirect>'),
        ),
        (OpenStream(CALL, 2, 4, "es", is_relay=True), response(relay(4, 'url="%s"'))),
        (
            OpenStream(CALL, 2, 4, "es", "A", 1, is_relay=True, voice="v-1"),
            response(SPOKEN, PAUSE, relay(4, 'ttsProvider="ElevenLabs" url="%s" voice="v-1"')),
        ),
        (SpeakGoodbye("es", "A"), response(SPOKEN, "<Hangup />")),
        (HangUp(), '<?xml version="1.0" encoding="UTF-8"?><Response><Hangup /></Response>'),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_an_instruction_becomes_twiml(instruction: Instruction, document: str) -> None:
    assert PROVIDER.render(instruction) == document


def spoken(text: str) -> str:
    """Returns what a document that speaks the text contains, after the document was parsed."""
    document = PROVIDER.render(SpeakText(CALL, 2, "es", 3, text))
    assert len(document.encode()) <= 64_000
    [[say]] = ET.fromstring(document.encode())  # noqa: S314  our own document
    return say.text or ""


def without_white_space(text: str) -> str:
    """Returns the text without white space, also in the form that an XML parser gives to it."""
    return "".join(text.split())


ANY_TEXT = st.text(st.characters(codec=None, categories=None), max_size=300)


@given(ANY_TEXT)
@example("a\x00b\x0bc\x1fd\x7fe\x85f")
@example("a\ud800b\udfffc\ufffed\uffffe\U0001fffe")
@example("<Say>&amp;</Say>]]>\r\n\u2028")
def test_any_text_becomes_a_document_that_parses_and_speaks_the_rest_of_it(text: str) -> None:
    allowed = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]", " ", text)
    assert without_white_space(spoken(text)) == without_white_space(allowed)


@pytest.mark.parametrize("word", ["& ", '<>"', "ñandú ", "\U0001f600", "word "])
def test_a_text_of_any_length_becomes_a_document_that_twilio_accepts(word: str) -> None:
    text = word * 50_000
    start = spoken(text)
    assert len(start.encode()) <= MAX_SPOKEN_BYTES
    assert len(start.encode()) >= MAX_SPOKEN_BYTES - len(word.encode()) - 1
    assert text.startswith(start)


def test_a_signature_of_the_public_url_and_the_form_is_authentic() -> None:
    signature = RequestValidator("token").compute_signature("https://calls.example.com" + TARGET, FORM)

    assert PROVIDER.is_authentic(TARGET, FORM, signature)
    assert not PROVIDER.is_authentic(TARGET + "?x=1", FORM, signature)
    assert not PROVIDER.is_authentic(TARGET, Form({**FORM, "CallStatus": "completed"}.items()), signature)


@pytest.mark.parametrize("signature", ["", "forged", "é" * 28])
def test_a_wrong_signature_is_not_authentic(signature: str) -> None:
    assert not PROVIDER.is_authentic(TARGET, FORM, signature)


def test_the_signature_covers_each_value_of_a_repeated_field_once_and_in_order() -> None:
    """https://www.twilio.com/docs/usage/security: names sorted, each followed by its values, sorted and unique."""
    fields = [("B", "2"), ("A", "z"), ("B", "1"), ("B", "2"), ("a", ""), ("A", "é")]
    signed = f"https://calls.example.com{TARGET}AzAéB1B2a"
    signature = base64.b64encode(hmac.digest(b"token", signed.encode(), "sha1")).decode()

    assert PROVIDER.is_authentic(TARGET, Form(fields), signature)
    assert not PROVIDER.is_authentic(TARGET, Form(fields[1:4]), signature)
    assert Form(fields)["B"] == "2"


class CountedName(str):
    """A field's name that counts how often it is compared."""

    __slots__ = ()
    comparisons: ClassVar[int] = 0

    def __eq__(self, other: object) -> bool:
        CountedName.comparisons += 1
        return str(self) == str(other)

    def __lt__(self, other: str) -> bool:
        CountedName.comparisons += 1
        return str(self) < str(other)

    __hash__ = str.__hash__


def comparisons_of(fields: Form) -> int:
    CountedName.comparisons = 0
    PROVIDER.is_authentic(TARGET, fields, "forged")
    return CountedName.comparisons


@pytest.mark.parametrize("are_equal", [True, False])
def test_the_cost_of_the_check_does_not_grow_with_the_square_of_the_fields(are_equal: bool) -> None:
    few, many = (
        comparisons_of(Form((CountedName("x" if are_equal else f"{number:06}"), str(number)) for number in range(size)))
        for size in (500, 5_000)
    )
    assert many <= 20 * few + 10  # ten times as many are sorted; the square would be a hundred times as many


@pytest.mark.parametrize("live_url", [LIVE_URL, "ws://127.0.0.1:8090"])
def test_the_handshake_of_a_stream_is_authentic_if_its_url_is_signed(live_url: str) -> None:
    path = stream_path(CALL, 2, 4)
    signatures, validator = StreamSignatures("token", live_url), RequestValidator("token")
    signature = validator.compute_signature(live_url + path, {})
    assert signatures.is_authentic(path, signature)
    assert not signatures.is_authentic(stream_path(CALL, 2, 5), signature)
    assert not signatures.is_authentic(path, "")
    assert not signatures.is_authentic(path, RequestValidator("other").compute_signature(live_url + path, {}))
    assert not signatures.is_authentic(path, "é")


def test_the_handshake_of_a_stream_may_be_signed_with_the_port_in_its_url() -> None:
    path = stream_path(CALL, 2, 4)
    signature = RequestValidator("token").compute_signature(f"{LIVE_URL}:443{path}", {})
    assert StreamSignatures("token", LIVE_URL).is_authentic(path, signature)
