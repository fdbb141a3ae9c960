"""What the benchmark of live conversations computes from the ledger of the simulator and from stored events."""

import json
from typing import Any

import pytest
from bench.live import conditions, ledger
from bench.live.log_events import LogEvents
from bench.live.report import print_figures
from bench.live.run import Ran
from bench.live.stages import hops, milliseconds

from voice.domain.live.turn_policy import TurnPolicy, turn_over_seconds


def sound(start: float, seconds: float, kind: str = "utterance", **further: Any) -> dict[str, Any]:
    fields = {"is_over_agent": False, "seconds_to_clear": None, "seconds_to_silence": None, "prompted_seconds": None}
    return {"kind": kind, "start_seconds": start, "seconds": seconds, **fields, **further}


def stream(**further: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"seconds": 30.0, "sounds": [], "arrivals": [], "underruns": 0, "late_seconds": 0.0}
    ends: dict[str, Any] = {
        "heard": [],
        "kind": "Stream",
        "closed_by": "server",
        "gap_seconds": None,
        "silence_gap_seconds": None,
    }
    return {**fields, **ends, **further}


def call(*streams: dict[str, Any], **further: Any) -> dict[str, Any]:
    fields = {"sid": "CA1", "to": "+12125550123", "status": "completed", "errors": []}
    return {**fields, "streams": list(streams), **further}


def test_a_response_is_the_first_audio_that_arrives_after_the_callees_last_voiced_frame() -> None:
    sounds = [sound(5.0, 2.0), sound(12.0, 1.0), sound(13.5, 0.36, kind="noise"), sound(20.0, 2.0)]
    entry = call(stream(sounds=sounds, arrivals=[0.1, 7.85, 11.0, 30.5]))
    assert [one.seconds for one in ledger.responses(entry)] == [
        pytest.approx(0.85),
        None,
        None,
    ], "no audio before the next utterance, nor within 8 seconds: no response"
    assert [one.turn for one in ledger.responses(entry)] == [1, 2, 3]
    assert ledger.responses(call(stream())) == [], "a callee who never spoke"


def test_turns_are_counted_through_all_streams_of_a_call() -> None:
    entry = call(
        stream(sounds=[sound(1.0, 1.0)], arrivals=[2.5]),
        stream(sounds=[sound(4.0, 1.0)], arrivals=[5.7], gap_seconds=0.21, silence_gap_seconds=0.4),
    )
    assert [(one.turn, one.seconds) for one in ledger.responses(entry)] == [(1, 0.5), (2, pytest.approx(0.7))]
    assert ledger.minutes([entry]) == 1.0


def test_a_reply_may_come_on_the_stream_after_its_utterance() -> None:
    first = stream(seconds=10.0, sounds=[sound(8.0, 1.5)], arrivals=[0.1])
    second = stream(sounds=[sound(9.0, 1.0)], arrivals=[0.6, 10.5], gap_seconds=0.2)
    entry = call(first, second)
    first_turn, second_turn = ledger.responses(entry)
    assert first_turn.seconds == pytest.approx(1.3)
    assert second_turn.seconds == pytest.approx(0.5)
    assert (first_turn.is_on_next_stream, second_turn.is_on_next_stream) == (True, False)
    assert ledger.failures([entry], 2) == {}


def test_an_utterance_that_a_stream_cuts_is_over_on_the_next_one() -> None:
    first = stream(seconds=10.0, sounds=[sound(9.0, 3.0)])
    entry = call(first, stream(arrivals=[0.3, 2.5], gap_seconds=0.5))
    (response,) = ledger.responses(entry)
    assert response.seconds == pytest.approx(1.0)
    assert response.is_on_next_stream
    assert ledger.spoken_seconds(entry) == 3.0


@pytest.mark.parametrize(("heard_until", "gaps"), [(29.8, [0.4]), (20.0, []), (None, [])])
def test_only_an_agent_that_was_speaking_leaves_a_gap_in_its_sound(
    heard_until: float | None, gaps: list[float]
) -> None:
    heard = [] if heard_until is None else [[15.0, heard_until]]
    entry = call(stream(heard=heard), stream(gap_seconds=0.21, silence_gap_seconds=0.4))
    assert ledger.gaps([entry]) == ([0.21], gaps)


def test_a_callee_who_answers_a_reply_that_ended_with_its_stream_leaves_no_gap_in_it() -> None:
    answered = stream(sounds=[sound(0.5, 3.0)], heard=[[4.4, 9.0]], gap_seconds=0.02, silence_gap_seconds=4.8)
    assert ledger.gaps([call(stream(heard=[[15.0, 29.9]]), answered)]) == ([0.02], [])


def test_a_call_with_a_turn_without_a_reply_or_with_an_error_is_a_failure() -> None:
    good = stream(sounds=[sound(1.0, 1.0)], arrivals=[2.5])
    lost = {"code": 31903, "reason": "connection lost"}
    late = stream(sounds=[sound(1.0, 1.0)], late_seconds=8.94, seconds=22.0, closed_by="callee")
    calls = [call(good), call(good, to="1", errors=[lost]), call(late, to="2"), call(good, to="3", status="failed")]
    assert ledger.failures(calls, 1) == {
        "1": "error 31903, connection lost; stream of 30 s, ended by server",
        "2": "completed, 0 of 1 turns have a reply; stream of 22 s, 8.9 s of them late, ended by callee",
        "3": "failed, 1 of 1 turns have a reply; stream of 30 s, ended by server",
    }
    assert list(ledger.failures(calls, 1, expected_errors=(31903,))) == ["2", "3"]


def test_a_failure_is_shown_with_what_the_system_says_of_its_streams() -> None:
    silent = call(stream(sounds=[sound(1.0, 1.0)]))
    ran = Ran(["+12125550123", "+12125550124"], [silent], {}, {}, {}, {"+12125550123": ["closed: stalled"]})
    assert ran.failures() == [
        "+12125550124: not dialled",
        "+12125550123: completed, 0 of 3 turns have a reply; stream of 30 s, ended by server; closed: stalled",
    ]


def test_a_response_over_conversation_relay_begins_with_the_words_that_were_sent() -> None:
    sounds = [sound(5.0, 2.0, prompted_seconds=7.72), sound(12.0, 1.0)]
    entry = call(stream(kind="ConversationRelay", sounds=sounds, arrivals=[0.1, 7.94, 14.0]))
    assert [one.seconds for one in ledger.responses(entry)] == [pytest.approx(0.22), None], "never sent: no response"
    [first, _] = ledger.responses(entry)
    found = hops(first, {"log_seconds": 0.002, "first_sentence_seconds": 0.208})
    assert found is not None
    assert found.log_and_model == pytest.approx(0.01)
    assert found.lines == pytest.approx(0.01)
    assert milliseconds([found]).keys() == {"log", "model", "log_and_model", "lines"}, "the provider does the rest"


def test_only_utterances_over_the_agent_are_interruptions() -> None:
    over: dict[str, Any] = {"is_over_agent": True, "seconds_to_clear": 0.12, "seconds_to_silence": 0.14}
    entry = call(stream(sounds=[sound(1.0, 1.0, **over), sound(5.0, 0.3, kind="noise", **over), sound(9.0, 1.0)]))
    assert ledger.stops([entry]) == [ledger.Stop(0.12, 0.14)]


def test_hops_are_what_remains_without_policy_and_vendors() -> None:
    latencies = {
        "endpoint_seconds": 0.502,
        "log_seconds": 0.001,
        "first_sentence_seconds": 0.205,
        "synthesis_seconds": 0.103,
        "playout_seconds": 0.002,
    }
    found = hops(ledger.Response("CA1", 1, 0.816), latencies)
    assert found is not None
    assert found.total == pytest.approx(0.816 - 0.502 - 0.2 - 0.1)
    assert found.synthesis is not None
    assert found.playout is not None
    parts = found.log + found.model + found.synthesis + found.playout + found.lines
    assert parts == pytest.approx(found.total), "the stages together are the hops"
    assert found.log_and_model == pytest.approx(found.log + found.model)
    assert found.endpoint == pytest.approx(0.002)
    assert milliseconds([found])["playout"] == pytest.approx((2.0, 2.0))


LATENCIES = ("endpoint_seconds", "first_sentence_seconds", "synthesis_seconds", "playout_seconds")


@pytest.mark.parametrize("missing", LATENCIES)
def test_a_turn_without_all_latencies_has_no_hops(missing: str) -> None:
    latencies = {name: None if name == missing else 0.1 for name in LATENCIES}
    assert hops(ledger.Response("CA1", 1, 1.0), latencies) is None
    assert hops(ledger.Response("CA1", 1, None), dict.fromkeys(LATENCIES, 0.1)) is None
    assert milliseconds([]) == {}


def test_events_of_the_log_are_collected_by_call_and_turn() -> None:
    events = LogEvents()
    played = {"turn": 1, "latencies": {"log_seconds": 0.001}, "pauses": 1, "resumes": 1}
    events.add("speech.heard.a", json.dumps({"turn": 1, "spoken_seconds": 1.5}).encode())
    events.add("speech.played.a", json.dumps(played).encode() + b"\0sealed")
    events.add("speech.played.a", json.dumps({"turn": 2}).encode())
    events.add("reply.generated.a", json.dumps({"turn": 1}).encode())
    events.add("reply.generated.a", json.dumps({"turn": 1}).encode())
    events.add("telephony.media_closed.a", json.dumps({"reason": "stalled"}).encode())
    events.add("telephony.media_degraded.a", json.dumps({"reason": "synthesis"}).encode())
    events.add("call.concluded.a.completed", b"{}")
    assert events.latencies["a"] == {1: {"log_seconds": 0.001}, 2: {}}
    assert dict(events.spoken_seconds) == {"a": 1.5}
    assert (events.total("speech.heard"), events.answered_twice()) == (1, 1)
    assert events.ends["a"] == ["closed: stalled", "degraded: synthesis"]
    assert (events.pauses.total(), events.resumes.total(), events.statuses) == (1, 1, {"a": "completed"})


def test_the_policy_of_voice_ends_each_phrase_after_the_silence_of_the_floor() -> None:
    policy = TurnPolicy()
    assert policy.commit_after_seconds == conditions.COMMIT_AFTER_SECONDS
    found = {text: turn_over_seconds(text, "en", policy) for text in conditions.PHRASES}
    assert found == dict.fromkeys(conditions.PHRASES, conditions.TURN_OVER_SECONDS)


def test_ours_is_compared_with_the_floor(capsys: pytest.CaptureFixture[str]) -> None:
    relay = {"lines": 5.0}
    columns = {"floor": {"underruns": 0.0, "lines": 2.5}, "ours": {"underruns": 1.0, "lines": 3.75}, "relay": relay}
    print_figures("3 calls", columns)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert ["underruns", "0", "1", "", "1", "", "", "", "≤ floor"] in rows
    assert ["lines", "2.5", "3.8", "5", "1.2", "1.5", "2.5", "2", ""] in rows
