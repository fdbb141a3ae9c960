"""The faults demo: its phases, and its judgement of the fallbacks that were used."""

import re
from uuid import UUID

import pytest

from centralita.demo.campaign import requests
from centralita.demo.fallbacks import BREAKERS, MODEL, SPEECH, BreakerCounts, FallbackUsage, sources_of
from centralita.demo.faults import PHASES, SETTINGS, Phase, with_script_lines
from contracts import (
    AudioFailed,
    AudioReady,
    ConversationEnded,
    Disposition,
    Event,
    ReplyGenerated,
    ReplySource,
    SentenceAudio,
)
from contracts.script import render_fallback_line
from contracts.vocabulary import SpeechFallback

ID = UUID(int=7)
RECOVERED = BreakerCounts(opened=2, closed=1, state=0)
USED = dict.fromkeys((*SPEECH, *MODEL), 1)


def audio(sentence: int, fallback: SpeechFallback | None) -> SentenceAudio:
    return SentenceAudio(
        sentence=sentence, digest="d", duration_seconds=1, is_cached=False, provider="p", fallback=fallback
    )


def ready(*fallbacks: SpeechFallback | None) -> Event:
    first, *later = [audio(number, fallback) for number, fallback in enumerate(fallbacks)]
    return AudioReady(call_id=ID, attempt=1, turn=1, later=tuple(later), **first.model_dump())


def failed(fallback: str | None) -> Event:
    return AudioFailed(call_id=ID, attempt=1, turn=1, sentence=0, reason="?", fallback=fallback)


def ended(disposition: Disposition) -> Event:
    return ConversationEnded(call_id=ID, attempt=1, turn=1, disposition=disposition, summary="")


@pytest.mark.parametrize(
    ("event", "sources"),
    [
        (ready(None), ["voice"]),
        (ready(SpeechFallback.CLIP, None), ["clip", "voice"]),
        (failed("say"), ["say"]),
        (failed(None), []),
        (ended(Disposition.TECHNICAL_FAILURE), ["technical_failure"]),
        (ended(Disposition.CONFIRMED), []),
        (
            ReplyGenerated(
                call_id=ID,
                attempt=1,
                turn=1,
                text="",
                sentences=0,
                model="m",
                latency_seconds=1,
                source=ReplySource.SCRIPT_LINE,
            ),
            ["script_line"],
        ),
    ],
)
def test_each_event_records_the_use_of_its_sources(event: Event, sources: list[str]) -> None:
    assert sources_of(event) == sources


def test_a_run_that_used_every_source_and_closed_every_breaker_has_no_problems() -> None:
    assert FallbackUsage(USED, dict.fromkeys(BREAKERS, RECOVERED)).problems == []


@pytest.mark.parametrize(
    ("counts", "problem"),
    [
        (BreakerCounts(), "never opened"),
        (BreakerCounts(opened=1, state=2), "is not closed again"),
        (BreakerCounts(opened=2, closed=1, state=1), "is not closed again"),
    ],
)
def test_a_breaker_that_did_not_open_and_close_again_is_a_problem(counts: BreakerCounts, problem: str) -> None:
    [found] = FallbackUsage(USED, {**dict.fromkeys(BREAKERS, RECOVERED), "openai": counts}).problems
    assert found == f"breaker openai {problem}"


def test_a_source_that_was_not_used_is_a_problem() -> None:
    assert FallbackUsage({**USED, "clip": 0}, {}).problems == ["clip was not used"]


def test_a_phase_lasts_until_its_sources_were_used_and_its_breakers_moved() -> None:
    phase = Phase("", sources=("clip",), opened=("openai",), closed=("elevenlabs",))
    known = {"openai": BreakerCounts(), "elevenlabs": BreakerCounts(opened=1)}
    assert phase.missing({}, known) == ["use of clip", "openai opened", "elevenlabs closed again"]
    assert phase.missing({"clip": 1}, {"openai": RECOVERED, "elevenlabs": RECOVERED}) == []


def test_every_source_and_every_breaker_has_a_phase() -> None:
    assert {source for phase in PHASES for source in phase.sources} == {*SPEECH, *MODEL}
    assert {name for phase in PHASES for name in phase.opened} == set(BREAKERS)
    assert set(PHASES[-1].closed) == set(BREAKERS)
    assert PHASES[-1].rules == ()


def test_requests_to_the_first_model_fail_and_requests_to_the_second_do_not() -> None:
    rules = next(phase.rules for phase in PHASES if "second_model" in phase.sources)
    assert [bool(re.search(rule["request_body"], f'{{"model":"{SETTINGS["OPENAI_MODEL"]}"}}')) for rule in rules] == [
        True,
        False,
    ]
    assert not any(
        re.search(rule["request_body"], f'{{"model":"{SETTINGS["OPENAI_FALLBACK_MODEL"]}"}}') for rule in rules
    )


def test_only_the_english_scripts_have_a_fallback_line() -> None:
    for request in with_script_lines(requests(run="x", count=6)):
        script = request.script_template or ""
        assert (render_fallback_line(script, request.variables) is not None) is (request.language == "en")
