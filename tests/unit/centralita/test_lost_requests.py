"""Which sequences of REQUESTS are missing, and of which of them the log shows nothing."""

from datetime import UTC, datetime
from io import StringIO
from random import Random

import pytest
from rich.console import Console
from tests.builders.calls import a_call
from tests.builders.events import call_created

from centralita.replay.lost_requests import MissingRequests, Ranges, RecordedRequests
from centralita.replay.verifying import Verification
from centralita.replay.views import verification_view
from contracts import ErasedRequest, RequestsErased
from contracts.streams import CALLS, REQUESTS
from contracts.vocabulary import RequestResult
from records.messages import Message

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def missing(present: list[int], after: int | None, end: int) -> Ranges:
    found = MissingRequests(after, end)
    for sequence in present:
        found.add(Message(CALLS.name, 99, NOW, "dial.cleared", {}, b""))
        found.add(Message(REQUESTS.name, sequence, NOW, "call.requested", {}, b""))
    return found.ranges()


def recorded(*sequences: int) -> Message:
    requests = tuple(ErasedRequest(sequence=one, result=RequestResult.REFUSED) for one in sequences)
    event = RequestsErased(requests=requests, erased_at=NOW)
    return Message(CALLS.name, 1, NOW, event.subject, {}, event.body())


@pytest.mark.parametrize(
    ("present", "after", "end", "expected"),
    [
        ([], 0, 0, ()),
        ([], 0, 3, ((1, 3),)),
        ([1, 2, 3], 0, 3, ()),
        ([2, 5], 0, 7, ((1, 1), (3, 4), (6, 7))),
        ([2, 5], 3, 5, ((4, 4),)),
        ([2, 9], 0, 4, ((1, 1), (3, 4))),
        ([2, 9], None, 9, ()),
        ([8, 9], 5, 3, ()),
    ],
)
def test_what_is_missing_between_the_begin_of_the_record_and_what_is_acknowledged(
    present: list[int], after: int | None, end: int, expected: Ranges
) -> None:
    assert missing(present, after, end) == expected


def test_what_decisions_and_records_name_is_not_lost() -> None:
    log = RecordedRequests()
    log.add([recorded(3, 4), recorded(9)])
    log.add_decision(call_created(a_call(command_sequence=6)))
    log.add_decision(call_created(a_call()))
    assert log.lost_of(((1, 1), (3, 7), (9, 9))) == ((1, 1), (5, 5), (7, 7))


def test_a_lost_request_is_found_among_any_others() -> None:
    random = Random(7)
    for _ in range(300):
        sequences = range(1, 40)
        kept, named = (sorted(random.sample(sequences, random.randrange(40))) for _ in range(2))
        log = RecordedRequests()
        log.add([recorded(*named), recorded(*named[:3])])
        lost = log.lost_of(missing(kept, 0, 39))
        assert [one for first, last in lost for one in range(first, last + 1)] == [
            one for one in sequences if one not in kept and one not in named
        ]


def test_lost_requests_are_shown() -> None:
    text = StringIO()
    result = Verification(2, 3, 0, 0, (), (), ((4, 4), (7, 9)))
    Console(file=text, width=200).print(verification_view(result))
    assert "4 requests were lost: REQUESTS has no message 4, 7 to 9, and the log no event about it" in text.getvalue()
