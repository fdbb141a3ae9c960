"""The statuses of a call, and the rule when the line of an attempt may be used."""

import pytest
from tests.builders.calls import a_call

from contracts import FINAL_STATUSES, LIVE_STATUSES, CallStatus, HangupReason


def test_a_status_is_either_pending_or_live_or_final() -> None:
    for status in CallStatus:
        assert [status is CallStatus.PENDING, status.is_live, status.is_final].count(True) == 1
    assert LIVE_STATUSES | FINAL_STATUSES | {CallStatus.PENDING} == set(CallStatus)


@pytest.mark.parametrize("status", CallStatus)
def test_only_the_line_of_a_live_attempt_may_be_used(status: CallStatus) -> None:
    assert a_call(status, attempt=2).may_use_line(2) is status.is_live
    assert not a_call(status, attempt=2).may_use_line(1)
    assert not a_call(status, attempt=2, hangup_reason=HangupReason.CANCELED).may_use_line(2)
