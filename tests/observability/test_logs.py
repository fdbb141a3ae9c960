"""Log lines are JSON, contain the ids of call and trace, and contain neither numbers nor spoken text."""

import json
from typing import Any

from tests.observability.conftest import Observed

from contracts import TelephonyStatus

SERVICES = ("call-orchestrator", "voice", "conversation", "campaign-stats", "edge")


def _lines(observed: Observed) -> list[dict[str, Any]]:
    return [json.loads(line) for service in SERVICES for line in observed.logs[service].splitlines()]


def test_no_number_and_no_spoken_sentence_is_in_any_log(observed: Observed) -> None:
    assert set(SERVICES) < observed.logs.keys()
    for name, text in observed.logs.items():
        for request in observed.requests:
            assert request.phone_number not in text, name
            assert request.phone_number.removeprefix("+") not in text, name
        for sentence in observed.spoken:
            assert sentence not in text, name


def test_each_status_of_an_attempt_is_reported_once(observed: Observed) -> None:
    assert {call_id for call_id, _ in observed.reports} == set(observed.call_ids)
    ended = {TelephonyStatus.COMPLETED, TelephonyStatus.BUSY}
    for statuses in observed.reports.values():
        answered = TelephonyStatus.IN_PROGRESS in statuses
        assert sorted(set(statuses) - ended) == sorted(
            {TelephonyStatus.RINGING} | ({TelephonyStatus.IN_PROGRESS} if answered else set())
        )
        assert len(statuses) == len(set(statuses)) == (3 if answered else 2)


def test_every_line_is_json_and_names_its_service(observed: Observed) -> None:
    assert {line["service"] for line in _lines(observed)} == set(SERVICES)


def test_every_line_about_a_call_has_its_call_id_and_its_trace_id(observed: Observed) -> None:
    ids = {str(call_id) for call_id in observed.call_ids}
    decided = [
        line for line in _lines(observed) if line["event"] in {"call_decided", "attempt_dialled", "message_failed"}
    ]
    assert {line["call_id"] for line in decided} == ids
    traces = {str(call_id): observed.traces.trace_of(call_id)[0].trace_id for call_id in observed.call_ids}
    for line in decided:
        assert line["trace_id"] == traces[line["call_id"]]
