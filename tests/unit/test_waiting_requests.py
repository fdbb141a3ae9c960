"""How many requests of a newer build wait in a process."""

from dataclasses import replace

from chassis.waiting_requests import WaitingRequests
from contracts.consumers import ORCHESTRATOR_REQUESTS


def test_a_tenth_of_max_ack_pending_waits_and_a_request_whose_delay_has_passed_does_not_count() -> None:
    now = [0.0]
    waiting = WaitingRequests(replace(ORCHESTRATOR_REQUESTS, max_ack_pending=20), lambda: now[0])
    assert [waiting.admit(sequence, 10.0) for sequence in (1, 2, 3)] == [True, True, False]
    assert waiting.admit(2, 20.0), "it waits again"
    now[0] = 10.0
    assert [waiting.admit(sequence, 10.0) for sequence in (3, 4)] == [True, False]
