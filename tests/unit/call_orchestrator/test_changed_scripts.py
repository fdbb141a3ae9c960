"""A change of the script: the call keeps a greeting."""

from datetime import timedelta

import pytest
from tests.builders.calls import a_call

from call_orchestrator.application.call_terms import Policy, UnacceptableTerms, changed_call
from contracts import CallChangeRequested, CallStatus

POLICY = Policy(
    call_timeout=timedelta(seconds=30),
    max_retries=1,
    retry_delay=timedelta(minutes=1),
    max_talk=timedelta(minutes=10),
    dial_within=timedelta(minutes=60),
    allowed_countries=frozenset({"US"}),
)
CALL = a_call(CallStatus.PENDING).model_copy(
    update={"script_template": "{{opening}}\n\nTell only the debtor.", "variables": {"opening": " "}}
)


def test_a_change_that_leaves_the_greeting_empty_is_refused() -> None:
    change = CallChangeRequested(call_id=CALL.call_id, variables={"opening": "\t"})

    with pytest.raises(UnacceptableTerms, match="no text in its first paragraph"):
        changed_call(CALL, change, POLICY)


def test_other_terms_of_a_stored_call_without_a_greeting_can_change() -> None:
    change = CallChangeRequested(call_id=CALL.call_id, max_retries=2)

    assert changed_call(CALL, change, POLICY).max_retries == 2
