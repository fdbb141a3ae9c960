"""The board of calls in progress: lists first, then decisions, each with the call after it."""

from typing import Any

from centralita_console import board as boards
from centralita_console.board import MAX_CARDS, Board, Card
from contracts import CallStatus


def decision(call_id: str, status: str, second: int = 0, **fields: Any) -> dict[str, Any]:
    call = {
        "call_id": call_id,
        "contact_id": "c",
        "campaign_id": "spring",
        "status": status,
        "attempt": 1,
        "status_changed_at": f"2026-11-29T12:00:{second:02}Z",
        "reason": None,
        "disposition": None,
        "duration_seconds": None,
        **fields,
    }
    return {"data": {"call": call}}


def shown(board: Board) -> dict[str, list[str]]:
    """Returns the ids of the cards in each column that has any."""
    return {str(status): [card.call_id for card in cards] for status, _, cards in board.columns() if cards}


def test_a_call_moves_from_column_to_column_and_then_to_the_endings() -> None:
    board = Board()
    for sequence, status in enumerate(("pending", "dialing", "ringing", "in_progress"), start=1):
        board.apply(sequence, decision("a", status))
        assert shown(board) == {status: ["a"]}

    board.apply(5, decision("a", "completed", disposition="confirmed", reason="answered", duration_seconds=31))

    assert shown(board) == {}
    assert [(card.call_id, card.reason, card.duration) for card in board.endings] == [("a", "confirmed", 31)]
    assert board.sequence == 5


def test_a_call_that_is_retried_leaves_the_endings() -> None:
    board = Board()
    board.apply(1, decision("a", "failed"))
    board.apply(2, decision("a", "pending"))

    assert (shown(board), board.endings) == ({"pending": ["a"]}, [])


def test_only_decisions_about_calls_change_the_board() -> None:
    board = Board()
    assert board.apply(1, decision("a", "dialing"))
    assert not board.apply(2, {"data": {"turn": 1}})
    assert not board.apply(3, {"data": {}})
    assert board.sequence == 3
    assert board.apply(4, decision("a", "dialing", attempt=2))


def test_the_longest_wait_is_shown_first_and_a_long_column_is_cut_and_counted() -> None:
    board = Board()
    for number in range(MAX_CARDS + 5):
        board.apply(number, decision(f"{number:03}", "ringing", second=59 - number))

    [(status, count, cards)] = [column for column in board.columns() if column[1]]
    assert (status, count, len(cards)) == (CallStatus.RINGING, MAX_CARDS + 5, MAX_CARDS)
    assert cards[0].call_id == f"{MAX_CARDS + 4:03}"


def test_memory_does_not_grow_with_calls() -> None:
    board = Board()
    for number in range(boards.MAX_OPEN + 10):
        board.apply(number, decision(str(number), "pending"))
        board.apply(number, decision(f"ended {number}", "completed"))

    assert len(board.open_calls) == boards.MAX_OPEN
    assert len(board.endings) == boards.MAX_ENDINGS


def summary(call_id: str, status: str) -> Card:
    fields = {"contact_id": "c", "campaign_id": "spring", "attempts": 2, "reason": None, "disposition": None}
    fields["duration"] = None
    return Card.of_summary({**fields, "id": call_id, "status": status, "status_changed_at": "2026-11-29T12:00:00Z"})


def test_the_lists_replace_what_was_there_before_the_board_began_anew() -> None:
    board = Board()
    board.apply(1, decision("gone", "dialing"))
    board.begin()
    board.include([summary("a", "ringing")], [])

    assert shown(board) == {"ringing": ["a"]}


def test_the_lists_do_not_replace_what_an_event_has_changed() -> None:
    board = Board()
    board.include([summary("a", "ringing"), summary("b", "ringing")], [])
    board.apply(1, decision("a", "in_progress"))
    board.apply(2, decision("b", "completed"))
    board.include([summary("a", "ringing"), summary("b", "ringing"), summary("c", "pending")], [summary("d", "busy")])

    assert shown(board) == {"pending": ["c"], "in_progress": ["a"]}
    assert {card.call_id for card in board.endings} == {"b", "d"}
