"""``python -m bench.live.frame``: the CPU time of a frame of the callee's audio in voice, without sockets.

It prints the shortest of many repetitions, which the load of the machine hardly changes. The callee is silent; the
agent is silent, too, or speaks. Caches are warm here: among the sockets of fifty calls, a frame costs more.
"""

import base64
import json
import random
from collections.abc import Callable
from itertools import cycle
from time import process_time
from unittest.mock import Mock

import uvloop

from voice.adapters.voice_activity import WebRtcVoiceActivity
from voice.application.live.listening import Listening
from voice.domain.live import media_stream
from voice.domain.live.media_stream import FRAME_BYTES
from voice.domain.live.playout import Playing, Playout
from voice.domain.live.turn_policy import TurnPolicy

_REPETITIONS, _FRAMES = 30, 1_000
_NOISE = (0xFF, 0x7F, 0xFE, 0x7E, 0xFD)
"""The quietest samples of mu-law."""


def microseconds(take: Callable[[bytes], object], items: list[bytes]) -> float:
    """Returns the shortest CPU time of one call of `take`."""
    own, times = cycle(items), list[float]()
    for _ in range(_REPETITIONS):
        began_at = process_time()
        for _ in range(_FRAMES):
            take(next(own))
        times.append((process_time() - began_at) / _FRAMES)
    return min(times) * 1e6


def message(audio: bytes) -> bytes:
    """Returns a frame as Twilio sends it."""
    media = {"track": "inbound", "chunk": "1", "timestamp": "20", "payload": base64.b64encode(audio).decode()}
    return json.dumps({"event": "media", "sequenceNumber": "2", "streamSid": "MZ" + "0" * 32, "media": media}).encode()


def listening(playing: Callable[[], Playing | None]) -> Listening:
    """Returns what takes the frames of one call. Its transcriber is not connected."""
    return Listening(Mock(), WebRtcVoiceActivity(), Mock(), playing, language="en", policy=TurnPolicy())


def speaking_agent() -> Callable[[], Playing | None]:
    """Returns what the callee hears of an agent that says two sentences, at an instant in the first of them."""
    playout = Playout()
    for number, text in enumerate(("Thank you, I have noted that for you.", "Please tell me what else you need.")):
        playout.begin(1, number, text)
        playout.add(1, number, bytes(16_000))
    playout.due(0.0)
    assert playout.playing(0.1) is not None
    return lambda: playout.playing(0.1)


async def main() -> None:
    """Prints the figures."""
    generator = random.Random(1)
    frames = [bytes(generator.choices(_NOISE, k=FRAME_BYTES)) for _ in range(50)]
    print(f"decode a message: {microseconds(media_stream.parse, [message(one) for one in frames]):.1f} µs")
    print(f"take a frame, the agent is silent: {microseconds(listening(lambda: None).receive, frames):.1f} µs")
    print(f"take a frame, the agent speaks: {microseconds(listening(speaking_agent()).receive, frames):.1f} µs")


if __name__ == "__main__":
    uvloop.run(main())
