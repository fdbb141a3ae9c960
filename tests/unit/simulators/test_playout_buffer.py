"""The playout buffer: order, marks at the end of their audio, `clear`, and its limit."""

from hypothesis import given
from hypothesis import strategies as st

from simulators.mu_law import FRAME_BYTES, RATE
from simulators.twilio.playout_buffer import MAX_SECONDS, PlayoutBuffer

PIECES = st.lists(st.one_of(st.binary(min_size=1, max_size=500), st.integers(0, 1000).map(str)), max_size=30)


@given(PIECES)
def test_every_mark_is_due_after_exactly_the_audio_before_it(pieces: list[bytes | str]) -> None:
    buffer, played, due = PlayoutBuffer(), b"", {}
    expected: dict[str, int] = {}
    received = 0
    for number, piece in enumerate(pieces):
        if isinstance(piece, bytes):
            assert buffer.add(piece)
            received += len(piece)
        else:
            name = f"{number}:{piece}"
            expected[name] = received
            if buffer.add_mark(name):
                due[name] = 0
    while True:
        marks, frame = buffer.next_frame()
        due |= {name: len(played) for name in marks}
        if frame is None:
            break
        played += frame
    assert played[:received] == b"".join(piece for piece in pieces if isinstance(piece, bytes))
    assert due.keys() == expected.keys()
    assert all(expected[name] <= at < expected[name] + FRAME_BYTES for name, at in due.items())


def test_a_mark_waits_for_the_frame_that_is_being_played() -> None:
    buffer = PlayoutBuffer()
    buffer.add(bytes(FRAME_BYTES))
    buffer.next_frame()
    assert not buffer.add_mark("end")
    assert buffer.next_frame() == (["end"], None)
    assert buffer.add_mark("idle")


def test_clear_returns_the_pending_marks_in_order() -> None:
    buffer = PlayoutBuffer()
    for name in ("one", "two"):
        buffer.add(bytes(500))
        buffer.add_mark(name)
    buffer.next_frame()
    assert buffer.clear() == ["one", "two"]
    assert buffer.seconds == 0
    assert buffer.next_frame() == ([], None)
    buffer.add(bytes(10))
    buffer.add_mark("three")
    assert buffer.next_frame() == ([], bytes(10).ljust(FRAME_BYTES, b"\xff"))
    assert buffer.next_frame() == (["three"], None)


def test_audio_beyond_ten_minutes_is_discarded() -> None:
    buffer = PlayoutBuffer()
    assert buffer.add(bytes(round(MAX_SECONDS * RATE)))
    assert not buffer.add(b"\x00")
    assert buffer.seconds == MAX_SECONDS
