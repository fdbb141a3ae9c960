"""The recording of a call's media streams: what the callee said and what it heard, in two channels."""

import json
import wave
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from simulators import mu_law
from simulators.mu_law import FRAME_SECONDS, RATE, SILENCE
from simulators.twilio.ledger import CallEntry
from simulators.twilio.stream_ledger import StreamEntry


class Recording:
    """Collects the frames of both channels: left the callee as sent, right the agent as played."""

    def __init__(self) -> None:
        self._callee: list[bytes] = []
        self._agent: list[bytes] = []

    @property
    def seconds(self) -> float:
        """The length of the recording."""
        return len(self._callee) * FRAME_SECONDS

    def add(self, callee: bytes, agent: bytes | None) -> None:
        """Adds one frame of each channel; None is silence."""
        self._callee.append(callee)
        self._agent.append(SILENCE if agent is None else agent)

    def add_silence(self, seconds: float) -> None:
        """Adds the time between two streams."""
        for _ in range(round(seconds / FRAME_SECONDS)):
            self.add(SILENCE, None)

    def write(self, folder: Path, entry: CallEntry) -> None:
        """Writes `<call SID>.wav` (8 kHz, 16 bit) and then `<call SID>.json`: streams with their marks, utterances."""
        folder.mkdir(parents=True, exist_ok=True)
        with wave.open(str(folder / f"{entry.sid}.wav"), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(_interleaved(self._callee, self._agent))
        text = json.dumps(_description(entry, entry.streams), ensure_ascii=False, indent=1)
        (folder / f"{entry.sid}.json").write_text(text, encoding="utf-8")


def _interleaved(left: Sequence[bytes], right: Sequence[bytes]) -> bytes:
    decoded_left, decoded_right = mu_law.decode(b"".join(left)), mu_law.decode(b"".join(right))
    samples = decoded_left + decoded_right
    samples[0::2], samples[1::2] = decoded_left, decoded_right
    return samples.tobytes()


def _description(entry: CallEntry, streams: Sequence[StreamEntry]) -> dict[str, object]:
    return {
        "call_sid": entry.sid,
        "ended_by": entry.ended_by,
        "channels": ["callee", "agent"],
        "utterances": [asdict(utterance) for utterance in entry.utterances],
        "streams": [asdict(stream) for stream in streams],
    }
