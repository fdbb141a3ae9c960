"""Parsing the headers of a received message: the result is that of nats-py for any bytes."""

from hypothesis import example, given
from hypothesis import strategies as st
from nats.aio.client import Client

from chassis import header_lines
from chassis.header_lines import parse_header_lines, remember_header_names

LINES = st.one_of(
    st.binary(max_size=200),
    st.tuples(st.binary(max_size=80), st.binary(max_size=80)).map(b":".join),
    st.sampled_from([b"ce-id: 1", b"ce-id:1", b" ce-id :\t1 ", b"a b: c", b"a\x1fb: c", b": c", b"n\xc3\xb6: c"]),
)


@given(st.lists(LINES, max_size=8).map(b"\r\n".join))
@example(b"")
@example(b"Nats-Sequence: 7\r\nNats-Sequence: 8\r\n\r\n")
@example(b"x" * 65 + b": long")
def test_any_block_is_parsed_as_nats_py_parses_it(raw: bytes) -> None:
    assert parse_header_lines(raw) == Client._parse_header_lines(raw)


def test_names_that_senders_choose_use_bounded_memory() -> None:
    header_lines._known.cache_clear()
    for number in range(2_000):
        parse_header_lines(b"name-%d: 1\r\n%s-%d: 1" % (number, b"x" * 65, number))
    assert header_lines._known.cache_info().currsize == header_lines._MAX_NAMES


async def test_a_client_uses_it() -> None:
    client = Client()
    remember_header_names(client)
    headers = await client._process_headers(b"NATS/1.0\r\nce-id: 1\r\nbad name: 2\r\n\r\n")
    assert headers == {"ce-id": "1"}
    header_lines._known.cache_clear()
    await client._process_headers(b"NATS/1.0\r\nce-id: 1\r\n\r\n")
    assert header_lines._known.cache_info().misses == 1
