"""Playout: what was heard is what a listener heard on any line, and nothing is lost by a pause."""

import heapq
import itertools
import random
from dataclasses import dataclass, field

import pytest

from voice.domain.live.alignments import Alignment
from voice.domain.live.playout import Mark, Playout, SentencePlayed

CASES = 300
STEP_SECONDS = 0.005
FRAME = 160


@dataclass
class Line:
    """A telephone line with a delay, as the provider has it; `frames` are those that its listener heard to the end."""

    there_seconds: float = 0.04
    back_seconds: float = 0.04
    frames: list[bytes] = field(default_factory=list)
    returned: list[tuple[float, str]] = field(default_factory=list)
    stalls: list[tuple[float, float]] = field(default_factory=list)
    """Instants at which the line does not play, and for how long."""
    jitter: random.Random | None = None
    jitter_seconds: float = 0.0
    _arriving: list[tuple[float, int, object]] = field(default_factory=list)
    _order: int = 0
    _buffer: list[bytes | str] = field(default_factory=list)
    _plays_until: float = 0.0
    _playing: bytes | None = None

    def send(self, item: object, now: float) -> None:
        self._order += 1
        heapq.heappush(self._arriving, (now + self.there_seconds, self._order, item))

    def advance(self, now: float) -> None:
        while self._arriving and self._arriving[0][0] <= now + 1e-9:
            at, _, item = heapq.heappop(self._arriving)
            self._play(at)
            self._receive(at, item)
        self._play(now)

    def _receive(self, at: float, item: object) -> None:
        if isinstance(item, bytes):
            self._buffer += [item[start : start + FRAME] for start in range(0, len(item), FRAME)]
        elif isinstance(item, Mark):
            self._buffer.append(item.name)
        else:  # clear
            for waiting in self._buffer:
                if isinstance(waiting, str):
                    self._return(at, waiting)
            self._buffer, self._playing = [], None
            self._plays_until = at
        self._play(at)

    def _play(self, now: float) -> None:
        while True:
            if self._playing is not None:
                if self._plays_until > now + 1e-9:
                    return
                self.frames.append(self._playing)
                self._playing = None
            while self._buffer and isinstance(self._buffer[0], str):
                self._return(self._plays_until, str(self._buffer.pop(0)))
            if not self._buffer:
                self._plays_until = max(self._plays_until, now)
                return
            self._playing = self._buffer.pop(0)  # type: ignore[assignment]
            if self.stalls and self._plays_until >= self.stalls[0][0]:
                self._plays_until += self.stalls.pop(0)[1]
            self._plays_until += 0.02

    def _return(self, at: float, name: str) -> None:
        jitter = self.jitter.uniform(0, self.jitter_seconds) if self.jitter else 0.0
        heapq.heappush(self.returned, (at + self.back_seconds + jitter, name))


@dataclass
class Sentence:
    """A sentence, its audio with unique frames, and when each of its characters is heard."""

    text: str
    audio: bytes
    alignment: Alignment


def sentence_of(text: str, number: int, generator: random.Random, *, is_uniform: bool = False) -> Sentence:
    durations = [0.06 if is_uniform or character.isspace() else generator.uniform(0.04, 0.1) for character in text]
    if is_uniform:
        durations = [0.0 if character.isspace() else 0.06 for character in text]
    ends = list(itertools.accumulate(durations))
    starts = [end - duration for end, duration in zip(ends, durations, strict=True)]
    count = -(-round(ends[-1] * 8000) // FRAME)
    audio = b"".join(f"{number:02d}{index:06d}".encode() * 20 for index in range(count))
    return Sentence(text, audio, Alignment(text, tuple(starts), tuple(ends)))


def random_text(generator: random.Random) -> str:
    words = [
        "".join(generator.choices("aeioulnrst", k=generator.randint(3, 8))) for _ in range(generator.randint(1, 10))
    ]
    words = [word + ("," if generator.random() < 0.1 else "") for word in words]
    return " ".join(words).rstrip(",") + generator.choice(".?!")


def last_frames(frames: list[bytes], count: int) -> list[int]:
    """Returns how many frames of each sentence the listener heard: the furthest one, and those before it."""
    heard = [0] * count
    for frame in frames:
        number = int(frame[:2])
        heard[number] = max(heard[number], int(frame[2:8]) + 1)
    return heard


def words_heard(sentences: list[Sentence], frames: list[bytes]) -> int:
    """Returns how many words the listener heard: those whose last letter ended."""
    count = 0
    for sentence, heard in zip(sentences, last_frames(frames, len(sentences)), strict=True):
        seconds = heard * 0.02 + 1e-6
        position = 0
        for word in sentence.text.split():
            last_letter = sentence.text.index(word, position) + len(word.rstrip(",.?!")) - 1
            position = last_letter + 1
            count += sentence.alignment.ends[last_letter] <= seconds
    return count


class Run:
    """A playout before a line, in virtual time. Audio arrives in chunks, faster than it is played, or with gaps."""

    def __init__(self, line: Line, sentences: list[Sentence], generator: random.Random, *, is_aligned: bool) -> None:
        self.line, self.playout, self.now = line, Playout(), 100.0
        self.played: list[SentencePlayed] = []
        self.deliveries: list[tuple[float, int, bytes, Alignment | None, bool]] = []
        at = self.now
        for number, sentence in enumerate(sentences):
            at += generator.uniform(0, 0.3)
            size = generator.choice([len(sentence.audio), 2400, 3777])
            for start in range(0, len(sentence.audio), size):
                chunk = sentence.audio[start : start + size]
                part = part_of(sentence.alignment, start / 8000, (start + size) / 8000) if is_aligned else None
                self.deliveries.append((at, number, chunk, part, start + size >= len(sentence.audio)))
                at += generator.uniform(0, 1.2) * size / 8000
        for number, sentence in enumerate(sentences):
            self.playout.begin(1, number, sentence.text)
        self.playout.finish_turn(1)

    def until(self, end: float) -> None:
        while self.now < end:
            self.now += STEP_SECONDS
            while self.deliveries and self.deliveries[0][0] <= self.now:
                _, number, audio, alignment, is_last = self.deliveries.pop(0)
                self.playout.add(1, number, audio, alignment)
                if is_last:
                    self.playout.finish(1, number)
            self.line.advance(self.now)
            while self.line.returned and self.line.returned[0][0] <= self.now:
                if played := self.playout.mark_returned(heapq.heappop(self.line.returned)[1], self.now):
                    self.played.append(played)
            for item in self.playout.due(self.now):
                self.line.send(item, self.now)
        assert self.playout.is_audible(self.now) == (self.playout.playing(self.now) is not None)

    def clear(self) -> None:
        self.line.send("clear", self.now)

    def settle(self) -> None:
        """Lets what is under way arrive, without the playout."""
        self.line.advance(self.now + 1.0)


def part_of(alignment: Alignment, start: float, end: float) -> Alignment:
    indexes = [index for index, at in enumerate(alignment.starts) if start <= at < end]
    if not indexes:
        return Alignment("", (), ())
    return alignment.part(indexes[0], indexes[-1] + 1, start)


@pytest.mark.parametrize("is_aligned", [True, False], ids=["with alignment", "clips"])
@pytest.mark.parametrize("is_stalling", [False, True], ids=["steady line", "stalling line"])
def test_what_was_heard_ends_at_the_word_that_the_listener_heard_last(is_aligned: bool, is_stalling: bool) -> None:
    wrong = []
    for seed in range(CASES // 2):
        generator = random.Random(seed)
        sentences = [
            sentence_of(random_text(generator), number, generator, is_uniform=not is_aligned)
            for number in range(generator.randint(1, 4))
        ]
        line = Line(generator.uniform(0.01, 0.15), generator.uniform(0.01, 0.12), jitter=generator, jitter_seconds=0.08)
        run = Run(line, sentences, generator, is_aligned=is_aligned)
        total = sum(len(sentence.audio) for sentence in sentences) / 8000
        interrupted_at = run.now + generator.uniform(0, total * 1.2 + 0.5)
        if is_stalling and len(sentences) > 1:  # in the first sentence, and found out by its mark
            line.stalls = [(run.now + 0.1, generator.uniform(0.2, 0.6))]
            interrupted_at = max(interrupted_at, run.now + len(sentences[0].audio) / 8000 + 1.2)
        if not is_aligned:  # the audio of a clip is complete when it begins
            run.deliveries = [(at - 1.0, *rest) for at, *rest in run.deliveries]  # type: ignore[misc]
        run.until(interrupted_at)
        heard = run.playout.interrupt(run.now)
        run.clear()
        run.settle()
        assert heard is not None
        text = " ".join(sentence.text for sentence in sentences)
        assert text.startswith(heard.text)
        if abs(len(heard.text.split()) - words_heard(sentences, line.frames)) > 1:
            wrong.append((seed, heard.text, words_heard(sentences, line.frames)))
    assert wrong == []


def test_a_pause_skips_nothing_and_repeats_at_most_200_ms() -> None:
    for seed in range(CASES // 2):
        generator = random.Random(seed)
        sentences = [
            sentence_of(random_text(generator), number, generator) for number in range(generator.randint(1, 3))
        ]
        line = Line(generator.uniform(0.01, 0.15), generator.uniform(0.01, 0.12))
        run = Run(line, sentences, generator, is_aligned=generator.random() < 0.5)
        end = run.now + sum(len(sentence.audio) for sentence in sentences) / 8000
        for _ in range(2):
            run.until(run.now + generator.uniform(0.05, max(0.1, end - run.now)))
            run.playout.pause(run.now)
            run.clear()
            assert run.playout.due(run.now) == []
            assert not run.playout.is_audible(run.now)
            run.until(run.now + 1.0)
            run.playout.resume(run.now)
        run.until(end + 8)
        numbers = [int(frame[:2]) * 1_000_000 + int(frame[2:8]) for frame in line.frames]
        for number, following in itertools.pairwise(numbers):
            if number // 1_000_000 == following // 1_000_000:
                assert -11 <= following - number <= 1, seed
        assert last_frames(line.frames, len(sentences)) == [len(sentence.audio) // FRAME for sentence in sentences]
        assert [(played.sentence, played.is_last) for played in run.played] == [
            (number, number == len(sentences) - 1) for number in range(len(sentences))
        ]


def simple(playout: Playout, text: str = "Hola Ana, le llamamos hoy.", seconds: float = 2.0) -> None:
    playout.begin(1, 0, text)
    playout.add(1, 0, bytes(round(seconds * 8000)))
    playout.finish(1, 0)


def test_audio_is_sent_300_ms_ahead_on_a_clock_that_does_not_drift() -> None:
    playout = Playout()
    simple(playout)
    sent = [len(b"".join(item for item in playout.due(10 + at) if isinstance(item, bytes))) for at in (0, 0.02, 0.047)]
    assert sent == [2400, 160, 320]
    assert playout.lead_seconds(10.05) == pytest.approx(0.31)
    for step in range(200):
        playout.due(10.05 + step * 0.0193)
    assert playout.lead_seconds(15) == 0
    assert playout.underruns == 0


def test_marks_that_were_pending_at_a_clear_prove_nothing() -> None:
    playout = Playout()
    simple(playout, seconds=0.15)
    sent = playout.due(10.0)
    assert isinstance(sent[1], Mark)
    playout.pause(10.06)
    assert playout.mark_returned(sent[1].name, 10.07) is None
    heard = playout.heard(10.5)
    assert heard is not None
    assert heard.text == "Hola Ana,"
    assert heard.sentence_seconds == pytest.approx(0.06)
    playout.resume(11.0)
    again = [item for item in playout.due(11.0) if isinstance(item, Mark)]
    assert again
    assert again[0].name != sent[1].name
    assert playout.mark_returned("no such mark", 11.1) is None


def test_a_late_mark_corrects_the_clock() -> None:
    playout = Playout()
    simple(playout, "Uno dos.", seconds=0.4)
    playout.begin(1, 1, "Tres cuatro cinco seis.")
    playout.add(1, 1, bytes(16000))
    marks = [item for at in (10.0, 10.2, 10.4, 10.6, 10.8, 11.0) for item in playout.due(at) if isinstance(item, Mark)]
    before = playout.heard(11.2)
    assert playout.mark_returned(marks[0].name, 10.4 + 0.65) == SentencePlayed(1, 0, is_last=False)
    after = playout.heard(11.2)
    assert before is not None
    assert after is not None
    assert before.sentence_seconds - after.sentence_seconds == pytest.approx(0.5)


def test_audio_of_an_interrupted_turn_is_ignored() -> None:
    playout = Playout()
    simple(playout)
    playout.due(10.0)
    assert playout.interrupt(10.05) is not None
    playout.begin(1, 1, "Más.")
    playout.add(1, 1, bytes(1600))
    assert playout.due(10.1) == []
    assert playout.heard(10.1) is None
    assert not playout.has_unheard
    playout.begin(2, 0, "Otra.")
    playout.add(2, 0, bytes(1600))
    assert playout.due(10.2) == [bytes(1600)]


def test_nothing_heard_is_an_empty_text() -> None:
    playout = Playout()
    assert playout.interrupt(9.0) is None
    simple(playout)
    heard = playout.interrupt(10.0)
    assert heard is not None
    assert (heard.turn, heard.sentence, heard.text, heard.sentence_seconds) == (1, 0, "", 0.0)


def test_a_gap_in_a_sentence_is_an_underrun_and_one_between_sentences_is_not() -> None:
    playout = Playout()
    playout.begin(1, 0, "Hola.")
    playout.add(1, 0, bytes(1600))
    playout.due(10.0)
    playout.add(1, 0, bytes(1700))
    playout.due(10.5)
    playout.due(10.6)
    assert playout.underruns == 1
    playout.finish(1, 0)
    playout.begin(1, 1, "Adiós.")
    playout.add(1, 1, bytes(1600))
    playout.due(12.0)
    assert playout.underruns == 1


def test_a_short_word_is_an_answer_after_a_question_and_at_the_end() -> None:
    playout = Playout()
    playout.begin(1, 0, "¿Le viene bien?")
    playout.add(1, 0, bytes(8000))
    playout.finish(1, 0)
    playout.begin(1, 1, "Dígame, por favor, si prefiere otro día.", is_interruptible=False)
    playout.add(1, 1, bytes(24000))
    playout.finish(1, 1)
    flags = {}  # by steps of 50 ms
    for step in range(100):
        now = 10 + step * 0.05
        playout.due(now)
        if playing := playout.playing(now):
            flags[step] = (playing.is_answerable, playing.is_interruptible)
    assert flags[0] == (False, True)
    assert flags[14] == (True, True)
    assert flags[40] == (True, False)
    assert flags[60] == (False, False)
    playout.finish_turn(1)
    playout = Playout()
    simple(playout, seconds=1.0)
    playout.due(10.0)
    playout.due(10.2)
    playout.due(10.4)
    playout.due(10.6)
    playout.due(10.8)
    assert (playout.playing(10.7) or pytest.fail("silent")).is_answerable is False
    playout.finish_turn(1)
    assert (playout.playing(10.7) or pytest.fail("silent")).is_answerable is True
    assert playout.playing(11.05) is None
