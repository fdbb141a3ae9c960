"""The weekly hours of a campaign as its page shows them."""

import pytest

from centralita_console.campaign_hours import hours_by_days


def window(days: str, opens_at: str = "09:00", closes_at: str = "12:00") -> dict[str, object]:
    return {"days": days.split(), "opens_at": opens_at, "closes_at": closes_at}


@pytest.mark.parametrize(
    ("days", "shown"),
    [
        ("mon tue wed thu fri", "mon–fri"),
        ("fri thu wed tue mon", "mon–fri"),
        ("mon tue", "mon, tue"),
        ("mon wed fri sat sun", "mon, wed, fri–sun"),
        ("sun", "sun"),
        ("holiday mon", "mon, holiday"),
        ("", ""),
    ],
)
def test_days_in_a_row_are_shown_as_the_first_and_the_last(days: str, shown: str) -> None:
    assert hours_by_days([window(days)]) == [(shown, "09:00–12:00")]


def test_the_windows_of_the_same_days_are_shown_together() -> None:
    windows = [window("mon tue", "13:00", "18:00"), window("sat", "10:00", "14:00"), window("tue mon")]
    assert hours_by_days(windows) == [("mon, tue", "09:00–12:00, 13:00–18:00"), ("sat", "10:00–14:00")]


def test_no_window_is_shown_as_none() -> None:
    assert hours_by_days([]) == []
