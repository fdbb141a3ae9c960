"""Who holds a slot and who is next, as the log tells it."""

from datetime import timedelta

from call_orchestrator.domain.slots import Limits, Slots, Waiting
from centralita.docs.state_machine import NOW


def slots(live: int | None = None, *, of_campaign: int | None = None, on_the_way: int = 100) -> Slots:
    book = Slots(Limits(live=live, live_of_campaign=of_campaign, on_the_way=on_the_way))
    book.campaigns({})
    return book


def waiting(call_id: str, campaign_id: str = "reminders", *, due: int = 1, minutes: float = 0) -> Waiting:
    due_at = NOW + timedelta(minutes=minutes)
    return Waiting(call_id=call_id, campaign_id=campaign_id, attempt=1, due_at=due_at, due=due, place=due)


def grants(book: Slots, count: int) -> list[str]:
    """The next `count` calls, each given its slot."""
    given: list[str] = []
    for sequence in range(1000, 1000 + count):
        call = book.next()
        if call is None:
            break
        book.granted(sequence + book.last_grant, call.call_id, call.campaign_id)
        given.append(call.call_id)
    return given


def test_no_more_calls_are_live_than_may_be() -> None:
    book = slots(live=2)
    for number in range(3):
        book.joined(waiting(f"c{number}", due=number))
    assert grants(book, 3) == ["c0", "c1"]
    book.stands(5000, "c0", live=True)
    assert book.next() is None, "it rings"
    book.stands(5001, "c0", live=False)
    assert grants(book, 1) == ["c2"]


def test_a_campaign_has_a_limit_of_its_own_and_another_one_fills_the_rest() -> None:
    book = slots(live=3, of_campaign=1)
    for number, campaign in enumerate("aabbcc"):
        book.joined(waiting(f"{campaign}{number}", campaign, due=number))
    assert grants(book, 6) == ["a0", "b2", "c4"]


def test_a_small_campaign_takes_its_turns_beside_a_large_one_that_came_first() -> None:
    book = slots()
    for number in range(50):
        book.joined(waiting(f"large{number}", "large", due=number))
    assert grants(book, 5) == [f"large{number}" for number in range(5)]
    for number in range(3):
        book.joined(waiting(f"small{number}", "small", due=100 + number, minutes=5))
    assert grants(book, 6) == ["small0", "large5", "small1", "large6", "small2", "large7"]


def test_within_a_campaign_who_has_been_due_the_longest_is_first_whenever_it_joined() -> None:
    book = slots()
    book.joined(waiting("later", due=1, minutes=1))
    book.joined(waiting("earlier", due=2, minutes=0))
    assert grants(book, 2) == ["earlier", "later"]


def test_few_calls_wait_at_the_dialler() -> None:
    book = slots(on_the_way=2)
    for number in range(3):
        book.joined(waiting(f"c{number}", due=number))
    assert grants(book, 3) == ["c0", "c1"]
    book.claimed("c0")
    assert grants(book, 1) == ["c2"]


def test_a_slot_given_in_vain_is_given_back_and_only_that_one() -> None:
    book = slots(live=1)
    book.granted(10, "c", "reminders")
    book.released("c", 9)
    assert list(book.held) == ["c"], "the release of an older grant"
    book.released("c", 10)
    assert not book.held


def test_an_end_before_the_grant_does_not_free_the_slot_of_the_grant() -> None:
    book = slots(live=1)
    book.granted(10, "c", "reminders")
    book.stands(9, "c", live=False)
    assert list(book.held) == ["c"]


def test_a_call_that_was_canceled_or_changed_waits_no_more_until_it_joins_again() -> None:
    book = slots()
    book.joined(waiting("c", due=5))
    assert book.stands(5, "c", live=False) is None, "the event by which it came to wait"
    assert book.stands(6, "c", live=False) == waiting("c", due=5)
    assert book.next() is None
    book.joined(waiting("c", due=7))
    assert grants(book, 2) == ["c"]


def test_what_is_said_again_of_a_call_that_has_its_slot_does_not_bring_it_back() -> None:
    book = slots()
    book.joined(waiting("c", due=5))
    book.granted(6, "c", "reminders")
    book.joined(waiting("c", due=5))
    assert book.next() is None


def test_a_grant_says_from_where_the_log_tells_of_every_slot_that_is_held() -> None:
    book = slots()
    assert book.since == 1
    book.granted(10, "a", "reminders")
    book.granted(20, "b", "reminders")
    assert book.since == 10
    book.stands(25, "a", live=False)
    assert book.since == 20
    book.stands(26, "b", live=False)
    assert book.since == 21, "nothing is held: after the last grant"


def test_nobody_is_next_before_it_is_known_which_campaigns_are_paused() -> None:
    book = slots()
    book.paused = None
    book.joined(waiting("c"))
    assert book.next() is None
    book.campaigns({"reminders": False})
    assert grants(book, 2) == ["c"]


def test_calls_of_a_paused_campaign_keep_their_places_and_others_are_next() -> None:
    book = slots()
    for number in range(3):
        book.joined(waiting(f"held{number}", "held", due=number))
    assert grants(book, 1) == ["held0"]
    book.campaigns({"held": True})
    book.joined(waiting("late", "late", due=9, minutes=60))
    assert grants(book, 9) == ["late"]
    assert set(book.held) == {"held0", "late"}, "who has a slot keeps it"
    assert book.waiting_paused() == 2
    book.campaigns({"another": True})
    assert book.next() is None, "of held nothing new was said"
    book.campaigns({"held": False})
    assert grants(book, 9) == ["held1", "held2"]
    assert book.waiting_paused() == 0


def test_a_resumed_campaign_takes_its_turns_and_is_not_made_up_for_its_pause() -> None:
    book = slots()
    book.campaigns({"held": True})
    for number in range(3):
        book.joined(waiting(f"held{number}", "held", due=number))
        book.joined(waiting(f"other{number}", "other", due=10 + number))
    assert grants(book, 1) == ["other0"]
    book.campaigns({"held": False})
    assert grants(book, 9) == ["held0", "other1", "held1", "other2", "held2"]


def test_what_waits_in_a_paused_campaign_still_leaves_by_itself() -> None:
    book = slots()
    book.campaigns({"held": True})
    book.joined(waiting("c", "held", due=5))
    assert book.stands(6, "c", live=False) == waiting("c", "held", due=5)
    book.campaigns({"held": False})
    assert book.next() is None
