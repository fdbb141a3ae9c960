"""What follows the end of a media stream: the end of the call, another stream, or turns from here on."""

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

import pytest

from contracts.vocabulary import (
    CallStatus,
    ConversationMode,
    DegradationReason,
    MediaClosedReason,
    MediaLostReason,
)
from edge.domain.decisions import Decision, Degrade, OptOut, ReportLoss
from edge.domain.dialogue import decide
from edge.domain.dialogue_state import Dialogue
from edge.domain.occurrences import Answered, StreamEnded
from edge.domain.streams import MAX_FAILED_STREAMS, MAX_REFUSALS, Streams
from telephony.instructions import HangUp, Listen, OpenStream, PlayGreeting, PlayTurn, RestartMessage, SpeakGoodbye

CALL = UUID("5f0c9d5e-7d0a-5c43-9a43-6f0f6d1f7c11")
LIVE = Dialogue(
    CALL,
    language="es",
    attempt=2,
    status=CallStatus.IN_PROGRESS,
    is_line_open=True,
    last_turn=3,
    opt_out_key="9",
    mode=ConversationMode.LIVE,
    streams=Streams(is_configured=True),
)
GREETING = PlayGreeting(CALL, 2, "es", hears_keys=True)
REPLY = PlayTurn(CALL, 2, "es", 3, hears_keys=True)
Closed = Mapping[int, MediaClosedReason]


def after(
    closed: Closed, *, generation: int = 1, lost: frozenset[int] = frozenset(), played: frozenset[int] = frozenset()
) -> Dialogue:
    opened = frozenset(range(1, generation + 1))
    return replace(LIVE, streams=Streams(True, opened, closed, lost, played_turns=played))


def ended(generation: int = 1) -> StreamEnded:
    return StreamEnded(2, generation)


def test_a_live_call_that_is_answered_opens_its_first_stream() -> None:
    assert decide(LIVE, Answered(2)) == OpenStream(CALL, 2, 1)
    assert decide(replace(LIVE, mode=ConversationMode.TURN_BASED), Answered(2)) == GREETING


def test_a_call_whose_provider_speaks_has_streams_of_text() -> None:
    relay = replace(LIVE, mode=ConversationMode.RELAY, voice="v-1")
    first = OpenStream(CALL, 2, 1, "es", is_relay=True, voice="v-1")
    assert decide(relay, Answered(2)) == first
    dropped = replace(relay, streams=after({1: MediaClosedReason.DROPPED}).streams)
    assert decide(dropped, ended()) == replace(first, generation=2)
    refused = replace(relay, streams=Streams(True, lost=frozenset({1, 2})))
    assert decide(refused, ended(2)) == replace(first, generation=3, pause_seconds=1)
    failed = replace(relay, streams=after(dict.fromkeys((1, 2, 3), MediaClosedReason.DROPPED), generation=3).streams)
    assert decide(failed, ended(3)) == Degrade(DegradationReason.LOST_STREAMS, REPLY)


def test_without_an_address_for_streams_a_live_call_goes_on_in_turns() -> None:
    dialogue = replace(LIVE, streams=Streams(is_configured=False))
    assert decide(dialogue, Answered(2)) == Degrade(DegradationReason.NOT_CONFIGURED, GREETING)
    degraded = replace(LIVE, streams=Streams(is_configured=True, is_degraded=True))
    assert decide(degraded, Answered(2)) == GREETING, "the webhook is repeated"


@pytest.mark.parametrize(
    ("opened", "reason"), [(frozenset({1}), MediaLostReason.DIED), (frozenset(), MediaLostReason.NEVER_OPENED)]
)
def test_a_stream_whose_process_said_nothing_is_reported_as_lost(
    opened: frozenset[int], reason: MediaLostReason
) -> None:
    dialogue = replace(LIVE, streams=Streams(True, opened))
    assert decide(dialogue, ended()) == ReportLoss(1, reason)
    reported = replace(dialogue, streams=Streams(True, opened, lost=frozenset({1})))
    assert decide(reported, ended()) == OpenStream(CALL, 2, 2)


@pytest.mark.parametrize("reason", [MediaClosedReason.DRAINED, MediaClosedReason.DROPPED, MediaClosedReason.MALFORMED])
def test_another_process_continues_in_the_next_stream(reason: MediaClosedReason) -> None:
    assert decide(after({1: reason}), ended()) == OpenStream(CALL, 2, 2)
    assert decide(after({1: reason}), ended()) == OpenStream(CALL, 2, 2), "a repeated webhook has the same answer"


@pytest.mark.parametrize(
    ("reason", "degradation"),
    [
        (MediaClosedReason.TRANSCRIPTION, DegradationReason.TRANSCRIPTION),
        (MediaClosedReason.SYNTHESIS, DegradationReason.SYNTHESIS),
    ],
)
def test_without_a_transcriber_or_a_voice_the_conversation_goes_on_in_turns(
    reason: MediaClosedReason, degradation: DegradationReason
) -> None:
    assert decide(after({1: reason}), ended()) == Degrade(degradation, REPLY)


def test_a_callee_who_gets_no_reply_hears_an_apology_and_the_call_ends() -> None:
    apology = SpeakGoodbye("es", "Lo siento, no puedo continuar con la llamada. Adiós.")
    assert decide(after({1: MediaClosedReason.UNANSWERED}), ended()) == apology
    assert decide(after({1: MediaClosedReason.UNANSWERED}, played=frozenset({2, 3})), ended()) == apology
    closed = replace(after({1: MediaClosedReason.UNANSWERED}), is_line_open=False)
    assert decide(closed, ended()) == HangUp()


def test_after_too_many_failed_streams_the_conversation_goes_on_in_turns() -> None:
    drained = dict.fromkeys(range(1, 9), MediaClosedReason.DRAINED)
    assert decide(after(drained, generation=8), ended(8)) == OpenStream(CALL, 2, 9), "a drain is no failure"
    failed: Closed = {1: MediaClosedReason.DROPPED}
    lost = frozenset(range(2, MAX_FAILED_STREAMS + 1))
    expected = Degrade(DegradationReason.LOST_STREAMS, REPLY)
    last = MAX_FAILED_STREAMS
    assert decide(after(failed, generation=last, lost=lost), ended(last)) == expected
    assert decide(after({}, generation=2, lost=frozenset({1, 2})), ended(2)) == OpenStream(CALL, 2, 3)


def refused(generation: int, *, opened: frozenset[int] = frozenset(), closed: Closed | None = None) -> Dialogue:
    """Returns the dialogue after streams that no process accepted, up to this one."""
    lost = frozenset(range(max(opened, default=0) + 1, generation + 1))
    return replace(LIVE, streams=Streams(True, opened, closed or {}, lost))


def test_a_refused_stream_is_followed_by_another_one_and_further_ones_by_a_pause() -> None:
    assert decide(refused(1), ended(1)) == OpenStream(CALL, 2, 2)
    waiting = OpenStream(CALL, 2, 3, "es", pause_seconds=1)
    assert decide(refused(2), ended(2)) == waiting, "nothing is said before a disclosure"
    assert decide(refused(MAX_REFUSALS - 1), ended(MAX_REFUSALS - 1)).pause_seconds == 1  # type: ignore[union-attr]
    expected = Degrade(DegradationReason.LOST_STREAMS, REPLY)
    assert decide(refused(MAX_REFUSALS), ended(MAX_REFUSALS)) == expected


def test_a_callee_who_was_spoken_with_is_asked_to_wait_while_no_process_accepts_the_stream() -> None:
    opened, closed = frozenset({1}), {1: MediaClosedReason.DRAINED}
    assert decide(refused(2, opened=opened, closed=closed), ended(2)) == OpenStream(CALL, 2, 3)
    waiting = OpenStream(CALL, 2, 4, "es", "Un momento, por favor.", 1)
    assert decide(refused(3, opened=opened, closed=closed), ended(3)) == waiting


def test_refusals_before_a_stream_that_opened_do_not_count() -> None:
    streams = Streams(True, frozenset({4, 5}), {4: MediaClosedReason.DROPPED}, frozenset({1, 2, 3, 5, 6, 7}))
    dialogue = replace(LIVE, streams=streams)
    assert decide(dialogue, ended(7)) == OpenStream(CALL, 2, 8, "es", "Un momento, por favor.", 1)
    assert decide(dialogue, ended(5)) == OpenStream(CALL, 2, 6), "a repeated webhook has the same answer"


def test_in_turns_the_reply_that_was_heard_to_its_end_is_not_played_again() -> None:
    heard = after({1: MediaClosedReason.SYNTHESIS}, played=frozenset({0, 3}))
    listen = Listen(CALL, 2, "es", 3, hears_keys=True)
    assert decide(heard, ended()) == Degrade(DegradationReason.SYNTHESIS, listen)
    degraded = replace(heard, streams=replace(heard.streams, is_degraded=True))
    assert decide(degraded, ended()) == listen, "a repeated webhook appends nothing"
    greeting = replace(after({1: MediaClosedReason.SYNTHESIS}), last_turn=0)
    assert decide(greeting, ended()) == Degrade(DegradationReason.SYNTHESIS, GREETING)


def test_the_call_ends_once_its_goodbye_was_heard() -> None:
    assert decide(replace(after({1: MediaClosedReason.GOODBYE}), has_ended=True), ended()) == HangUp()
    heard = after({1: MediaClosedReason.DROPPED}, played=frozenset({3}))
    assert decide(replace(heard, has_ended=True), ended()) == HangUp()
    unheard = after({1: MediaClosedReason.DROPPED}, played=frozenset({2}))
    assert decide(replace(unheard, has_ended=True), ended()) == OpenStream(CALL, 2, 2), "the goodbye is said again"


def test_the_opt_out_key_ends_the_stream_and_is_stored_also_when_the_line_is_closed() -> None:
    pressed = after({1: MediaClosedReason.OPTED_OUT})
    expected: Decision = OptOut(2, "9", f"{CALL}/2/1")
    assert decide(pressed, ended()) == expected
    assert decide(replace(pressed, is_line_open=False), ended()) == expected
    assert decide(replace(pressed, attempt=3), ended()) == HangUp(), "the stream of an earlier attempt"


def test_a_call_that_is_over_and_a_machine_open_no_stream() -> None:
    assert decide(replace(LIVE, is_line_open=False), ended()) == HangUp()
    assert decide(LIVE, StreamEnded(1, 1)) == HangUp()
    machine = replace(after({1: MediaClosedReason.HANG_UP}), message="Hello.")
    assert decide(machine, ended()) == RestartMessage(CALL, 2)
