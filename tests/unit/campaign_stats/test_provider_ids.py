"""The telephone provider's ids of a call's attempts: each once, also from late, repeated and early events."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from campaign_stats.documents import read, written
from campaign_stats.projection import CallDocument, project
from contracts import CallStatus, CallStatusChanged, DialLookedUp, DialPlaced, Event, ProviderCallsQuery
from contracts.examples import CALL, CALL_ID, EXAMPLES

FIRST, SECOND = "CA" + "1" * 32, "CA" + "2" * 32


def placed(identity: str, attempt: int = 1) -> Event:
    return DialPlaced(call_id=CALL_ID, attempt=attempt, provider_call_id=identity)


def looked_up(identity: str | None, attempt: int = 1) -> Event:
    return DialLookedUp(call_id=CALL_ID, attempt=attempt, provider_call_id=identity)


def dialing(attempt: int) -> Event:
    call = CALL.model_copy(update={"status": CallStatus.DIALING, "attempt": attempt})
    before, now = CallStatus.PENDING, CallStatus.DIALING
    return CallStatusChanged(call=call, occurred_at=CALL.created_at, previous=before, status=now, attempt=attempt)


def document_of(events: Sequence[Event]) -> CallDocument:
    log = list(enumerate([EXAMPLES["call.created"], *events], start=1))
    return project({}, log).documents[str(CALL_ID)]


@pytest.mark.parametrize(
    ("events", "ids"),
    [
        ([], ()),
        ([dialing(1), placed(FIRST), dialing(2), placed(SECOND, 2), dialing(3)], (FIRST, SECOND)),
        ([dialing(1), placed(FIRST), placed(FIRST), looked_up(FIRST)], (FIRST,)),
        ([dialing(1), looked_up(None), looked_up(FIRST)], (FIRST,)),
        ([dialing(1), dialing(2), placed(SECOND, 2), placed(FIRST, 1)], (SECOND, FIRST)),
    ],
    ids=["none", "an id per attempt", "repeated", "the answer was lost", "late"],
)
def test_a_call_has_the_id_of_each_attempt_once(events: list[Event], ids: tuple[str, ...]) -> None:
    document = document_of(events)
    assert document.provider_call_ids == ids
    assert written(document).get("provider_call_ids", []) == list(ids)
    assert ("provider_call_ids" in written(document)) is bool(ids), "a call without one is that of older builds"
    assert read(written(document)) == document


def test_an_attempt_of_an_unknown_call_changes_nothing() -> None:
    assert project({}, [(7, placed(FIRST))]).documents == {}


def test_the_ids_change_no_counter() -> None:
    before = project({}, [(1, EXAMPLES["call.created"])])
    after = project(before.documents, [(2, placed(FIRST))])
    assert (after.increments, after.outcomes) == ({}, {})


EVENTS = [dialing(1), placed(FIRST), dialing(2), placed(SECOND, 2), looked_up(FIRST), looked_up(None)]


@settings(max_examples=60)
@given(st.lists(st.sampled_from(EVENTS), max_size=10), st.integers(0, 11), st.integers(0, 11))
def test_batches_of_any_size_and_repeated_ones_give_equal_documents(events: list[Event], cut: int, again: int) -> None:
    log = list(enumerate([EXAMPLES["call.created"], *events], start=1))
    documents: dict[str, CallDocument] = {}
    for batch in (log[:cut], log[min(again, cut) : cut], log[cut:]):
        documents |= project(documents, batch).documents
    assert documents == project({}, log).documents


@pytest.mark.parametrize("wrong", ["", "CA 1", "CA1.2", "$ne", "é", "CA1\x00", "CA1\n", "x" * 101])
def test_a_text_that_is_no_id_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError):
        ProviderCallsQuery(provider_call_id=wrong, limit=1)
