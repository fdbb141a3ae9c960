"""Twilio's forms become events and utterances."""

from uuid import UUID

import pytest

from contracts import TelephonyStatus, TelephonyStatusReported
from telephony import twilio
from telephony.provider import Form, InvalidProviderData
from telephony.twilio import TwilioWebhooks

CALL = UUID("5f0c9d5e-7d0a-5c43-9a43-6f0f6d1f7c11")
PROVIDER = TwilioWebhooks("token", "https://calls.example.com", "https://media.example.com")


def form(**fields: str) -> Form:
    return Form({"CallSid": "CA1", **fields}.items())


def status_event(**fields: str) -> TelephonyStatusReported:
    event = PROVIDER.parse_status(CALL, 1, form(**fields)).event
    assert isinstance(event, TelephonyStatusReported)
    return event


@pytest.mark.parametrize("word", twilio.STATUSES)
def test_every_twilio_status_has_a_status_of_its_own(word: str) -> None:
    assert status_event(CallStatus=word).status == word.replace("-", "_")


def test_every_status_has_a_twilio_status() -> None:
    assert set(twilio.STATUSES.values()) == set(TelephonyStatus)


@pytest.mark.parametrize(
    ("word", "code", "permanent"),
    [
        ("failed", "404", True),
        ("failed", "410", True),
        ("failed", "484", True),
        ("failed", "604", True),
        ("failed", "", True),
        ("failed", "503", False),
        ("failed", "486", False),
        ("busy", "486", False),
        ("busy", "404", False),
        ("no-answer", "", False),
        ("completed", "", False),
    ],
)
def test_only_a_number_that_does_not_exist_is_a_permanent_failure(word: str, code: str, permanent: bool) -> None:
    event = status_event(CallStatus=word, SipResponseCode=code)

    assert event.is_permanent is permanent
    assert event.reason == (f"SIP {code}" if code else None)


def test_a_repeated_webhook_has_the_same_event_id_and_every_other_one_a_different_id() -> None:
    forms = [form(CallStatus="ringing", SequenceNumber=number) for number in ("0", "1", "")]
    forms += [form(CallStatus="ringing", SequenceNumber="0", CallSid="CA2"), form(CallStatus="busy")]
    ids = [PROVIDER.parse_status(CALL, 1, one).event_id for one in forms]
    ids += [PROVIDER.parse_answer(CALL, 1, form()).event_id]
    ids += [PROVIDER.parse_classification(CALL, 1, form(AnsweredBy="human")).event_id]
    ids += [PROVIDER.parse_utterance(turn, form()).event_id for turn in (1, 2)]

    assert len(set(ids)) == len(ids)
    assert PROVIDER.parse_status(CALL, 1, form(CallStatus="busy", SequenceNumber="0")).event_id == ids[0]


def test_event_ids_are_those_of_earlier_versions() -> None:
    ids = [
        PROVIDER.parse_status(CALL, 1, form(CallStatus="ringing", SequenceNumber="1")).event_id,
        PROVIDER.parse_status(CALL, 1, form(CallStatus="busy")).event_id,
        PROVIDER.parse_answer(CALL, 1, form()).event_id,
        PROVIDER.parse_classification(CALL, 1, form(AnsweredBy="human")).event_id,
        PROVIDER.parse_utterance(3, form()).event_id,
    ]

    assert ids == ["twilio/CA1/1", "twilio/CA1/busy", "twilio/CA1/answer", "twilio/CA1/amd", "twilio/CA1/heard/3"]


@pytest.mark.parametrize("number", ["", "x", "-1", "²", "1" * 5_000])
def test_an_invalid_number_is_left_out(number: str) -> None:
    event = status_event(CallStatus="completed", SequenceNumber=number, CallDuration=number)

    assert (event.sequence_number, event.duration_seconds) == (None, None)


@pytest.mark.parametrize(
    ("confidence", "parsed"), [("0.5", 0.5), ("", None), ("high", None), ("1.5", None), ("nan", None)]
)
def test_an_invalid_confidence_is_left_out(confidence: str, parsed: float | None) -> None:
    utterance = PROVIDER.parse_utterance(1, form(SpeechResult="sí", Confidence=confidence))

    assert utterance.confidence == parsed


@pytest.mark.parametrize(("digits", "key"), [("9", "9"), ("#", "#"), ("*", "*"), ("", None), ("99", None), ("w", None)])
def test_a_key_is_one_of_the_telephone(digits: str, key: str | None) -> None:
    utterance = PROVIDER.parse_utterance(1, form(Digits=digits))

    assert (utterance.text, utterance.key) == ("", key)


def test_an_utterance_has_a_maximum_length() -> None:
    utterance = PROVIDER.parse_utterance(1, form(SpeechResult="sí " * 20_000))

    assert utterance.text == ("sí " * 20_000)[:2_000]


@pytest.mark.parametrize(
    "fields",
    [
        {"CallStatus": "dancing"},
        {"CallStatus": "busy", "CallSid": ""},
        {"CallStatus": "busy", "CallSid": "CA1\r\nNats-Rollup: all"},
        {"CallStatus": "busy", "CallSid": "C" * 65},
        {},
    ],
)
def test_an_invalid_form_is_refused_without_repeating_phone_numbers(fields: dict[str, str]) -> None:
    with pytest.raises(InvalidProviderData) as refused:
        PROVIDER.parse_status(CALL, 1, form(To="+12125550123", **fields))

    assert "+12125550123" not in str(refused.value)
