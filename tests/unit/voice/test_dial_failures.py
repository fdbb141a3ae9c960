"""What each of Twilio's answers means for the phone at the other end."""

import pytest

from voice.domain.dial_failures import FailureClass, classify

FINAL_FOR_THE_NUMBER = (21201, 21202, 21211, 21214, 21217, 13223, 13224)
BLOCKED = (21216, 13225)
NOT_ALLOWED = (13227, 21203, 21215, 21219)
ACCOUNT = (10001, 10002, 10005, 20003, 20005, 20006, 20404, 21205, 21209, 21210, 21212, 21213, 21218)


@pytest.mark.parametrize("code", FINAL_FOR_THE_NUMBER)
def test_a_number_that_cannot_be_dialled_is_refused_for_good(code: int) -> None:
    failure = classify(400, code)
    assert (failure, failure.permanent) == (FailureClass.NUMBER, True)


@pytest.mark.parametrize("code", BLOCKED)
def test_a_blocked_number_is_refused_for_good(code: int) -> None:
    failure = classify(403, code)
    assert (failure, failure.permanent) == (FailureClass.BLOCKED, True)


@pytest.mark.parametrize(
    ("codes", "expected"), [(NOT_ALLOWED, FailureClass.NOT_ALLOWED), (ACCOUNT, FailureClass.ACCOUNT)]
)
def test_what_a_person_can_mend_is_refused_until_then(codes: tuple[int, ...], expected: FailureClass) -> None:
    assert {classify(400, code) for code in codes} == {expected}
    assert not expected.permanent


@pytest.mark.parametrize("code", [10004, 22005])
def test_a_full_account_is_refused_for_now(code: int) -> None:
    failure = classify(400, code)
    assert (failure, failure.permanent) == (FailureClass.TRANSIENT, False)


@pytest.mark.parametrize(("status", "code"), [(429, 20429), (429, None), (400, 20429)])
def test_too_many_requests_is_the_failure_that_may_be_repeated(status: int, code: int | None) -> None:
    assert classify(status, code) is FailureClass.RATE_LIMITED


@pytest.mark.parametrize(
    ("status", "code"),
    [(500, 20500), (503, 20503), (500, None), (502, None), (504, 21211), (307, None), (408, None), (400, 20500)],
)
def test_an_answer_that_is_no_clear_refusal_leaves_the_outcome_unknown(status: int, code: int | None) -> None:
    assert classify(status, code) is FailureClass.UNKNOWN


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, FailureClass.ACCOUNT), (403, FailureClass.ACCOUNT), (400, FailureClass.TRANSIENT)],
)
def test_a_refusal_without_a_code_is_read_by_its_status(status: int, expected: FailureClass) -> None:
    assert classify(status, None) is expected


def test_what_is_forbidden_for_a_reason_that_nobody_has_listed_is_not_forbidden_to_everybody() -> None:
    assert classify(403, 21999) is FailureClass.TRANSIENT


def test_a_refusal_that_nobody_has_listed_is_not_final() -> None:
    assert not classify(400, 21999).permanent


def test_no_code_is_in_two_classes() -> None:
    listed = [*FINAL_FOR_THE_NUMBER, *BLOCKED, *NOT_ALLOWED, *ACCOUNT, 10004, 22005, 20429, 20500, 20503]
    assert len(listed) == len(set(listed))
