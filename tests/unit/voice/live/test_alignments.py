"""Alignments: chunk-relative times are added up, and a reply's audio is divided among its sentences."""

from voice.domain.live.alignments import Alignment, ReplyAudio, RunningAlignment, SentenceAudio


def aligned(text: str, seconds_each: float = 0.1) -> Alignment:
    starts = [index * seconds_each for index in range(len(text))]
    return Alignment(text, tuple(starts), tuple(start + seconds_each for start in starts))


def audio(seconds: float, byte: int = 1) -> bytes:
    return bytes([byte]) * round(seconds * 8000)


def test_times_are_relative_to_the_audio_that_came_before() -> None:
    running = RunningAlignment()
    running.add(aligned("ab"), audio_bytes=4000)
    running.add(aligned("c"), audio_bytes=800)
    assert running.starts == [0.0, 0.1, 0.5]
    assert [running.count_heard(seconds) for seconds in (0.0, 0.1, 0.25, 0.55, 0.6)] == [0, 1, 2, 2, 3]


def test_times_that_go_back_do_not() -> None:
    running = RunningAlignment()
    running.add(Alignment("abc", (0.0, 0.3, 0.1), (0.3, 0.5, 0.2)), audio_bytes=4000)
    assert running.ends == [0.3, 0.5, 0.5]
    assert running.count_heard(0.4) == 1


def test_a_chunk_with_two_sentences_is_cut_where_the_second_begins() -> None:
    reply = ReplyAudio()
    reply.expect(0, "Ya.")
    reply.expect(1, "No.")
    parts = reply.add(audio(0.7), aligned("Ya. No."))
    assert [(part.sentence, len(part.audio), part.is_last) for part in parts] == [(0, 3200, True), (1, 2400, False)]
    assert parts[1].alignment is not None
    assert parts[1].alignment.characters == "No."
    assert parts[1].alignment.starts[0] == 0.0
    assert reply.finish() == [SentenceAudio(1, b"", None, is_last=True)]


def test_a_sentence_ends_when_the_audio_of_the_next_begins() -> None:
    reply = ReplyAudio()
    reply.expect(0, "Ya.")
    assert [part.is_last for part in reply.add(audio(0.3), aligned("Ya. "))] == [False]
    assert reply.add(audio(0.1), None) == [SentenceAudio(0, audio(0.1), None)]
    reply.expect(1, "No.")
    first, second = reply.add(audio(0.3), aligned(" No."))
    assert (first.sentence, first.is_last) == (0, True)
    assert (second.sentence, len(first.audio) + len(second.audio)) == (1, 2400)


def test_audio_without_a_sentence_is_left_out() -> None:
    assert ReplyAudio().add(audio(0.1), None) == []
