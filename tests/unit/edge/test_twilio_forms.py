from uuid import UUID

import pytest
from starlette.exceptions import HTTPException

from contracts import TelephonyStatus
from edge.entrypoints import twilio_forms

CALL = UUID("5f0c9d5e-7d0a-5c43-9a43-6f0f6d1f7c11")


def form(**fields: str) -> dict[str, str]:
    return {"CallSid": "CA1", **fields}


@pytest.mark.parametrize("word", twilio_forms.STATUSES)
def test_every_word_of_twilio_has_a_status_of_its_own(word: str) -> None:
    fact, _ = twilio_forms.status_reported(CALL, 1, form(CallStatus=word))

    assert fact.status == word.replace("-", "_")


def test_there_is_a_word_for_every_status() -> None:
    assert set(twilio_forms.STATUSES.values()) == set(TelephonyStatus)


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
def test_only_a_number_that_is_none_is_a_permanent_failure(word: str, code: str, permanent: bool) -> None:
    fact, _ = twilio_forms.status_reported(CALL, 1, form(CallStatus=word, SipResponseCode=code))

    assert fact.is_permanent is permanent
    assert fact.reason == (f"SIP {code}" if code else None)


def test_the_same_callback_has_the_same_id_and_no_other_has() -> None:
    forms = [form(CallStatus="ringing", SequenceNumber=number) for number in ("0", "1", "")]
    forms += [form(CallStatus="ringing", SequenceNumber="0", CallSid="CA2"), form(CallStatus="busy")]
    ids = [twilio_forms.status_reported(CALL, 1, one)[1] for one in forms]
    ids += [twilio_forms.answer_reported(CALL, 1, form())[1]]
    ids += [twilio_forms.answer_classified(CALL, 1, form(AnsweredBy="human"))[1]]
    ids += [twilio_forms.heard(CALL, 1, turn, False, form()).event_id for turn in (1, 2)]

    assert len(set(ids)) == len(ids)
    assert twilio_forms.status_reported(CALL, 1, form(CallStatus="busy", SequenceNumber="0"))[1] == ids[0]


@pytest.mark.parametrize("number", ["", "x", "-1", "²"])
def test_a_number_that_is_none_is_left_out(number: str) -> None:
    told = form(CallStatus="completed", SequenceNumber=number, CallDuration=number)

    fact, _ = twilio_forms.status_reported(CALL, 1, told)

    assert (fact.sequence_number, fact.duration_seconds) == (None, None)


@pytest.mark.parametrize(
    ("confidence", "taken"), [("0.5", 0.5), ("", None), ("high", None), ("1.5", None), ("nan", None)]
)
def test_a_confidence_that_is_none_is_left_out(confidence: str, taken: float | None) -> None:
    assert twilio_forms.heard(CALL, 1, 1, False, form(SpeechResult="sí", Confidence=confidence)).confidence == taken


@pytest.mark.parametrize("fields", [{"CallStatus": "dancing"}, {"CallStatus": "busy", "CallSid": ""}, {}])
def test_what_cannot_be_read_is_refused_without_repeating_numbers(fields: dict[str, str]) -> None:
    with pytest.raises(HTTPException) as refused:
        twilio_forms.status_reported(CALL, 1, form(To="+12125550123", **fields))

    assert refused.value.status_code == 422
    assert "+12125550123" not in str(refused.value.detail)
