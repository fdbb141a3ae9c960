"""A log is read by programs that are older and newer than those that wrote it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import EVENTS, InvalidMessage, decode
from contracts.examples import EXAMPLES
from contracts.streams import REQUESTS

ASKED = {fact for fact in EXAMPLES if any(subject.startswith(fact) for subject in REQUESTS.subjects)}
SAID = sorted(set(EXAMPLES) - ASKED)
NAMES = st.from_regex(r"added_[a-z]{1,8}", fullmatch=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@given(fact=st.sampled_from(SAID), name=NAMES, value=VALUES, within_call=st.booleans())
def test_an_event_with_a_field_that_nobody_knows_is_still_read(
    fact: str, name: str, value: object, within_call: bool
) -> None:
    event = EXAMPLES[fact]
    body = json.loads(event.model_dump_json())
    (body["call"] if within_call and "call" in body else body)[name] = value
    assert decode(event.subject, json.dumps(body).encode()) == event


@pytest.mark.parametrize("fact", sorted(ASKED))
def test_a_request_with_a_field_that_nobody_knows_is_refused(fact: str) -> None:
    event = EXAMPLES[fact]
    body = {**json.loads(event.model_dump_json(exclude_none=True)), "added_field": 1}
    with pytest.raises(InvalidMessage, match="added_field"):
        decode(event.subject, json.dumps(body).encode())


def test_every_event_has_its_example() -> None:
    assert set(EXAMPLES) == set(EVENTS)
