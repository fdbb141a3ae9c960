"""Transfers as TwiML, and the forms about the leg to a person."""

from uuid import UUID

import pytest

from contracts.transfers import TransferStatus
from telephony.instructions import ConnectPerson, Instruction, JoinCall, OfferTransfer
from telephony.provider import Form, InvalidProviderData, TransferReport
from telephony.routes import TRANSFER_WEBHOOKS, Webhook
from telephony.twilio import TwilioWebhooks

CALL = UUID("5f0c9d5e-7d0a-5c43-9a43-6f0f6d1f7c11")
PROVIDER = TwilioWebhooks("token", "https://calls.example.com", "https://media.example.com")
OVERRIDES = "#rc=2&amp;rp=ct,rt,5xx"


def url(webhook: str) -> str:
    return f"https://calls.example.com/twilio/{webhook}/{CALL}/2/4{OVERRIDES}"


def response(content: str) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{content}</Response>'


COLD = ConnectPerson(CALL, 2, 4, "+12125550145", 25, 600, "+12125550199")
OFFER = OfferTransfer(CALL, 2, 4, "en", "Ana <asks>. To accept it, press 1.")
SPOKEN = '<Say language="en-US">Ana &lt;asks&gt;. To accept it, press 1.</Say>'


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        (
            COLD,
            f'<Dial action="{url("transfer")}" callerId="+12125550199" method="POST" timeLimit="600" timeout="25">'
            f'<Number statusCallback="{url("transfer_answered")}" statusCallbackEvent="answered" '
            'statusCallbackMethod="POST">+12125550145</Number></Dial>',
        ),
        (
            ConnectPerson(CALL, 2, 4, "+12125550145", 25, 600, is_offered=True),
            f'<Dial action="{url("transfer")}" answerOnBridge="true" method="POST" timeLimit="600" timeout="25">'
            f'<Number method="POST" url="{url("transfer_offer")}">+12125550145</Number></Dial>',
        ),
        (
            OFFER,
            f'<Gather action="{url("transfer_choice")}" finishOnKey="" input="dtmf" method="POST" numDigits="1" '
            f'timeout="6">{SPOKEN}{SPOKEN}</Gather><Hangup />',
        ),
        (JoinCall(), ""),
    ],
)
def test_each_instruction_of_a_transfer_is_a_document(instruction: Instruction, expected: str) -> None:
    rendered = PROVIDER.render(instruction)
    assert rendered == (response(expected) if expected else '<?xml version="1.0" encoding="UTF-8"?><Response />')


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"DialCallStatus": "completed", "DialCallDuration": "31", "DialBridged": "true"}, (31, True)),
        ({"DialCallStatus": "completed", "DialCallDuration": "9999999999"}, (0, None)),
        ({"DialCallStatus": "answered", "DialCallDuration": "-1", "DialBridged": "false"}, (0, False)),
    ],
)
def test_the_end_of_a_leg_is_read(fields: dict[str, str], expected: tuple[int, bool | None]) -> None:
    report = PROVIDER.parse_transfer(Form(fields.items()))
    assert report == TransferReport(TransferStatus.COMPLETED, *expected)


@pytest.mark.parametrize("word", ["", "complete", "<b>"])
def test_an_unknown_end_of_a_leg_is_refused(word: str) -> None:
    with pytest.raises(InvalidProviderData, match="DialCallStatus"):
        PROVIDER.parse_transfer(Form([("DialCallStatus", word)]))


@pytest.mark.parametrize(
    ("number", "expected"),
    [("+12125550199", "+12125550199"), ("", None), ("anonymous", None), ('+1"/><Dial>', None), ("+1" + "2" * 40, None)],
)
def test_the_number_of_the_line_is_a_number_or_none(number: str, expected: str | None) -> None:
    assert PROVIDER.parse_own_number(Form([("From", number)])) == expected


def test_only_an_answer_counts_as_one() -> None:
    assert PROVIDER.is_answered(Form([("CallStatus", "in-progress")]))
    assert not PROVIDER.is_answered(Form([("CallStatus", "ringing")]))
    assert not PROVIDER.is_answered(Form([]))


def test_the_urls_of_a_transfer_name_its_call_its_attempt_and_its_turn() -> None:
    for webhook in TRANSFER_WEBHOOKS:
        assert webhook.template == f"/{webhook}/{{call_id:uuid}}/{{attempt:number}}/{{turn:number}}"
    assert str(Webhook.TRANSFER_ENDED) == "transfer"
