"""Matching subjects in the client as the server does."""

import pytest

from chassis.subject_filters import is_literal, matcher, merged


@pytest.mark.parametrize(
    ("filter", "subject", "is_match"),
    [
        ("call.*.*.completed", "call.status_changed.1.completed", True),
        ("call.*.*.completed", "call.status_changed.1.failed", False),
        ("call.*.*", "call.status_changed.1.failed", False),
        ("dial.cleared", "dial.cleared", True),
        ("dial.cleared", "dial.cleared.1", False),
        ("dial.cleared", "dialxcleared", False),
        ("dial.>", "dial.cleared.1", True),
        ("dial.>", "dial", False),
        (">", "dial.cleared", True),
        ("a+.b", "aa.b", False),
    ],
)
def test_a_filter_matches_what_the_server_delivers(filter: str, subject: str, is_match: bool) -> None:
    assert matcher([filter])(subject) is is_match
    assert matcher(["other", filter])(subject) is is_match


def test_without_filters_every_subject_matches() -> None:
    assert matcher(())("anything")


def test_a_filter_without_wildcards_is_literal() -> None:
    assert is_literal("dial.cleared")
    assert not is_literal("dial.*")
    assert not is_literal("dial.>")


def test_merged_filters_match_at_least_the_same_subjects() -> None:
    calls, dials = ["call.*.*.completed", "call.*.*.failed"], ["dial.cleared", "dial.placed.*", "dial.refused.1"]
    assert merged([*calls, *dials]) == ["call.*.*.*", "dial.cleared", "dial.*.*"]
    assert merged(["dial.placed.*"]) == ["dial.placed.*"]
