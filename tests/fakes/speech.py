"""The audio of turns, in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from telephony.instructions import PlayTurn


@dataclass
class FakeSpeech:
    """`edge.ports.Speech`; records the (attempt, turn) pairs that were requested."""

    requested: list[tuple[int, int]] = field(default_factory=list)

    @asynccontextmanager
    async def stream_turn(self, turn: PlayTurn) -> AsyncIterator[AsyncIterator[bytes]]:
        self.requested.append((turn.attempt, turn.turn))
        yield _audio()


async def _audio() -> AsyncIterator[bytes]:
    yield b"audio"
