"""Which documents MongoDB cannot store, and that the reasons contain no value."""

from datetime import datetime
from typing import Any

import pytest

from campaign_stats import documents
from campaign_stats.documents import MAX_COUNT, refusals, written_state
from campaign_stats.projection import CallDocument, CampaignState, fold, project
from contracts import CampaignStatus
from contracts.examples import CALL, EXAMPLES

BEYOND_UTC = datetime.fromisoformat("9999-12-31T23:59:59-12:00")
DOCUMENT = fold(None, 1, EXAMPLES["call.created"])
assert DOCUMENT


def test_an_ordinary_document_is_not_refused() -> None:
    assert isinstance(DOCUMENT, CallDocument)
    assert refusals(DOCUMENT) == []
    assert refusals(DOCUMENT.model_copy(update={"duration_seconds": MAX_COUNT, "attempt": 11})) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ended_at": BEYOND_UTC}, "ended_at: MongoDB cannot store the value (OverflowError)"),
        ({"sequence": 2**64}, "sequence: MongoDB cannot store the value (OverflowError)"),
        ({"reason": "secret\ud800"}, "reason: MongoDB cannot store the value (UnicodeEncodeError)"),
        ({"duration_seconds": MAX_COUNT + 1}, f"duration_seconds: not between -{MAX_COUNT} and {MAX_COUNT}"),
        ({"attempt": -(2**40)}, f"attempt: not between -{MAX_COUNT} and {MAX_COUNT}"),
    ],
)
def test_the_reason_names_the_field_and_not_its_value(changes: dict[str, Any], reason: str) -> None:
    assert isinstance(DOCUMENT, CallDocument)
    assert refusals(DOCUMENT.model_copy(update=changes)) == [reason]


def test_a_document_near_the_limit_of_mongodb_is_refused() -> None:
    assert isinstance(DOCUMENT, CallDocument)
    large = DOCUMENT.model_copy(update={"contact_id": "x" * documents.MAX_DOCUMENT_BYTES})
    assert "MongoDB stores at most" in refusals(large)[0]


def test_the_state_of_a_campaign_is_checked_too() -> None:
    state = CampaignState(paused=True, since=BEYOND_UTC, reason="x")
    assert refusals(state) == ["since: MongoDB cannot store the value (OverflowError)"]


def test_a_campaign_that_was_never_created_has_the_document_of_older_builds() -> None:
    state = CampaignState(paused=True, since=CALL.created_at, reason="x")
    assert written_state(state) == {"paused": True, "since": CALL.created_at, "reason": "x"}
    created = state.model_copy(update={"name": None, "status": CampaignStatus.DRAFT})
    assert written_state(created) == {**written_state(state), "name": None, "status": "draft"}


def test_an_event_whose_document_is_invalid_is_left_out_and_the_fold_continues() -> None:
    created = EXAMPLES["call.created"]
    invalid = created.model_copy(update={"call": CALL.model_copy(update={"attempt": "many"})})
    result = project({}, [(1, invalid), (2, created)], refusals)
    assert list(result.refused) == [1]
    assert result.refused[1][0].startswith("attempt: ")
    assert [document.sequence for document in result.documents.values()] == [2]
