"""Programs read events and requests that older or newer programs wrote."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import EVENTS, InvalidMessage, decode
from contracts.examples import EXAMPLES
from contracts.streams import REQUESTS

REQUESTED = {name for name in EXAMPLES if any(subject.startswith(name) for subject in REQUESTS.subjects)}
EVENT_NAMES = sorted(set(EXAMPLES) - REQUESTED)
FIELD_NAMES = st.from_regex(r"added_[a-z]{1,8}", fullmatch=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@given(event_name=st.sampled_from(EVENT_NAMES), name=FIELD_NAMES, value=VALUES, is_in_call=st.booleans())
def test_an_event_with_an_unknown_field_is_decoded(event_name: str, name: str, value: object, is_in_call: bool) -> None:
    event = EXAMPLES[event_name]
    body = json.loads(event.model_dump_json())
    (body["call"] if is_in_call and "call" in body else body)[name] = value
    decoded = decode(event.subject, json.dumps(body).encode())
    known = decoded.model_dump(mode="json")
    if is_in_call and "call" in body:
        assert known["call"].pop(name) == value, "a decision of this build must not drop what a newer build added"
    assert known == event.model_dump(mode="json")


@pytest.mark.parametrize("event_name", sorted(REQUESTED))
def test_a_request_with_an_unknown_field_is_refused(event_name: str) -> None:
    event = EXAMPLES[event_name]
    body = {**json.loads(event.model_dump_json(exclude_none=True)), "added_field": 1}
    with pytest.raises(InvalidMessage, match="added_field"):
        decode(event.subject, json.dumps(body).encode())


def test_every_event_type_has_an_example() -> None:
    assert set(EXAMPLES) == set(EVENTS)
