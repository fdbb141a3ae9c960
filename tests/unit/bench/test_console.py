"""What the browsers of the benchmark of the console count, and the calls that its driver appends."""

import asyncio

import pytest
from bench.console.calls import CAMPAIGN, spoken, waiting_call
from bench.console.watching import Browser, latencies, percentile

from contracts import AudioReady, AudioRequested, ReplyGenerated, SpeechHeard

STREAM = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    b': nothing\n\nid: 7\ndata: [{"sequence": 6}, {"sequence": 7}]\n\n'
    b'id: 12\ndata: [{"sequence": 12}]\n\n'
)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 40, 1_000])
async def test_each_message_and_each_line_is_counted_once_however_the_stream_is_cut(size: int) -> None:
    reader, browser = asyncio.StreamReader(), Browser("/log/events")
    reading = asyncio.create_task(browser.read(reader))
    for begin in range(0, len(STREAM), size):
        reader.feed_data(STREAM[begin : begin + size])
        await asyncio.sleep(0)
    reader.feed_eof()
    await reading

    assert [sequence for sequence, _ in browser.received] == [7, 12]
    assert (browser.lines, browser.size, browser.last_id, browser.is_open) == (3, len(STREAM), 12, False)


def test_an_event_has_arrived_with_the_first_message_that_includes_it() -> None:
    browser = Browser("/now/board", received=[(5, 1.0), (8, 2.0), (9, 4.0)])
    assert latencies(browser, {6: 1.5, 8: 1.9, 9: 2.0, 10: 3.0}) == pytest.approx([0.5, 0.1, 2.0])


def test_percentiles() -> None:
    assert (percentile([3.0, 1.0, 2.0], 0.5), percentile([], 0.5), percentile([1.0], 0.95)) == (2.0, 0.0, 1.0)


def test_a_turn_of_a_conversation_has_four_events() -> None:
    call = waiting_call("c")
    events = [spoken(call, number) for number in range(8)]
    assert [type(event) for event in events[:4]] == [SpeechHeard, AudioRequested, ReplyGenerated, AudioReady]
    assert [getattr(event, "turn", 0) for event in events] == [1] * 4 + [2] * 4
    assert call.campaign_id == CAMPAIGN
