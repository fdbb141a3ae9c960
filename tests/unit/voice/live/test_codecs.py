"""The codecs of the vendors' sockets: what is documented is understood, and nothing raises."""

import base64
import json
import random
from collections.abc import Callable

import pytest

from voice.domain.live import media_stream, speech_stream, transcription
from voice.domain.live.alignments import Alignment
from voice.domain.live.media_stream import Connected, Frame, FrameCutter, KeyPressed, MarkReturned, Started, Stopped
from voice.domain.live.speech_stream import ContextFinished, SpokenAudio, SynthesisError
from voice.domain.live.transcription import (
    CommittedTranscript,
    ErrorKind,
    PartialTranscript,
    SessionStarted,
    TranscriptionError,
)
from voice.domain.live.vendor_messages import Malformed, MalformedReason

FUZZED_MESSAGES = 10_000
STREAM = "MZ" + "0" * 32
FRAME = bytes(range(160))
FORMAT = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
MEDIA = {
    "event": "media",
    "sequenceNumber": "4",
    "streamSid": STREAM,
    "media": {"track": "inbound", "chunk": "2", "timestamp": "1520", "payload": base64.b64encode(FRAME).decode()},
}
START = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": STREAM,
    "start": {
        "streamSid": STREAM,
        "accountSid": "AC0",
        "callSid": "CA1",
        "tracks": ["inbound"],
        "mediaFormat": FORMAT,
        "customParameters": {"token": "abc"},
    },
}
TWILIO = [
    {"event": "connected", "protocol": "Call", "version": "1.0.0"},
    START,
    MEDIA,
    {"event": "dtmf", "streamSid": STREAM, "sequenceNumber": "5", "dtmf": {"track": "inbound_track", "digit": "1"}},
    {"event": "mark", "streamSid": STREAM, "sequenceNumber": "4", "mark": {"name": "1.0"}},
    {"event": "stop", "streamSid": STREAM, "sequenceNumber": "9", "stop": {"accountSid": "AC0", "callSid": "CA1"}},
]
ALIGNMENT = {"chars": ["S", "í"], "charStartTimesMs": [0, 100], "charDurationsMs": [100, 150]}
SCRIBE = [
    {"message_type": "session_started", "session_id": "s1", "config": {}},
    {"message_type": "partial_transcript", "text": "seis uno"},
    {"message_type": "committed_transcript", "text": " Seis, uno. "},
    {"message_type": "committed_transcript_with_timestamps", "text": "Sí", "language_code": "es", "words": []},
    {"message_type": "commit_throttled", "error": "too soon"},
    {"message_type": "warning", "text": "x"},
]
SPEECH: list[dict[str, object]] = [
    {"audio": base64.b64encode(FRAME).decode(), "alignment": ALIGNMENT, "normalizedAlignment": None, "contextId": "1"},
    {"audio": base64.b64encode(FRAME).decode(), "alignment": None, "contextId": "1"},
    {"isFinal": True, "contextId": "1"},
    {"error": "quota_exceeded", "message": "no credits", "code": 1008},
]


def test_the_documented_messages_of_a_stream_are_understood() -> None:
    assert [media_stream.parse(json.dumps(message)) for message in TWILIO] == [
        Connected("Call", "1.0.0"),
        Started(STREAM, "CA1", {"token": "abc"}),
        Frame(STREAM, FRAME, 1.52),
        KeyPressed(STREAM, "1"),
        MarkReturned(STREAM, "1.0"),
        Stopped(STREAM),
    ]


def test_a_text_message_may_be_given_as_its_bytes() -> None:
    assert media_stream.parse(json.dumps(MEDIA).encode()) == Frame(STREAM, FRAME, 1.52)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", MalformedReason.NOT_JSON),
        ("hello", MalformedReason.NOT_JSON),
        (b"\xff\x00\x80", MalformedReason.NOT_JSON),
        ('"\\ud800"', MalformedReason.NOT_JSON),
        ("\ud800", MalformedReason.NOT_JSON),
        ("[" * 60_000, MalformedReason.NOT_JSON),
        ("1" * 60_000, MalformedReason.NOT_JSON),
        ("[1, 2]", MalformedReason.NOT_AN_OBJECT),
        ("null", MalformedReason.NOT_AN_OBJECT),
        ("{}", MalformedReason.UNKNOWN_EVENT),
        ('{"event": "party", "streamSid": "MZ"}', MalformedReason.UNKNOWN_EVENT),
        ('{"event": {"a": 1}, "streamSid": "MZ"}', MalformedReason.UNKNOWN_EVENT),
        ('{"event": "media"}', MalformedReason.WRONG_FIELD),
        ('{"event": "media", "streamSid": "MZ", "media": []}', MalformedReason.WRONG_FIELD),
        ('{"event": "stop", "streamSid": 7}', MalformedReason.WRONG_FIELD),
        ('{"event": "dtmf", "streamSid": "MZ", "dtmf": {"digit": "12"}}', MalformedReason.WRONG_FIELD),
        ('{"event": "mark", "streamSid": "MZ", "mark": {"name": null}}', MalformedReason.WRONG_FIELD),
        (json.dumps({"event": "media", "pad": "x" * media_stream.MAX_MESSAGE_BYTES}), MalformedReason.TOO_LONG),
    ],
)
def test_a_message_that_is_not_valid_has_a_reason(text: str | bytes, reason: MalformedReason) -> None:
    assert media_stream.parse(text) == Malformed(reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"payload": "abc"}, MalformedReason.WRONG_BASE64),
        ({"payload": "ab c="}, MalformedReason.WRONG_BASE64),
        ({"payload": "ñandú==="}, MalformedReason.WRONG_BASE64),
        ({"payload": 5}, MalformedReason.WRONG_FIELD),
        ({"timestamp": "-3"}, MalformedReason.WRONG_FIELD),
        ({"timestamp": "9" * 5000}, MalformedReason.WRONG_FIELD),
        ({"timestamp": "²"}, MalformedReason.WRONG_FIELD),
        ({"timestamp": 3}, MalformedReason.WRONG_FIELD),
        ({"track": "outbound"}, MalformedReason.WRONG_FIELD),
    ],
)
def test_audio_that_is_not_valid_is_malformed(change: dict[str, object], reason: MalformedReason) -> None:
    message = MEDIA | {"media": {**MEDIA["media"], **change}}  # type: ignore[dict-item]
    assert media_stream.parse(json.dumps(message)) == Malformed(reason)


@pytest.mark.parametrize("change", [{"encoding": "audio/l16"}, {"sampleRate": 16000}, {"channels": 2}])
def test_a_stream_in_another_format_is_refused(change: dict[str, object]) -> None:
    start = START | {"start": {**START["start"], "mediaFormat": FORMAT | change}}  # type: ignore[dict-item]
    assert media_stream.parse(json.dumps(start)) == Malformed(MalformedReason.WRONG_FORMAT)


def test_an_empty_payload_has_no_frame_and_other_lengths_are_cut_again() -> None:
    message = MEDIA | {"media": {**MEDIA["media"], "payload": ""}}  # type: ignore[dict-item]
    frame = media_stream.parse(json.dumps(message))
    assert isinstance(frame, Frame)
    cutter = FrameCutter()
    assert cutter.feed(frame.payload) == []
    audio = bytes(random.Random(1).randbytes(1000))
    frames = [cut for start in range(0, 1000, 77) for cut in cutter.feed(audio[start : start + 77])]
    assert b"".join(frames) == audio[:960]
    assert {len(cut) for cut in frames} == {160}


def test_more_than_fifty_malformed_messages_in_ten_seconds_are_too_many() -> None:
    counter = media_stream.MalformedCounter()
    assert not any(counter.add(now=index * 0.21) for index in range(200))
    counter = media_stream.MalformedCounter()
    assert [counter.add(now=index * 0.19) for index in range(52)] == [False] * 50 + [True] * 2


def test_what_is_sent_to_the_stream_is_what_twilio_documents() -> None:
    assert json.loads(media_stream.media('MZ"1', FRAME)) == {
        "event": "media",
        "streamSid": 'MZ"1',
        "media": {"payload": base64.b64encode(FRAME).decode()},
    }
    assert json.loads(media_stream.mark(STREAM, "1.0")) == {
        "event": "mark",
        "streamSid": STREAM,
        "mark": {"name": "1.0"},
    }
    assert json.loads(media_stream.clear(STREAM)) == {"event": "clear", "streamSid": STREAM}


def test_the_documented_messages_of_the_transcription_are_understood() -> None:
    assert [transcription.parse(json.dumps(message)) for message in SCRIBE] == [
        SessionStarted("s1"),
        PartialTranscript("seis uno"),
        CommittedTranscript("Seis, uno."),
        CommittedTranscript("Sí", "es"),
        TranscriptionError(ErrorKind.COMMIT_THROTTLED, "too soon"),
        transcription.Ignored("warning"),
    ]


def test_the_confidence_is_the_mean_of_the_words() -> None:
    words = [{"text": "Sí", "logprob": 0}, {"text": "no", "logprob": -1.386294}, {"text": " "}, 7]
    message = {"message_type": "committed_transcript_with_timestamps", "text": "Sí no", "words": words}
    transcript = transcription.parse(json.dumps(message))
    assert isinstance(transcript, CommittedTranscript)
    assert transcript.confidence == pytest.approx(0.5)


def test_some_errors_leave_the_session_usable_and_some_no_session() -> None:
    assert not TranscriptionError(ErrorKind.COMMIT_THROTTLED).is_fatal
    assert TranscriptionError(ErrorKind.SESSION_TIME_LIMIT_EXCEEDED).is_fatal
    assert TranscriptionError(ErrorKind.SESSION_TIME_LIMIT_EXCEEDED).may_reopen
    assert not TranscriptionError(ErrorKind.AUTH).may_reopen


def test_the_previous_text_is_cut_to_its_last_words() -> None:
    sent = json.loads(transcription.audio(b"", is_commit=True, previous_text="palabra " * 20 + "final"))
    assert sent == {
        "message_type": "input_audio_chunk",
        "audio_base_64": "",
        "commit": True,
        "sample_rate": 8000,
        "previous_text": "palabra palabra palabra palabra palabra final",
    }


def test_the_transcription_is_asked_for_mu_law_and_commits_of_ours() -> None:
    query = transcription.connection_query(language="es-MX", keyterms=("Dr. Vega", "x" * 21, ""))
    assert query == [
        ("model_id", "scribe_v2_realtime"),
        ("audio_format", "ulaw_8000"),
        ("commit_strategy", "manual"),
        ("language_code", "es"),
        ("keyterms", "Dr. Vega"),
    ]


def test_the_documented_messages_of_the_synthesis_are_understood() -> None:
    assert [speech_stream.parse(json.dumps(message)) for message in SPEECH] == [
        SpokenAudio("1", FRAME, Alignment("Sí", (0.0, 0.1), (0.1, 0.25))),
        SpokenAudio("1", FRAME, None),
        ContextFinished("1"),
        SynthesisError("no credits"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"chars": ["S"]},
        {"chars": ["S", 7]},
        {"charStartTimesMs": [0, True]},
        {"charStartTimesMs": [0, -1]},
        {"charDurationsMs": None},
        {"charDurationsMs": [1, 1e300]},
    ],
)
def test_an_alignment_that_is_not_consistent_is_left_out_and_the_audio_is_played(change: dict[str, object]) -> None:
    message = {**SPEECH[0], "alignment": {**ALIGNMENT, **change}}
    assert speech_stream.parse(json.dumps(message)) == SpokenAudio("1", FRAME, None)


def test_what_is_sent_to_the_synthesis_is_what_the_vendor_documents() -> None:
    sent = [
        speech_stream.begin("1", voice_settings={"stability": 0.5}),
        speech_stream.speak("1", "Hola."),
        speech_stream.speak("1", "Hola.", is_flushed=False),
        speech_stream.flush("1"),
        speech_stream.keep_alive("1"),
        speech_stream.close_context("1"),
        speech_stream.close_socket(),
    ]
    assert [json.loads(message) for message in sent] == [
        {"text": " ", "context_id": "1", "voice_settings": {"stability": 0.5}},
        {"text": "Hola. ", "context_id": "1", "flush": True},
        {"text": "Hola. ", "context_id": "1"},
        {"context_id": "1", "flush": True},
        {"text": "", "context_id": "1"},
        {"context_id": "1", "close_context": True},
        {"close_socket": True},
    ]


@pytest.mark.parametrize(
    ("parse", "messages"),
    [(media_stream.parse, TWILIO), (transcription.parse, SCRIBE), (speech_stream.parse, SPEECH)],
    ids=["media stream", "transcription", "speech"],
)
def test_no_message_raises(
    parse: Callable[[str | bytes], object], messages: list[dict[str, object]], request: pytest.FixtureRequest
) -> None:
    generator = random.Random(request.node.name)
    for _ in range(FUZZED_MESSAGES):
        message = _mutated(generator.choice(messages), generator)
        text = json.dumps(message)
        if generator.random() < 0.3:
            text = _damaged(text, generator)
        assert parse(text if generator.random() < 0.5 else text.encode("utf-8", "surrogatepass")) is not None


_NUMBERS: list[object] = [True, 0, -1, 1e308, float("nan"), 10**30]
_VALUES = [*_NUMBERS, None, "", "x", "\x00", "=", "é", "\ud800", "9" * 400, [], [[]], {}, {"a": {}}]


def _mutated(value: object, generator: random.Random) -> object:
    """Returns the value with parts replaced, removed or repeated."""
    if generator.random() < 0.12:
        return generator.choice(_VALUES)
    if isinstance(value, dict):
        kept = {name: _mutated(part, generator) for name, part in value.items() if generator.random() > 0.05}
        return kept | ({generator.choice(["event", "audio", "x"]): generator.choice(_VALUES)} if len(kept) < 2 else {})
    if isinstance(value, list):
        return [_mutated(part, generator) for part in value if generator.random() > 0.05]
    return value


def _damaged(text: str, generator: random.Random) -> str:
    """Returns the text with some characters replaced, or cut off."""
    characters = list(text[: generator.randrange(len(text) + 1)] if generator.random() < 0.3 else text)
    for _ in range(generator.randrange(4) if characters else 0):
        characters[generator.randrange(len(characters))] = generator.choice('{}[]",:\\\x00é0\ud800')
    return "".join(characters)
