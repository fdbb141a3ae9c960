"""Which messages for voicemails a request may have; a refusal names the field and the remedy."""

import json
from datetime import UTC, datetime

import pytest

from contracts import Call, CallRequested, InvalidMessage, RequestedVoicemail, decode
from contracts.examples import CALL, EXAMPLES
from contracts.voicemail import MAX_MESSAGE_CHARACTERS

REQUEST = EXAMPLES["call.requested"]
NOW = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("voicemail", "field", "remedy"),
    [
        ({}, "voicemail.message", "required"),
        ({"message": " "}, "voicemail.message", "at least 1 character"),
        ({"message": "x" * (MAX_MESSAGE_CHARACTERS + 1)}, "voicemail.message", "at most 1000 characters"),
        ({"message": "Hello", "beep": True}, "voicemail.beep", "not permitted"),
        ({"message": "Hello {{}}"}, "voicemail.message", "has a '{{' without a name and '}}' after it"),
    ],
)
def test_an_impossible_policy_is_refused_with_its_field(voicemail: dict[str, object], field: str, remedy: str) -> None:
    body = f'{REQUEST.model_dump_json(exclude={"voicemail"})[:-1]},"voicemail":{json.dumps(voicemail)}}}'
    with pytest.raises(InvalidMessage) as refused:
        decode(REQUEST.event_name, body.encode())
    (reason,) = refused.value.reasons
    assert reason.startswith(field)
    assert remedy in reason


@pytest.mark.parametrize(
    ("message", "variables", "reason"),
    [
        ("Hello {{name}}.", {}, "voicemail.message: asks for name: give it in variables"),
        ("{{name}}", {"name": " "}, "voicemail.message: has no text; write the words to speak, or leave voicemail out"),
        ("Hello \x07", {}, "voicemail.message: it has a control character; use line breaks and tabs only"),
        (
            "{{name}}" * 6,
            {"name": "x" * 200},
            "voicemail.message: 1200 characters with its variables; at most 1000: shorten it",
        ),
    ],
)
def test_a_message_that_cannot_be_spoken_is_refused(message: str, variables: dict[str, str], reason: str) -> None:
    assert isinstance(REQUEST, CallRequested)
    changes = {"voicemail": RequestedVoicemail(message=message), "script_template": "Hello.", "variables": variables}
    assert REQUEST.model_copy(update=changes).refusals(NOW) == [reason]


def test_a_message_may_use_the_variables_of_a_campaign_whose_script_is_spoken() -> None:
    assert isinstance(REQUEST, CallRequested)
    message = RequestedVoicemail(message="Hello {{branch}}.")
    changes: dict[str, object] = {"voicemail": message, "script_template": None, "variables": {}}
    assert REQUEST.model_copy(update=changes).refusals(NOW) == []


def test_a_message_is_spoken_as_one_line_with_its_values() -> None:
    policy = RequestedVoicemail(message="Hello {{name}},\n\nplease call us.").stored()
    assert policy.render({"name": "Ada"}) == "Hello Ada, please call us."


def test_a_call_without_a_message_costs_no_bytes_and_one_with_a_message_keeps_it() -> None:
    assert "voicemail" not in CALL.model_dump_json(exclude_defaults=True)
    call = CALL.model_copy(update={"voicemail": RequestedVoicemail(message="Hello {{name}}.").stored()})
    assert Call.model_validate_json(call.model_dump_json(exclude_defaults=True)) == call
