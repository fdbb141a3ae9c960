"""The timeline of a call in groups, and its conversation with the facts of each turn."""

from typing import Any

import pytest

from centralita_console.call_conversation import conversation_of
from centralita_console.call_story import Group, groups_of, turn_starts
from records.decisions import inputs_of


def event(sequence: int, name: str, second: int, **data: Any) -> dict[str, Any]:
    time = f"2026-11-29T12:{second // 60:02}:{second % 60:02}+00:00"
    return {"sequence": sequence, "type": f"{name}.v2", "time": time, "source": "voice", "data": data, "unreadable": []}


def decision(sequence: int, second: int, status: str, attempt: int, reason: str | None = None) -> dict[str, Any]:
    call = {"status": status, "attempt": attempt, "reason": reason}
    return event(sequence, "call.status_changed", second, call=call, status=status, reason=reason, attempt=attempt)


EVENTS = [
    event(1, "call.created", 0, call={"status": "pending", "attempt": 0, "reason": None}),
    decision(3, 1, "dialing", 1),
    event(4, "dial.claimed", 1, attempt=1),
    event(5, "telephony.status_reported", 2, attempt=1, status="busy", provider_call_id="CA1"),
    decision(6, 2, "pending", 1, "busy"),
    decision(8, 600, "dialing", 2),
    event(9, "speech.heard", 610, attempt=2, turn=1, text="Yes?", confidence=0.87),
    event(
        10,
        "reply.generated",
        611,
        attempt=2,
        turn=1,
        text="Hello.",
        model="m",
        prompt_tokens=80,
        completion_tokens=9,
        first_token_seconds=0.4,
        latency_seconds=0.9,
        is_fallback=True,
    ),
    event(11, "audio.ready", 612, attempt=2, turn=1, provider="elevenlabs", is_cached=True, first_byte_seconds=0.2),
    decision(12, 620, "completed", 2),
]


def story(at: int) -> dict[str, Any]:
    """Returns the story after a sequence, with a request and a grant of the call."""
    shown = [one for one in EVENTS if one["sequence"] <= at]
    entries = [
        {
            "stream": "CALLS",
            "sequence": one["sequence"],
            "at": one["time"],
            "event": one["type"].rpartition(".v")[0],
            "text": f"text {one['sequence']}",
        }
        for one in shown
    ]
    request = {
        "stream": "REQUESTS",
        "sequence": 5,
        "at": EVENTS[0]["time"],
        "event": "call.requested",
        "text": "spring",
    }
    spoken = [
        {"at": one["time"], "attempt": 2, "turn": 1, "speaker": speaker, "text": one["data"]["text"]}
        for one in shown
        if (speaker := {"speech.heard.v2": "callee", "reply.generated.v2": "agent"}.get(one["type"]))
    ]
    return {"sequence": at, "timeline": [request, *entries], "conversation": spoken}


def test_events_are_grouped_by_attempt_with_its_outcome_and_the_wait_before_it() -> None:
    groups = groups_of(story(12), EVENTS)

    assert [(group.attempt, group.status, group.reason, group.is_failure) for group in groups] == [
        (0, "pending", "", False),
        (1, "pending", "busy", True),
        (2, "completed", "", True),  # its reply was a fallback
    ]
    assert [group.waited_seconds for group in groups] == [None, None, 598]
    assert [line.event for line in groups[0].lines] == ["call.requested", "call.created"]


def test_a_request_is_not_taken_for_the_event_with_the_same_sequence() -> None:
    request, *_ = groups_of(story(12), EVENTS)[0].lines

    assert (request.stream, request.is_failure, request.text) == ("REQUESTS", False, "spring")


def test_the_events_of_a_turn_are_one_step() -> None:
    attempt = groups_of(story(12), EVENTS)[2]

    assert [(step.turn, [line.sequence for line in step.lines]) for step in attempt.steps] == [
        (None, [8]),
        (1, [9, 10, 11]),
        (None, [12]),
    ]


def test_events_after_the_shown_sequence_have_a_name_and_no_text() -> None:
    lines = [line for group in groups_of(story(6), EVENTS) for line in group.lines]

    assert [(line.sequence, line.text) for line in lines if line.is_later] == [(n, "") for n in (8, 9, 10, 11, 12)]
    assert not any(line.is_later for line in lines if line.sequence <= 6)
    assert groups_of(story(6), EVENTS)[2].status == ""


def test_a_line_of_the_conversation_has_the_facts_of_its_events() -> None:
    heard, replied = conversation_of(story(12), EVENTS)

    assert (heard.speaker, heard.notes, heard.waterfall) == ("callee", ("87%",), None)
    assert replied.notes == ("m", "80 → 9", "fallback", "elevenlabs", "clip")
    assert replied.waterfall
    stages = [(stage.name, stage.starts_at, round(stage.seconds, 3)) for stage in replied.waterfall.stages]
    assert stages == [("model", 0.0, 0.4), ("sentence", 0.4, 0.5), ("voice", 0.9, 0.2)]
    assert replied.waterfall.silence == pytest.approx(1.1)
    assert replied.waterfall.complete == 0.9


def test_facts_that_follow_the_shown_sequence_are_left_out() -> None:
    *_, replied = conversation_of(story(10), EVENTS)

    assert replied.notes == ("m", "80 → 9", "fallback")
    assert replied.waterfall
    assert (replied.waterfall.silence, [one.name for one in replied.waterfall.stages]) == (None, ["model", "sentence"])


def test_an_event_that_cannot_be_decoded_is_a_line_of_its_attempt() -> None:
    unreadable = {**event(7, "dial.novel", 3), "type": "dial.novel", "unreadable": ["no such type"]}

    groups = groups_of(story(6), [*EVENTS[:5], unreadable])

    assert [line.event for line in groups[1].lines][-1] == "dial.novel"


def steps(*events: dict[str, Any]) -> list[Group]:
    """Returns the groups of a call with these events."""
    entries = [
        {"stream": "CALLS", "sequence": one["sequence"], "at": one["time"], "event": one["type"][:-3], "text": ""}
        for one in events
    ]
    return groups_of({"sequence": events[-1]["sequence"], "timeline": entries, "conversation": []}, events)


def test_a_deadline_is_one_step_with_the_decision_that_follows_it() -> None:
    [group] = steps(
        decision(1, 0, "pending", 0),
        event(2, "timer.due", 1),
        decision(3, 1, "pending", 0),
        decision(4, 1, "pending", 0),
        event(5, "timer.due", 2),
        event(6, "speech.heard", 3, attempt=0, turn=1),
    )

    found = [(step.is_deadline, [line.sequence for line in step.lines]) for step in group.steps]
    assert found == [(False, [1]), (True, [2, 3]), (False, [4]), (True, [5]), (False, [6])]


def test_a_long_wait_within_an_attempt_is_shown_before_the_next_event() -> None:
    [group] = steps(decision(1, 0, "pending", 0), decision(2, 5, "pending", 0), decision(3, 125, "pending", 0))

    assert [(step.waited_seconds, len(step.lines)) for step in group.steps] == [(None, 2), (120, 1)]
    assert [line.offset_seconds for line in group.lines] == [0, 5, 125]
    assert group.seconds == 125


def test_an_attempt_that_is_dialled_again_shows_why_the_network_ended_it() -> None:
    _, first, second = groups_of(story(12), EVENTS)

    assert (first.outcome, second.outcome) == ("busy", "completed")


def test_the_steps_of_the_slider_are_attempts_and_turns() -> None:
    assert turn_starts(groups_of(story(12), EVENTS)) == [3, 8, 9]


def test_a_line_does_not_repeat_the_attempt_and_the_turn_of_its_group() -> None:
    texts = {
        "attempt 2: busy (SIP 486)": "busy (SIP 486)",
        "turn 12: attempt 3: yes": "attempt 3: yes",
        "ringing → pending (busy), attempt 1": "ringing → pending (busy)",
        "turn 1, sentence 0: Hello.": "sentence 0: Hello.",
        "attempt": "attempt",
    }
    entries = [
        {"stream": "CALLS", "sequence": n, "at": EVENTS[0]["time"], "event": "dial.placed", "text": text}
        for n, text in enumerate(texts, 1)
    ]
    [group] = groups_of({"sequence": 99, "timeline": entries, "conversation": []}, [])

    assert [line.text for line in group.lines] == list(texts.values())


def test_a_decision_shows_its_rule_its_inputs_and_the_version_of_the_policy() -> None:
    hours = {"days": ["mon", "tue"], "opens_at": "09:00", "closes_at": "18:00"}
    permission = {
        "rule": "calling_hours",
        "detail": "it is 10:00",
        "policy_version": "v1",
        "campaign": {"purpose": "sales", "weekly_hours": [hours], "do_not_call_lists": []},
        "until": None,
    }

    assert inputs_of({"permission": permission}) == {
        "rule": "calling_hours",
        "detail": "it is 10:00",
        "policy_version": "v1",
        "purpose": "sales",
        "weekly_hours": "days: mon; tue, opens_at: 09:00, closes_at: 18:00",
    }
    assert inputs_of({"permission": None}) == {}
