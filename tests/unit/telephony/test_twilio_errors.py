"""The class of each Twilio error: whether the phone may have rung, and whether to dial again."""

import pytest

from telephony.dial_failures import FailureClass
from telephony.twilio_errors import classify_failure

FINAL_FOR_THE_NUMBER = (21201, 21202, 21211, 21214, 21217, 13223, 13224)
BLOCKED = (21216, 13225)
NOT_ALLOWED = (13227, 21203, 21215, 21219)
ACCOUNT = (10001, 10002, 10005, 20003, 20005, 20006, 20404, 21205, 21209, 21210, 21212, 21213, 21218)


@pytest.mark.parametrize("code", FINAL_FOR_THE_NUMBER)
def test_an_invalid_number_is_a_permanent_failure(code: int) -> None:
    failure = classify_failure(400, code)
    assert (failure, failure.is_permanent) == (FailureClass.NUMBER, True)


@pytest.mark.parametrize("code", BLOCKED)
def test_a_blocked_number_is_a_permanent_failure(code: int) -> None:
    failure = classify_failure(403, code)
    assert (failure, failure.is_permanent) == (FailureClass.BLOCKED, True)


@pytest.mark.parametrize(
    ("codes", "expected"), [(NOT_ALLOWED, FailureClass.NOT_ALLOWED), (ACCOUNT, FailureClass.ACCOUNT)]
)
def test_a_failure_that_a_person_can_correct_is_not_permanent(codes: tuple[int, ...], expected: FailureClass) -> None:
    assert {classify_failure(400, code) for code in codes} == {expected}
    assert not expected.is_permanent


@pytest.mark.parametrize("code", [10004, 22005])
def test_a_full_account_is_a_transient_failure(code: int) -> None:
    failure = classify_failure(400, code)
    assert (failure, failure.is_permanent) == (FailureClass.TRANSIENT, False)


@pytest.mark.parametrize(("status", "code"), [(429, 20429), (429, None), (400, 20429)])
def test_too_many_requests_is_the_failure_that_is_safe_to_repeat(status: int, code: int | None) -> None:
    assert classify_failure(status, code) is FailureClass.RATE_LIMITED


@pytest.mark.parametrize(
    ("status", "code"),
    [(500, 20500), (503, 20503), (500, None), (502, None), (504, 21211), (307, None), (408, None), (400, 20500)],
)
def test_an_answer_that_is_not_a_clear_refusal_leaves_the_outcome_unknown(status: int, code: int | None) -> None:
    assert classify_failure(status, code) is FailureClass.UNKNOWN


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, FailureClass.ACCOUNT), (403, FailureClass.ACCOUNT), (400, FailureClass.TRANSIENT)],
)
def test_a_refusal_without_a_code_is_classified_by_its_status(status: int, expected: FailureClass) -> None:
    assert classify_failure(status, None) is expected


def test_a_forbidden_request_with_an_unlisted_code_does_not_concern_the_account() -> None:
    assert classify_failure(403, 21999) is FailureClass.TRANSIENT


def test_a_refusal_with_an_unlisted_code_is_not_permanent() -> None:
    assert not classify_failure(400, 21999).is_permanent


def test_no_code_is_in_two_classes() -> None:
    listed = [*FINAL_FOR_THE_NUMBER, *BLOCKED, *NOT_ALLOWED, *ACCOUNT, 10004, 22005, 20429, 20500, 20503]
    assert len(listed) == len(set(listed))
