"""Masking of phone numbers in audit entries."""

import pytest
from tests.builders.calls import a_call

from contracts.voicemail import VoicemailPolicy
from edge.application.masking import mask_call, mask_numbers


@pytest.mark.parametrize(
    "text", ["+12125550123", "call +12125550123 back", "(212) 555-0123", "212.555.0123", "+1 212 555 0123"]
)
def test_the_middle_of_a_phone_number_is_masked(text: str) -> None:
    masked = mask_numbers(text)

    assert "55" not in masked
    assert masked.rstrip(" back").endswith("23")


@pytest.mark.parametrize(
    "text",
    [
        "3 of 3 retries are used up",
        "canceled after 60 s",
        "",
        "2026-01",
        "no call 55b28510-1234-4567-9750-910123456789",
    ],
)
def test_other_text_is_unchanged(text: str) -> None:
    assert mask_numbers(text) == text


def test_an_entry_does_not_show_which_script_or_message_a_call_has() -> None:
    one, other = (
        a_call(
            script_template=f"Hello Ana, about your {test} test.", voicemail=VoicemailPolicy(message=f"Your {test}.")
        )
        for test in ("HIV", "eye")
    )
    assert mask_call(one) == mask_call(other)
