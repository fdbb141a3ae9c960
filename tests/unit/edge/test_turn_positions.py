"""The sequence in a URL saves reads and decides nothing: a wrong one, or a node that lags, changes no turn."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders.calls import a_call
from tests.builders.events import call_created, status_changed
from tests.fakes.event_log import FakeEventLog
from tests.fakes.speech import FakeSpeech

from chassis.event_log import StoredEvent
from contracts import AudioFailed, ConversationEnded, Disposition, Event, SpeechHeard, TelephonyStatusReported
from contracts.vocabulary import CallStatus, TelephonyStatus
from edge.application.dialogue import DialogueService
from edge.domain.occurrences import Occurrence, RemainderReported, UtteranceReceived
from telephony.instructions import HangUp, Instruction, Utterance
from telephony.provider import Report

CALL = a_call(CallStatus.IN_PROGRESS, attempt=2)
FIRST = CALL.model_copy(update={"attempt": 1})
ID = CALL.call_id


@dataclass
class ReadLog(FakeEventLog):
    """A log that records its reads. Its other nodes lack the newest `lag` events."""

    lag: int = 0
    asked: list[str] = field(default_factory=list)

    def _known(self) -> "FakeEventLog":
        return FakeEventLog(self.stored[: len(self.stored) - self.lag])

    async def last(self, subject: str) -> StoredEvent | None:
        self.asked.append("leader")
        return await super().last(subject)

    async def last_of_any_node(self, subject: str) -> StoredEvent | None:
        self.asked.append("node")
        return await self._known().last(subject)

    async def read(self, subjects: Sequence[str], *, after_sequence: int = 0) -> list[StoredEvent]:
        self.asked += ["leader"] * len(subjects)
        return await super().read(subjects, after_sequence=after_sequence)

    async def read_after(
        self,
        subject: str,
        after_sequence: int,
        *,
        known_sequence: int | None = None,
        kinds: Collection[type[Event]] | None = None,
    ) -> list[StoredEvent]:
        self.asked.append("node")
        return await self._known().read_after(subject, after_sequence, kinds=kinds)


def heard(turn: int, attempt: int = 2, granted_sequence: int | None = None) -> SpeechHeard:
    return SpeechHeard(
        call_id=ID, attempt=attempt, turn=turn, text="hola", language="es", granted_sequence=granted_sequence
    )


def received(turn: int, *, after_sequence: int = 0, text: str = "hola", turn_in_id: int | None = None) -> Occurrence:
    utterance = Utterance(text, None, f"twilio/CA2/heard/{turn_in_id or turn}")
    return UtteranceReceived(2, turn, utterance, False, after_sequence)


def talking(*, lag: int = 0, granted_sequence: int | None = None) -> ReadLog:
    """Returns the log of a call whose second attempt has two turns; the first attempt had three."""
    log = ReadLog(lag=lag)
    log.store(call_created(FIRST))
    for turn in (1, 2, 3):
        log.store(heard(turn, attempt=1))
    log.store(status_changed(CALL.model_copy(update={"granted_sequence": granted_sequence})))
    log.store(heard(1), "twilio/CA2/heard/1")
    log.store(heard(2), "twilio/CA2/heard/2")
    return log


async def test_an_utterance_reads_the_call_from_the_leader_and_one_page() -> None:
    log = talking()

    await DialogueService(log, FakeSpeech()).respond(ID, received(3, after_sequence=len(log.stored)))

    assert log.asked == ["leader", "node"]
    assert log.stored[-1].event == heard(3)


async def test_an_answered_call_reads_the_call_from_the_leader_and_the_failed_audio() -> None:
    log = talking()
    answered = TelephonyStatusReported(
        call_id=ID, attempt=2, provider_call_id="CA2", status=TelephonyStatus.IN_PROGRESS
    )

    await DialogueService(log, FakeSpeech()).answer(Report(answered, "twilio/CA2/answer"))

    assert sorted(log.asked) == ["leader", "node"]


async def test_a_repeated_webhook_reads_the_same_and_appends_nothing() -> None:
    log = talking()
    before = len(log.stored)

    again = await DialogueService(log, FakeSpeech()).respond(ID, received(2, after_sequence=6))

    assert log.asked == ["leader", "node"]
    assert (len(log.stored), again) == (before, await DialogueService(talking(), FakeSpeech()).respond(ID, received(2)))


async def test_the_first_utterance_of_an_attempt_reads_one_page_from_its_grant() -> None:
    log = ReadLog()
    log.store(call_created(FIRST))
    grant = log.store(heard(1, attempt=1)).sequence  # an event with the sequence of the grant
    log.store(status_changed(CALL.model_copy(update={"granted_sequence": grant})))

    await DialogueService(log, FakeSpeech()).respond(ID, received(1))

    # The guard names the subject, on which an earlier attempt spoke: it conflicts once, and all is read.
    assert log.asked[:2] == ["leader", "node"]
    assert log.events(SpeechHeard) == [heard(1, attempt=1), heard(1, granted_sequence=grant)]


@pytest.mark.parametrize(("after_sequence", "pages"), [(4, 0), (5, 0), (6, 1), (8, 1), (100, 1)])
async def test_an_utterance_with_a_wrong_sequence_reads_all_from_the_leader(after_sequence: int, pages: int) -> None:
    log = talking(granted_sequence=5)

    await DialogueService(log, FakeSpeech()).respond(ID, received(3, after_sequence=after_sequence))

    assert log.asked == ["leader", *["node"] * pages, *["leader"] * 3]
    assert log.stored[-1].event == heard(3, granted_sequence=5)


ENDED = ConversationEnded(call_id=ID, attempt=2, turn=2, disposition=Disposition.CONFIRMED, summary="")
EVENTS = st.sampled_from(
    [
        *(heard(turn, attempt) for turn in (1, 2, 3) for attempt in (1, 2)),
        ENDED,
        ConversationEnded(call_id=ID, attempt=1, turn=2, disposition=Disposition.CONFIRMED, summary=""),
        AudioFailed(call_id=ID, attempt=2, turn=1, sentence=0, reason="?", fallback="say"),
        status_changed(CALL),
    ]
)


def log_of(events: Sequence[Event], *, lag: int) -> ReadLog:
    """Returns a log that has the events, each `speech.heard` under the id of its webhook.

    The turns of an attempt increase, as the guard ensures. After the end of the conversation none is heard: the
    orchestrator's decision closes the line.
    """
    log = ReadLog()
    log.store(call_created(CALL))
    for event in events:
        if isinstance(event, SpeechHeard):
            turns = [one.turn for one in log.events() if isinstance(one, SpeechHeard) and one.attempt == event.attempt]
            if ENDED in log.events() or event.turn <= max(turns, default=0):
                continue
        id = f"twilio/CA{event.attempt}/heard/{event.turn}" if isinstance(event, SpeechHeard) else None
        if not any(stored.envelope.id == id for stored in log.stored):
            log.store(event, id)
    log.lag = lag
    return log


async def outcome(log: ReadLog, occurrence: Occurrence) -> tuple[Instruction, list[Event]]:
    instruction = await DialogueService(log, FakeSpeech()).respond(ID, occurrence)
    return instruction, log.events()


@given(
    events=st.lists(EVENTS, max_size=8),
    turn=st.integers(1, 4),
    after_sequence=st.integers(0, 12),
    lag=st.integers(0, 3),
)
@settings(max_examples=300, deadline=None)
async def test_no_sequence_and_no_lag_changes_what_an_utterance_with_text_claims(
    events: list[Event], turn: int, after_sequence: int, lag: int
) -> None:
    lag = min(lag, len(events))
    expected, stored = await outcome(log_of(events, lag=0), received(turn))
    actual, actually_stored = await outcome(log_of(events, lag=lag), received(turn, after_sequence=after_sequence))

    heard_of, actually_heard = (
        [event for event in log if isinstance(event, SpeechHeard)] for log in (stored, actually_stored)
    )
    turns = [(event.attempt, event.turn) for event in actually_heard]
    if isinstance(expected, HangUp) and lag:  # the end of the conversation is not known to the node yet
        assert len(actually_heard) - len(heard_of) in (0, 1)
    else:
        assert (actual, actually_heard) == (expected, heard_of)
    claimed = turns[len(heard_of) :]
    assert all(turns.count(one) == 1 for one in claimed)


@given(events=st.lists(EVENTS, max_size=8), turn=st.integers(0, 3), after_sequence=st.integers(0, 12))
@settings(max_examples=200, deadline=None)
async def test_no_sequence_changes_which_turn_a_redirected_line_continues_with(
    events: list[Event], turn: int, after_sequence: int
) -> None:
    events = [event for event in events if not isinstance(event, AudioFailed | ConversationEnded)]
    log = log_of([*events, heard(9)], lag=0)  # a later turn, so nothing waits for a reply

    expected, _ = await outcome(log, RemainderReported(2, turn, 0))
    actual, _ = await outcome(log, RemainderReported(2, turn, 0, after_sequence))

    assert actual == expected
