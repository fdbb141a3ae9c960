"""The order in which the sentences of a turn are spoken."""

from hypothesis import given
from hypothesis import strategies as st

from voice.domain.turns import SentenceOrder


@given(st.permutations(range(5)))
def test_sentences_are_spoken_in_order_however_their_requests_arrive(numbers: list[int]) -> None:
    order = SentenceOrder[int]()
    spoken = [ready for number in numbers for ready in order.add(number, number)]
    assert spoken == [0, 1, 2, 3, 4]


@given(st.lists(st.integers(0, 3)))
def test_a_sentence_that_is_requested_again_is_spoken_once(numbers: list[int]) -> None:
    order = SentenceOrder[int]()
    spoken = [ready for number in numbers for ready in order.add(number, number)]
    assert spoken == sorted(set(spoken))


def test_a_sentence_waits_for_the_one_before_it() -> None:
    order = SentenceOrder[str]()
    assert order.add(1, "second") == []
    assert order.add(0, "first") == ["first", "second"]


def test_the_first_request_of_a_sentence_counts() -> None:
    order = SentenceOrder[str]()
    order.add(1, "once")
    order.add(1, "again")
    assert order.add(0, "first") == ["first", "once"]


def test_a_turn_is_complete_when_its_last_sentence_has_been_returned() -> None:
    order = SentenceOrder[str]()
    order.close(2)
    order.add(0, "first")
    assert not order.is_complete
    order.add(1, "second")
    assert order.is_complete


def test_a_turn_without_sentences_is_complete_at_once() -> None:
    order = SentenceOrder[str]()
    order.close(0)
    assert order.is_complete


def test_nothing_is_spoken_beyond_the_count_of_a_turn() -> None:
    order = SentenceOrder[str]()
    order.close(1)
    assert order.add(1, "too many") == []
    assert order.add(0, "only") == ["only"]
