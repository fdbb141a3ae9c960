"""How far a campaign is, and the estimated end at the present pace."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from centralita_console.progress import MAX_AHEAD, Progress, counts_of, progress_of

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
COUNTERS = {
    "total_calls": 1000,
    "pending_calls": 300,
    "in_progress_calls": 1,
    "completed_calls": 500,
    "voicemail_calls": 50,
    "no_answer_calls": 60,
    "busy_calls": 40,
    "failed_calls": 30,
    "expired_calls": 10,
    "canceled_calls": 9,
}


def admission(**changes: Any) -> dict[str, Any]:
    return {"at": "2026-11-29T12:00:00Z", "is_open": True, "dials_in_minute": 20, **changes}


def progress(counters: dict[str, int] | None = None, has_contacts: bool = False, **changes: Any) -> Progress:
    return progress_of({**COUNTERS, **(counters or {})}, admission(**changes), has_contacts=has_contacts)


def test_the_end_is_when_the_waiting_calls_are_dialled_at_the_pace_of_the_last_minute() -> None:
    shown = progress()

    assert (shown.total, shown.ended, shown.waiting) == (1000, 699, 300)
    assert shown.ends_at == NOW + timedelta(minutes=15)
    assert not shown.is_over


@pytest.mark.parametrize(
    ("counters", "changes"),
    [
        ({}, {"dials_in_minute": 0}),
        ({}, {"is_open": False}),
        ({"pending_calls": 0}, {}),
        ({"pending_calls": 10**9}, {"dials_in_minute": 1}),
    ],
    ids=["no dial", "closed", "nothing waits", "too far ahead"],
)
def test_there_is_no_estimate_without_a_pace_or_a_waiting_call(
    counters: dict[str, int], changes: dict[str, Any]
) -> None:
    assert progress(counters, **changes).ends_at is None


def test_an_estimate_beyond_a_year_is_left_out_before_it_exceeds_the_calendar() -> None:
    assert progress({"pending_calls": 60 * 24 * 365}, dials_in_minute=1).ends_at == NOW + MAX_AHEAD


def test_without_the_figures_of_admission_the_progress_is_shown() -> None:
    shown = progress_of(COUNTERS, None, has_contacts=False)

    assert (shown.share, shown.ends_at, shown.dials_in_minute) == (69.9, None, None)


def test_waiting_contacts_keep_a_campaign_from_being_over() -> None:
    ended = {"pending_calls": 0, "in_progress_calls": 0}
    assert progress(ended).is_over
    assert not progress(ended, has_contacts=True).is_over
    assert not progress({**ended, "in_progress_calls": 1}).is_over


def test_a_hundred_percent_means_all_calls_and_no_call_is_zero() -> None:
    almost = {"total_calls": 100_000, "pending_calls": 1, "in_progress_calls": 0}
    assert progress(almost).share == 99.9
    assert progress(dict.fromkeys(COUNTERS, 0)).share == 0


def test_every_call_has_one_status() -> None:
    assert sum(counts_of(COUNTERS).values()) == COUNTERS["total_calls"]
