"""What the simulator records of the agent's audio in one media stream."""

from simulators.twilio.stream_hearing import StreamHearing
from simulators.twilio.stream_ledger import StreamEntry


def test_the_arrival_of_audio_is_recorded_once_for_frames_that_follow_each_other() -> None:
    entry = StreamEntry("wss://voice.example.com", "MZ1", "MZ1", {})
    hearing = StreamHearing(entry, None)  # type: ignore[arg-type]  # the call is read when audio is heard
    for seconds in (0.005, 0.006, 0.026, 0.3, 0.6, 1.0, 1.02):
        hearing.received_audio(seconds, 0.02)
    assert entry.arrivals == [0.005, 0.6, 1.0], "0.3 s without audio are a pause"
    assert round(entry.received_seconds, 2) == 0.14
