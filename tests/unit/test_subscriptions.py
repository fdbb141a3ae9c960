"""Which handlers a consumer accepts, and the count of failures by message."""

import pytest
from faststream.exceptions import SetupError

from chassis.broker import Broker
from chassis.event_log import StoredEvent
from chassis.failure_counts import FailureCounts
from chassis.subscriptions import subscribe
from contracts import CallStatusChanged, CampaignPauseRequested, CampaignResumeRequested, SpeechHeard
from contracts.consumers import CONVERSATION_TURNS, ORCHESTRATOR_FACTS, VOICE_DIALS, Consumer
from contracts.streams import REQUESTS

PAUSES = Consumer("pauses", REQUESTS, (CampaignPauseRequested, CampaignResumeRequested))


async def on_pause(event: CampaignPauseRequested, stored: StoredEvent[CampaignPauseRequested]) -> None: ...


async def on_resume(event: CampaignResumeRequested, stored: StoredEvent[CampaignResumeRequested]) -> None: ...


async def on_either(
    event: CampaignPauseRequested | CampaignResumeRequested,
    stored: StoredEvent[CampaignPauseRequested | CampaignResumeRequested],
) -> None: ...


async def on_speech(event: SpeechHeard, stored: StoredEvent[SpeechHeard]) -> None: ...


def test_handlers_of_all_event_types_of_the_consumer_are_accepted() -> None:
    subscribe(Broker(), PAUSES, on_pause, on_resume)
    subscribe(Broker(), PAUSES, on_either)


@pytest.mark.parametrize(
    "handlers",
    [(), (on_pause,), (on_pause, on_resume, on_speech), (on_either, on_pause), (on_speech,)],
    ids=["none", "one is missing", "one is too many", "one twice", "another"],
)
def test_handlers_of_other_event_types_than_those_of_the_consumer_are_refused(handlers: tuple[object, ...]) -> None:
    with pytest.raises(SetupError, match="pauses delivers CampaignPauseRequested") as refused:
        subscribe(Broker(), PAUSES, *handlers)  # type: ignore[arg-type]
    for handler in handlers:
        if handler is on_speech:
            assert "SpeechHeard" in str(refused.value)


def test_the_filters_of_a_consumer_follow_from_its_event_types() -> None:
    assert CONVERSATION_TURNS.filters == ("speech.heard.*",)
    assert VOICE_DIALS.filters == ("call.status_changed.*.dialing",)
    assert VOICE_DIALS.events == (CallStatusChanged,)
    assert "dial.refused.*" in ORCHESTRATOR_FACTS.filters
    former = {event.subjects() for event in ORCHESTRATOR_FACTS.former_events}
    assert former == {"dial.placed.*", "dial.unknown.*"}
    assert former.isdisjoint(ORCHESTRATOR_FACTS.filters)


def test_failures_are_counted_by_message_until_they_are_forgotten() -> None:
    counts = FailureCounts()
    assert [counts.add(1), counts.add(1), counts.add(2)] == [1, 2, 1]
    counts.forget(1)
    counts.forget(3)
    assert counts.add(1) == 1


def test_only_the_newest_failures_are_remembered() -> None:
    counts = FailureCounts(max_size=2)
    for sequence in (1, 2, 1, 3):
        counts.add(sequence)
    assert (counts.add(1), counts.add(2)) == (3, 1)
