"""The clock of a stream: an absolute one, with a frame each 20 ms in both directions.

The time of the call is the number of frames, so with a speed above 1 the audio runs faster. A simulator that is late
makes several frames at once, as a network does; above half a simulated second its clock stands still.
"""

import asyncio
import time

from simulators.mu_law import FRAME_SECONDS
from simulators.twilio.stream_ledger import StreamEntry

_MAX_LATE_SECONDS = 0.5


class StreamClock:
    """The clock of one stream. Seconds are simulated, and count from its start."""

    def __init__(self, entry: StreamEntry, speed: float) -> None:
        self._entry, self._speed = entry, speed
        self._started_at: float | None = None
        self._frames = 0

    @property
    def seconds(self) -> float:
        """The length of all frames."""
        return self._frames * FRAME_SECONDS

    def start(self) -> None:
        """Starts the clock."""
        self._started_at = asyncio.get_running_loop().time()

    async def next_frame(self) -> float:
        """Waits until the next frame is due, and returns its begin. The clock must have started."""
        loop_time, started_at = asyncio.get_running_loop().time, self._started_at or 0.0
        late_seconds = loop_time() - started_at - (self._frames + 1) * FRAME_SECONDS / self._speed
        if late_seconds * self._speed > _MAX_LATE_SECONDS:
            self._started_at = started_at + late_seconds
            self._entry.late_seconds += late_seconds
        await asyncio.sleep(max(0.0, -late_seconds))
        begins_at = self.seconds
        self._frames += 1
        return begins_at

    def now(self) -> float:
        """Returns the seconds since the start, between two frames too; 0 before the start."""
        if self._started_at is None:
            return 0.0
        # uvloop's time() is that of the loop's last iteration, in whole milliseconds, on the same clock.
        return max(0.0, (time.monotonic() - self._started_at) * self._speed)
