"""What a request may ask for as a retry policy; a refusal names the field and the remedy."""

import json

import pytest

from contracts import CallChangeRequested, CallRequested, InvalidMessage, decode
from contracts.call import Call
from contracts.examples import CALL, EXAMPLES
from contracts.retry_policy import RequestedRetryPolicy

REQUEST = EXAMPLES["call.requested"]
RULE = {"max_retries": 1, "delay_seconds": 120}


@pytest.mark.parametrize(
    ("policy", "field", "remedy"),
    [
        ({"buzy": RULE}, "retry_policy.buzy", "not permitted"),
        ({"busy": {**RULE, "max_retries": 11}}, "retry_policy.busy.max_retries", "less than or equal to 10"),
        ({"busy": {**RULE, "delay_seconds": -1}}, "retry_policy.busy.delay_seconds", "greater than or equal to 0"),
        ({"busy": {"max_retries": 1}}, "retry_policy.busy.delay_seconds", "required"),
        ({"busy": {**RULE, "backoff": 0.5}}, "retry_policy.busy.backoff", "greater than or equal to 1"),
        ({"busy": {**RULE, "early_seconds": 5}}, "retry_policy.busy.early_seconds", "not permitted"),
        (
            {"failed": {**RULE, "max_delay_seconds": 60}},
            "retry_policy.failed.max_delay_seconds",
            "is below delay_seconds (120); raise it, or leave it out",
        ),
        (
            {"hung_up_early": {**RULE, "delay_seconds": 59}},
            "retry_policy.hung_up_early.delay_seconds",
            "greater than or equal to 60",
        ),
        (
            {"hung_up_early": {**RULE, "early_seconds": 0}},
            "retry_policy.hung_up_early.early_seconds",
            "greater than or equal to 1",
        ),
    ],
)
def test_an_impossible_policy_is_refused_with_its_field(policy: dict[str, object], field: str, remedy: str) -> None:
    body = f'{REQUEST.model_dump_json(exclude={"retry_policy"})[:-1]},"retry_policy":{json.dumps(policy)}}}'
    with pytest.raises(InvalidMessage) as refused:
        decode(REQUEST.event_name, body.encode())
    (reason,) = refused.value.reasons
    assert reason.startswith(field)
    assert remedy in reason


def test_a_policy_is_stored_without_its_defaults() -> None:
    policy = RequestedRetryPolicy.model_validate({"busy": RULE, "hung_up_early": RULE})
    call = CALL.model_copy(update={"retry_policy": policy.stored()})
    assert call.model_dump(exclude_defaults=True)["retry_policy"] == {"busy": RULE, "hung_up_early": RULE}
    assert "retry" not in CALL.model_dump_json(exclude_defaults=True, exclude={"max_retries", "retry_delay_seconds"})
    assert Call.model_validate_json(call.model_dump_json(exclude_defaults=True)) == call


def test_a_request_and_a_change_survive_their_own_json() -> None:
    policy = RequestedRetryPolicy.model_validate({"no_answer": RULE, "hung_up_early": RULE})
    assert isinstance(REQUEST, CallRequested)
    for event in (
        REQUEST.model_copy(update={"retry_policy": policy}),
        CallChangeRequested(call_id=CALL.call_id, retry_policy=policy),
    ):
        assert type(event).model_validate_json(event.model_dump_json()) == event
        assert type(event).model_validate_json(event.body()) == event
