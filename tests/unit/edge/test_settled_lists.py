"""An import that follows another waits until the acknowledgements of its commands have arrived."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from nats.errors import ConnectionClosedError

from chassis.event_log import EventLog
from edge.adapters import numbers
from edge.adapters.numbers import NatsNumbers


class Consumer:
    """Answers with each of `states`, then with the last one."""

    def __init__(self, *states: tuple[int, int] | Exception) -> None:
        self.states = [*states]

    def jetstream(self, **_: object) -> "Consumer":
        return self

    async def consumer_info(self, *_: str) -> SimpleNamespace:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(state, Exception):
            raise state
        return SimpleNamespace(num_pending=state[0], num_ack_pending=state[1])


def numbers_of(consumer: Consumer) -> NatsNumbers:
    return NatsNumbers(cast("Any", consumer), cast("EventLog", None))


async def test_lists_are_settled_when_the_last_acknowledgement_has_arrived() -> None:
    assert await numbers_of(Consumer((1, 0), (0, 2), (0, 0))).is_settled()


@pytest.mark.parametrize("state", [(0, 1), ConnectionClosedError()])
async def test_lists_are_not_settled_without_it(
    state: tuple[int, int] | Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbers, "SETTLE_SECONDS", 0.05)
    assert not await numbers_of(Consumer(state)).is_settled()
