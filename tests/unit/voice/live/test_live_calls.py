"""Which media streams a process accepts, and how it ends them."""

import asyncio
from dataclasses import dataclass, field
from typing import cast

import pytest
from tests.builders.calls import a_call
from tests.builders.events import status_changed
from tests.fakes.event_log import FakeEventLog
from tests.fakes.virtual_time import run_in_virtual_time

from chassis.event_log import EventLog
from contracts import CallStatus, MediaClosedReason
from contracts.vocabulary import ConversationMode
from voice.application.live.live_calls import LiveCalls, StreamId, StreamRefused

LIVE = ConversationMode.LIVE
CALL = a_call(CallStatus.IN_PROGRESS).model_copy(update={"mode": LIVE})
STREAM = StreamId(CALL.call_id, 1, 1)


@dataclass
class Conversation:
    finished: list[MediaClosedReason] = field(default_factory=list)
    ticks: list[float] = field(default_factory=list)

    def tick(self, late_seconds: float) -> None:
        self.ticks.append(late_seconds)

    def finish(self, reason: MediaClosedReason) -> None:
        self.finished.append(reason)


def live_calls(max_calls: int = 2) -> LiveCalls:
    return LiveCalls(cast("EventLog", FakeEventLog.of(status_changed(CALL))), max_calls=max_calls)


def test_a_process_accepts_as_many_streams_as_it_may_have() -> None:
    async def main() -> None:
        calls = live_calls(max_calls=1)
        with calls.accepted(STREAM, LIVE):
            with pytest.raises(StreamRefused) as refused:
                await calls.open(StreamId(CALL.call_id, 1, 2), LIVE)
            assert refused.value.status == 503
        assert (await calls.open(STREAM, LIVE)).event.call == CALL

    run_in_virtual_time(main())


def test_a_stream_is_accepted_once() -> None:
    async def main() -> None:
        calls = live_calls()
        with calls.accepted(STREAM, LIVE), pytest.raises(StreamRefused) as refused, calls.accepted(STREAM, LIVE):
            pass
        assert refused.value.status == 409

    run_in_virtual_time(main())


def test_a_drain_ends_the_calls_and_waits_for_their_streams() -> None:
    async def main() -> None:
        calls, conversation, late = live_calls(), Conversation(), Conversation()
        with calls.accepted(STREAM, LIVE):
            calls.begin(STREAM, conversation)
            draining = asyncio.create_task(calls.drain())
            await asyncio.sleep(1)
            assert conversation.finished == [MediaClosedReason.DRAINED]
            assert not draining.done()
            calls.begin(STREAM, late)  # a stream whose `start` came meanwhile
            assert late.finished == [MediaClosedReason.DRAINED]
        await draining
        with pytest.raises(StreamRefused):
            await calls.open(STREAM, LIVE)

    run_in_virtual_time(main())


def test_a_stream_that_was_opened_when_the_process_had_to_stop_is_drained() -> None:
    async def main() -> None:
        calls, conversation = live_calls(), Conversation()
        await calls.open(STREAM, LIVE)
        await calls.drain()
        with calls.accepted(STREAM, LIVE):
            calls.begin(STREAM, conversation)
        assert conversation.finished == [MediaClosedReason.DRAINED]

    run_in_virtual_time(main())


def test_a_drain_does_not_wait_for_ever() -> None:
    async def main() -> None:
        calls = live_calls()
        with calls.accepted(STREAM, LIVE):
            calls.begin(STREAM, Conversation())
            await calls.drain()

    run_in_virtual_time(main())


def test_all_conversations_do_what_is_due_by_one_clock_that_does_not_drift() -> None:
    async def main() -> None:
        calls, conversations = live_calls(), [Conversation(), Conversation()]
        running = asyncio.create_task(calls.run())
        with calls.accepted(STREAM, LIVE):  # its conversation has not begun
            await asyncio.sleep(0.15)
            with calls.accepted(other := StreamId(CALL.call_id, 1, 2), LIVE):
                calls.begin(STREAM, conversations[0])
                calls.begin(other, conversations[1])
                await asyncio.sleep(10)
        await asyncio.sleep(1)
        running.cancel()
        assert [len(one.ticks) for one in conversations] == [100, 100]

    run_in_virtual_time(main())
