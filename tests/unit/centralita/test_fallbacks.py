"""What the faults demo asks for, and how it judges what it got."""

import re
from uuid import UUID

import pytest

from centralita.demo.campaign import requests
from centralita.demo.fallbacks import BREAKERS, MODEL, SPEECH, BreakerBook, Ladder, source_of
from centralita.demo.faults import PHASES, SETTINGS, Phase, with_script_lines
from contracts import AudioFailed, AudioReady, ConversationEnded, Disposition, Event, ReplyGenerated, ReplySource
from contracts.script import fallback_line
from contracts.vocabulary import SpeechFallback

ID = UUID(int=7)
WELL = BreakerBook(opened=2, closed=1, state=0)
USED = dict.fromkeys((*SPEECH, *MODEL), 1)


def ready(fallback: SpeechFallback | None) -> Event:
    return AudioReady(
        call_id=ID,
        attempt=1,
        turn=1,
        sentence=0,
        digest="d",
        duration_seconds=1,
        is_cached=False,
        provider="p",
        fallback=fallback,
    )


def failed(fallback: str | None) -> Event:
    return AudioFailed(call_id=ID, attempt=1, turn=1, sentence=0, reason="?", fallback=fallback)


def ended(disposition: Disposition) -> Event:
    return ConversationEnded(call_id=ID, attempt=1, turn=1, disposition=disposition, summary="")


@pytest.mark.parametrize(
    ("event", "step"),
    [
        (ready(None), "voice"),
        (ready(SpeechFallback.CLIP), "clip"),
        (failed("say"), "say"),
        (failed(None), None),
        (ended(Disposition.TECHNICAL_FAILURE), "technical_failure"),
        (ended(Disposition.CONFIRMED), None),
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
            "script_line",
        ),
    ],
)
def test_each_event_tells_of_its_step(event: Event, step: str | None) -> None:
    assert source_of(event) == step


def test_a_run_that_used_every_step_and_closed_every_breaker_has_no_problems() -> None:
    assert Ladder(USED, dict.fromkeys(BREAKERS, WELL)).problems == []


@pytest.mark.parametrize(
    ("book", "problem"),
    [
        (BreakerBook(), "never opened"),
        (BreakerBook(opened=1, state=2), "is not closed again"),
        (BreakerBook(opened=2, closed=1, state=1), "is not closed again"),
    ],
)
def test_a_breaker_that_did_not_open_and_close_again_is_a_problem(book: BreakerBook, problem: str) -> None:
    [found] = Ladder(USED, {**dict.fromkeys(BREAKERS, WELL), "openai": book}).problems
    assert found == f"breaker openai {problem}"


def test_a_step_that_was_not_used_is_a_problem() -> None:
    assert Ladder({**USED, "clip": 0}, {}).problems == ["step clip was not used"]


def test_a_phase_lasts_until_what_it_is_for_has_been_seen() -> None:
    phase = Phase("", steps=("clip",), opened=("openai",), closed=("elevenlabs",))
    known = {"openai": BreakerBook(), "elevenlabs": BreakerBook(opened=1)}
    assert phase.missing({}, known) == ["step clip", "openai opened", "elevenlabs closed again"]
    assert phase.missing({"clip": 1}, {"openai": WELL, "elevenlabs": WELL}) == []


def test_every_step_and_every_breaker_has_a_phase() -> None:
    assert {step for phase in PHASES for step in phase.steps} == {*SPEECH, *MODEL}
    assert {name for phase in PHASES for name in phase.opened} == set(BREAKERS)
    assert set(PHASES[-1].closed) == set(BREAKERS)
    assert PHASES[-1].rules == ()


def test_a_failing_first_model_is_told_from_the_second_by_what_is_asked_for() -> None:
    rules = next(phase.rules for phase in PHASES if "second_model" in phase.steps)
    assert [bool(re.search(rule["request_body"], f'{{"model":"{SETTINGS["OPENAI_MODEL"]}"}}')) for rule in rules] == [
        True,
        False,
    ]
    assert not any(
        re.search(rule["request_body"], f'{{"model":"{SETTINGS["OPENAI_FALLBACK_MODEL"]}"}}') for rule in rules
    )


def test_only_the_english_scripts_have_a_line_of_their_own() -> None:
    for request in with_script_lines(requests(run="x", count=6)):
        assert (fallback_line(request.script_template) is not None) is (request.language == "en")
