"""Verification without the requests and changes that were erased after their decision."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.centralita.test_verifying import CALL_ID, REQUEST, STARTED_AT, LogWriter, grant_of, replace_in_body

from centralita.replay.verifying import Verification, verify
from contracts import (
    CallCancelRequested,
    CallChanged,
    CallChangeRequested,
    CallCommandRefused,
    CallDecision,
    CallRequested,
    CallStatus,
)
from contracts.streams import REQUESTS

LATER = STARTED_AT + timedelta(hours=3)
RULES = {"busy": {"max_retries": 2, "delay_seconds": 90, "backoff": 2}}


async def decide(log: LogWriter, event: CallRequested | CallChangeRequested | CallCancelRequested) -> CallDecision:
    decision = await log.decide(event, stream=REQUESTS.name)
    assert decision
    return decision


def requested(**fields: Any) -> CallRequested:
    return CallRequested.model_validate({**REQUEST.model_dump(exclude_unset=True, exclude_none=True), **fields})


def change(**fields: Any) -> CallChangeRequested:
    return CallChangeRequested.model_validate({"call_id": CALL_ID, **fields})


async def verified(log: LogWriter) -> Verification:
    """Verifies the log without its requests and changes. With them, the result is the same."""
    kept = [one for one in log.messages if one.subject.startswith("call.cancel") or one.stream != REQUESTS.name]
    found = await verify(log.record(messages=kept))
    assert (await verify(log.record())).drifts == found.drifts
    return found


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"scheduled_at": LATER},
        {"scheduled_at": STARTED_AT - timedelta(days=1)},
        {"retry_policy": RULES, "retry_delay_seconds": 7, "max_retries": 0, "call_timeout_seconds": 11},
        {"voicemail": {"message": "Hello {{name}}."}, "purpose": "service", "time_zone": "America/New_York"},
        {"language": "en", "key_name": "crm", "metadata": {}},
    ],
)
async def test_an_erased_request_is_decided_again_on_its_decision(fields: dict[str, object]) -> None:
    log = LogWriter()
    await decide(log, requested(**fields))
    assert await verified(log) == Verification(1, 1, 0, 0, ())


@pytest.mark.parametrize(
    "fields",
    [
        {"scheduled_at": LATER},
        {"scheduled_at": STARTED_AT - timedelta(days=1)},
        {"metadata": {"branch": "3"}},
        {"phone_number": "+12125550177"},
        {"time_zone": "America/Chicago", "max_retries": 1},
        {"variables": {"name": "Bo"}, "script_template": "Hi {{name}}."},
        {"retry_policy": RULES, "scheduled_at": LATER},
        {"retry_policy": {}},
    ],
)
async def test_an_erased_change_is_decided_again_on_its_decision(fields: dict[str, object]) -> None:
    log = LogWriter()
    await decide(log, requested(retry_policy={"no_answer": {"max_retries": 1, "delay_seconds": 60}}))
    assert isinstance(await decide(log, change(**fields)), CallChanged)
    assert await verified(log) == Verification(1, 2, 0, 0, ())


async def test_a_refused_change_is_decided_again_unless_its_values_decided() -> None:
    log = LogWriter()
    await decide(log, requested(variables={"name": "Ada"}, script_template="Hello {{name}}."))
    by_value = await decide(log, change(script_template="Hello {{nobody}}.", scheduled_at=LATER))
    assert isinstance(by_value, CallCommandRefused)
    assert (by_value.changed, by_value.scheduled_at) == (("script_template", "scheduled_at"), LATER)
    assert await log.decide(grant_of(by_value.call.campaign_id, attempt=1))
    by_state = await decide(log, change(scheduled_at=LATER))
    assert isinstance(by_state, CallCommandRefused)
    assert by_state.call.status is CallStatus.DIALING
    assert isinstance(await decide(log, change(metadata={})), CallChanged)
    assert await verified(log) == Verification(1, 4, 0, 1, ())


async def test_a_decision_on_an_erased_request_that_differs_now_is_a_drift() -> None:
    log = LogWriter()
    await decide(log, requested(scheduled_at=LATER))
    log.messages[-1] = replace_in_body(log.messages[-1], b'"attempt":0', b'"attempt":1')
    (drift,) = (await verified(log)).drifts
    assert drift.differences == (("call.attempt", 1, 0),)
    assert drift.reason == "call.requested led to call.created; now the decision is different"


async def test_an_older_build_recorded_no_scheduled_time_and_no_fields_of_a_refused_change() -> None:
    log = LogWriter()
    await decide(log, requested(scheduled_at=LATER))
    await decide(log, change(scheduled_at=LATER + timedelta(hours=1)))
    await decide(log, CallCancelRequested(call_id=CALL_ID))
    await decide(log, change(metadata={"branch": "3"}))
    written = f'"scheduled_at":"{LATER:%Y-%m-%dT%H:%M:%SZ}"'.encode()
    later = f'"scheduled_at":"{LATER + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"'.encode()
    changed = (b"," + written, b"," + later, b',"changed":["metadata"]')
    for text in changed:
        index = next(number for number, one in enumerate(log.messages) if text in one.body and one.stream != "REQUESTS")
        log.messages[index] = replace(log.messages[index], body=log.messages[index].body.replace(text, b""))
    assert await verify(log.record()) == Verification(1, 4, 0, 0, ())
