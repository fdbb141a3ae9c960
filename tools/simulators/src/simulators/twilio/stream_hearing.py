"""Fills in the ledger's record of one stream from what passes through it, frame by frame."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from simulators.mu_law import FRAME_SECONDS
from simulators.twilio.call import Call
from simulators.twilio.call_clock import CallEnded
from simulators.twilio.live_callee import CalleeFrame
from simulators.twilio.stream_ledger import ClearEntry, MarkEntry, SoundEntry, StreamEntry

_MAX_UNDERRUN_SECONDS = 0.5
_MIN_ARRIVAL_PAUSE_SECONDS = 0.3


class StreamHearing:
    """Records intervals, marks, clears and reaction times of one stream."""

    def __init__(self, entry: StreamEntry, call: Call) -> None:
        self._entry, self._call = entry, call
        self._was_audible = False
        self._was_cleared = False
        self._sounding_until = 0.0
        self._arrived_at = -_MIN_ARRIVAL_PAUSE_SECONDS

    def received_audio(self, seconds: float, length_seconds: float) -> None:
        """Records audio that the server has sent."""
        self._entry.received_seconds += length_seconds
        self.received(seconds)

    def received(self, seconds: float) -> None:
        """Records that audio or text of a reply has arrived."""
        if seconds - self._arrived_at >= _MIN_ARRIVAL_PAUSE_SECONDS:
            self._entry.arrivals.append(seconds)
        self._arrived_at = seconds

    @contextmanager
    def recording_end(self) -> Iterator[None]:
        """Records who ends the stream during the block, unless it is the server."""
        try:
            yield
        except asyncio.CancelledError:
            self._entry.closed_by = "api"
            raise
        except CallEnded as ended:
            self._entry.closed_by = "callee" if ended.by == "callee" else "time_limit"
            raise

    def frame(self, seconds: float, heard: bytes | None, sent: CalleeFrame) -> None:
        """Records the frame of both directions that begins at `seconds`, also in the recording of the call."""
        if self._call.recording is not None:
            self._call.recording.add(sent.audio, heard)
        if sent.sound is not None:
            sent.sound.start_seconds = seconds
            self._sounding_until = seconds + sent.sound.seconds
            self._entry.sounds.append(sent.sound)
        if heard is not None:
            self._hear(seconds)
        elif self._was_audible:
            self._set_silence(seconds)
        self._was_audible = heard is not None

    def received_mark(self, name: str, seconds: float) -> None:
        """Records a mark that the server has sent."""
        self._entry.marks.append(MarkEntry(name, seconds))

    def returned_mark(self, name: str, seconds: float, *, is_cleared: bool) -> None:
        """Records the return of the oldest pending mark of this name."""
        for mark in self._entry.marks:
            if mark.name == name and mark.returned_seconds is None:
                mark.returned_seconds, mark.reason = seconds, "cleared" if is_cleared else "played"
                return

    def cleared(self, seconds: float, discarded_seconds: float, marks: list[str]) -> None:
        """Records a `clear`."""
        self._entry.clears.append(ClearEntry(seconds, discarded_seconds, marks))
        self._was_cleared = True
        if (sound := self._last_sound()) is not None and sound.is_over_agent and sound.seconds_to_clear is None:
            sound.seconds_to_clear = seconds - sound.start_seconds

    def _hear(self, seconds: float) -> None:
        entry = self._entry
        entry.played_seconds += FRAME_SECONDS
        if seconds < self._sounding_until:
            entry.overlap_seconds += FRAME_SECONDS
        if self._was_audible:
            entry.heard[-1][1] = seconds + FRAME_SECONDS
        else:
            self._begin_interval(seconds)
        self._was_cleared = False
        self._call.agent_heard_at = asyncio.get_running_loop().time()

    def _begin_interval(self, seconds: float) -> None:
        entry = self._entry
        if entry.heard:
            is_underrun = seconds - entry.heard[-1][1] < _MAX_UNDERRUN_SECONDS and not self._was_cleared
            entry.underruns += is_underrun
        elif self._call.agent_heard_at is not None:
            entry.silence_gap_seconds = asyncio.get_running_loop().time() - self._call.agent_heard_at
        entry.heard.append([seconds, seconds + FRAME_SECONDS])

    def _set_silence(self, seconds: float) -> None:
        if (sound := self._last_sound()) is not None and sound.is_over_agent and sound.seconds_to_silence is None:
            sound.seconds_to_silence = seconds - sound.start_seconds

    def _last_sound(self) -> SoundEntry | None:
        return self._entry.sounds[-1] if self._entry.sounds else None
