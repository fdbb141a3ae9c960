"""Random campaigns: their terms, the people, and what operators and people do meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from tests.fakes.telephone_network import OUTCOMES

from call_orchestrator.domain.limits import Limits
from contracts.vocabulary import Purpose

Place = tuple[str, tuple[str, ...], tuple[str, ...]]
"""Country, regions and time zones."""


@dataclass(frozen=True)
class Person:
    """A person with a telephone. `place`: where the person may be; the code under test derives it from the number."""

    number: str
    place: Place
    time_zone: str | None = None


PEOPLE = (
    Person("+34612345678", ("ES", (), ("Atlantic/Canary", "Europe/Madrid"))),
    Person("+34612345679", ("ES", (), ("Europe/Madrid",)), "Europe/Madrid"),
    Person("+18506001234", ("US", ("FL",), ("America/Chicago", "America/New_York"))),
    Person("+13055550123", ("US", ("FL",), ("America/New_York",))),
    Person("+12125550123", ("US", ("NY",), ("America/New_York",))),
    Person("+12125550124", ("US", ("NY",), ("Pacific/Honolulu",)), "Pacific/Honolulu"),
    Person("+14055550123", ("US", ("OK",), ("America/Chicago",))),
    Person("+14805550123", ("US", ("AZ",), ("America/Phoenix",))),
    Person("+33612345678", ("FR", (), ("Europe/Paris",))),
    Person("+390612345678", ("IT", (), ("Europe/Rome",))),
    Person("+576012345678", ("CO", (), ("America/Bogota",))),
    Person("+56221234567", ("CL", (), ("America/Santiago",))),
    Person("+442079460123", ("GB", (), ("Europe/London",))),
    Person("+919812345678", ("IN", (), ("Asia/Calcutta",))),
    Person("+262692123456", ("FR", ("974",), ("Indian/Mayotte", "Indian/Reunion"))),
)
EUROPE = ("ES", "FR", "IT", "GB")
DAYS = (
    (datetime(2026, 3, 8, tzinfo=UTC), ("US",)),  # the clocks change
    (datetime(2026, 11, 1, tzinfo=UTC), ("US",)),
    (datetime(2026, 3, 28, tzinfo=UTC), EUROPE),  # the day before the clocks change
    (datetime(2026, 3, 29, tzinfo=UTC), EUROPE),
    (datetime(2026, 10, 24, tzinfo=UTC), EUROPE),
    (datetime(2026, 10, 25, tzinfo=UTC), EUROPE),
    (datetime(2026, 9, 6, tzinfo=UTC), ("CL",)),
    (datetime(2026, 4, 3, tzinfo=UTC), EUROPE),  # Good Friday
    (datetime(2026, 5, 1, tzinfo=UTC), ("ES", "FR", "IT", "CO", "CL")),  # a holiday
    (datetime(2026, 12, 7, tzinfo=UTC), ("ES", "IT")),  # the day before a holiday
    *((datetime(2026, 6, day, tzinfo=UTC), ()) for day in (8, 9, 10, 11, 12) * 2),
)
"""Days on which an example begins, and the countries to whose people something happens then."""
WINDOWS = (
    {"opens_at": "09:00", "closes_at": "18:00"},
    {"opens_at": "10:30", "closes_at": "13:15"},
    {"opens_at": "12:00", "closes_at": "12:40"},
)
LATE_WINDOW = {"opens_at": "16:00", "closes_at": "24:00"}
ALL_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
RULE = {"max_retries": 2, "delay_seconds": 60, "backoff": 2}
RETRY_POLICIES = (
    {"busy": RULE, "voicemail": {"max_retries": 1, "delay_seconds": 600}},
    {"no_answer": {"max_retries": 4, "delay_seconds": 90}, "hung_up_early": RULE, "failed": RULE},
    {"goal_missed": RULE},
)
ACTIONS = (
    *("request",) * 12,
    *("contact",) * 6,
    *("pause", "pause", "resume", "resume", "resume", "change", "change", "finish", "restart"),
    *("block", "block", "unblock", "cancel", "retry", "reschedule"),
)
"""Methods of `Run`; some are more likely than others."""


@dataclass(frozen=True)
class Action:
    """Something that happens `wait_seconds` after the action before. `name`: a method of `Run`."""

    wait_seconds: float
    name: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Scenario:
    """One example."""

    seed: int
    begins_at: datetime
    replicas: int
    limits: Limits
    retry_delay: timedelta
    dial_within: timedelta
    terms: tuple[dict[str, Any] | None, ...]
    """Of each campaign; None: it is never created."""
    people: tuple[Person, ...]
    actions: tuple[Action, ...]
    outcomes: tuple[str, ...]


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Random campaigns of a few people. The number determines everything, so that examples differ in everything."""
    return scenario_of(draw(st.integers(0, 2**64)), draw(st.integers(6, 24)))


def scenario_of(seed: int, action_count: int) -> Scenario:
    """Returns the scenario of a seed, up to an action."""
    random = Random(seed)
    day, countries = random.choice(DAYS)
    campaigns, people = random.randint(1, 3), _people(random, countries)
    return Scenario(
        seed=seed,
        begins_at=_begin(random, day, people[0]),
        replicas=random.randint(1, 3),
        limits=Limits(
            max_live=random.randint(1, 4),
            max_live_per_campaign=random.choice((None, None, 1, 2)),
            max_unclaimed=random.randint(1, 3),
        ),
        retry_delay=timedelta(seconds=random.choice((0, 60, 900))),
        dial_within=timedelta(hours=random.choice((1, 24))),
        terms=tuple(_terms(random) if random.random() < 0.7 else None for _ in range(campaigns)),
        people=people,
        outcomes=tuple(random.choices(OUTCOMES, k=random.randint(1, 6))),
        actions=tuple(_action(random, campaigns, len(people)) for _ in range(action_count)),
    )


def _people(random: Random, countries: Sequence[str]) -> tuple[Person, ...]:
    """Returns people of one or two places: their numbers differ in the last digit."""
    concerned = [person for person in PEOPLE if person.place[0] in countries]
    drawn_from = concerned if concerned and random.random() < 0.8 else PEOPLE
    places = random.sample(drawn_from, min(random.choice((1, 1, 2)), len(drawn_from)))
    drawn = random.sample([(person, digit) for person in places for digit in range(10)], random.randint(1, 4))
    people = [replace(person, number=f"{person.number[:-1]}{digit}") for person, digit in drawn]
    return tuple({person.number: person for person in people}.values())  # two places may have the same first digits


def _begin(random: Random, day: datetime, person: Person) -> datetime:
    """Returns the begin: mostly by day where the person is, and often when calling hours begin or end."""
    minutes = random.randrange(60)
    if random.random() < 0.1:
        return day + timedelta(hours=random.randrange(24), minutes=minutes)
    hour = random.choice((random.randint(9, 18), random.randint(9, 18), random.choice((6, 7, 8, 9, 19, 20))))
    return day.replace(hour=hour, minute=minutes, tzinfo=ZoneInfo(person.place[2][0])).astimezone(UTC)


def _terms(random: Random) -> dict[str, Any]:
    """Returns the terms of a campaign, as a command gives them; instants in seconds after the begin."""
    terms: dict[str, Any] = {"script_template": "Hola."}
    if random.random() < 0.5:
        terms["calls_per_minute"] = random.choice((0.5, 1, 2, 3, 10))
    if random.random() < 0.5:
        terms["max_concurrent_calls"] = random.randint(1, 2)
    if purpose := random.choice((None, None, Purpose.SALES, Purpose.SALES, *Purpose)):
        terms["purpose"] = purpose
    if random.random() < 0.3:
        windows = random.sample((WINDOWS[0], *WINDOWS, LATE_WINDOW), random.randint(1, 2))
        terms["weekly_hours"] = [{"days": ALL_DAYS, **window} for window in windows]
    if random.random() < 0.3:
        terms["max_attempts"] = random.randint(2, 4)
    if random.random() < 0.3:
        terms["max_attempts_per_day"] = random.randint(1, 2)
    if random.random() < 0.5:
        terms["retry_policy"] = random.choice(RETRY_POLICIES)
        terms |= {"goal": "confirmed"} if "goal_missed" in terms["retry_policy"] else {}
    if random.random() < 0.2:
        terms["starts_at"] = random.choice((60, 1_800))
    if random.random() < 0.2:
        terms["ends_at"] = random.choice((3_600, 12_000))
    return terms


def _action(random: Random, campaigns: int, people: int) -> Action:
    campaign, person, name = random.randrange(campaigns), random.randrange(people), random.choice(ACTIONS)
    wait_seconds = random.choice((0, 0, 0, 0.01, 0.2, 1, 1, 5, 30, 30, 120, 600, 600, 4_000, 15_000))
    match name:
        case "request":
            purpose = random.choice((None, None, None, None, Purpose.SALES, Purpose.COLLECTION, Purpose.SERVICE))
            scheduled_in, max_retries = random.choice((None, None, None, 120, 20_000)), random.choice((None, 0, 1, 3))
            return Action(wait_seconds, name, (campaign, person, purpose, scheduled_in, max_retries))
        case "contact":
            return Action(wait_seconds, name, (campaign, person))
        case "change":
            return Action(wait_seconds, name, (campaign, _terms(random)))
        case "block" | "unblock":
            return Action(wait_seconds, name, (person, random.choice((None, campaign))))
        case "cancel" | "retry" | "reschedule":
            return Action(wait_seconds, name, (random.randrange(20),))
        case "restart":
            return Action(wait_seconds, name, ())
        case _:
            return Action(wait_seconds, name, (campaign,))
