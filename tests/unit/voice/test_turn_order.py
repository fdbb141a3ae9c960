"""In which order the sentences of a turn are spoken."""

from hypothesis import given
from hypothesis import strategies as st

from voice.domain.turns import TurnOrder


@given(st.permutations(range(5)))
def test_sentences_are_spoken_in_their_order_whatever_order_they_come_in(numbers: list[int]) -> None:
    order = TurnOrder[int]()
    spoken = [ready for number in numbers for ready in order.ask(number, number)]
    assert spoken == [0, 1, 2, 3, 4]


@given(st.lists(st.integers(0, 3)))
def test_a_sentence_that_is_asked_for_again_is_spoken_once(numbers: list[int]) -> None:
    order = TurnOrder[int]()
    spoken = [ready for number in numbers for ready in order.ask(number, number)]
    assert spoken == sorted(set(spoken))


def test_a_sentence_waits_for_the_one_before_it() -> None:
    order = TurnOrder[str]()
    assert order.ask(1, "second") == []
    assert order.ask(0, "first") == ["first", "second"]


def test_the_first_words_of_a_sentence_stand() -> None:
    order = TurnOrder[str]()
    order.ask(1, "once")
    order.ask(1, "again")
    assert order.ask(0, "first") == ["first", "once"]


def test_a_turn_is_complete_when_its_last_sentence_has_been_given_out() -> None:
    order = TurnOrder[str]()
    order.close(2)
    order.ask(0, "first")
    assert not order.complete
    order.ask(1, "second")
    assert order.complete


def test_a_turn_without_a_sentence_is_complete_at_once() -> None:
    order = TurnOrder[str]()
    order.close(0)
    assert order.complete


def test_nothing_is_spoken_beyond_the_count_of_a_turn() -> None:
    order = TurnOrder[str]()
    order.close(1)
    assert order.ask(1, "too many") == []
    assert order.ask(0, "only") == ["only"]
