"""The plan of `make demo CAMPAIGN=1`: two campaigns in three time zones, on the morning of one simulated day.

Eastern time: the offices open at 09:00 in New York and Miami, one hour later in Chicago, two hours later in Denver. The
offers end at `OFFERS_END_AT`, before the time of one more call. All numbers are reserved for fiction.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

import holidays

from chassis.time_mapping import TimeMapping
from contracts import CallStatus

EASTERN = ZoneInfo("America/New_York")
BEGINS_AT = time(8, 50, tzinfo=EASTERN)
RESUMED_AT = time(9, 30, tzinfo=EASTERN)
OFFERS_END_AT = time(11, 30, tzinfo=EASTERN)
LATE_CALL_AT = time(11, 35, tzinfo=EASTERN)
FACTOR = 120.0
"""Two simulated minutes in a second: the morning takes a minute and a half."""
STARTING = timedelta(seconds=20)
"""How long the servers and services may need to start before the morning begins."""

REMINDERS, OFFERS = "appointment-reminders", "spring-offer"
LATE = "late"
"""The contact of the call that is requested for a time after the end of the offers."""

_WEEKLY_HOURS = [{"days": ["mon", "tue", "wed", "thu", "fri"], "opens_at": "09:00", "closes_at": "18:00"}]
_REMINDER = """Hello {{name}}, this is the clinic's assistant calling about your appointment on {{day}}.

You remind {{name}} of the appointment on {{day}}. Ask whether they can come. If they can, note "attending: yes" and end
the call as confirmed. If they cannot, offer another day, note it as "new_day" and end the call as rescheduled."""
_OFFER = """Hello {{name}}, this is the assistant of the garden shop. May I tell you about our spring offer?

You present the spring offer to {{name}}: every second plant is free. If they want to know more, end the call as
callback_requested. If they do not, thank them and end the call as declined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """How the simulated callee behaves, the status and the number of dials that the call must reach, and why."""

    behaviour: str
    status: CallStatus
    dials: int = 1
    shows: str


EXPECTED: Mapping[str, Expected] = {
    "ada": Expected(behaviour="human", status=CallStatus.COMPLETED, shows="not dialled during the pause"),
    "grace": Expected(behaviour="voicemail", status=CallStatus.VOICEMAIL, shows="a machine answers"),
    "barbara": Expected(behaviour="human", status=CallStatus.COMPLETED, shows="Chicago opens an hour later"),
    "donald": Expected(behaviour="human", status=CallStatus.COMPLETED, shows="Denver opens two hours later"),
    "radia": Expected(behaviour="busy", status=CallStatus.PENDING, dials=3, shows="three dials a day in Florida"),
    "ken": Expected(behaviour="human", status=CallStatus.COMPLETED, shows="Chicago opens an hour later"),
    "margaret": Expected(behaviour="human", status=CallStatus.COMPLETED, shows="Denver opens two hours later"),
    LATE: Expected(behaviour="human", status=CallStatus.EXPIRED, dials=0, shows="due after the end of the offers"),
}
"""By contact."""
EXPLAINED = ("ada", "radia", LATE)
"""The contacts whose calls are explained at the end, as `centralita why` does."""

SETTINGS: Mapping[str, str] = {
    "LOG_LEVEL": "INFO",
    "ALLOWED_COUNTRIES": "US",
    "CALLING_RULES": "",
    "DIAL_WITHIN_MINUTES": "30",
    "MAX_CALL_SECONDS": "7200",
}
"""They override exported settings. The shipped calling rules apply."""


def clock(now: datetime) -> TimeMapping:
    """Returns the clock of the run: the morning of the next working day from `now` on begins after `STARTING`."""
    day = now.astimezone(EASTERN).date() + timedelta(days=1)
    closed = holidays.country_holidays("US")
    while day.weekday() > 4 or day in closed:
        day += timedelta(days=1)
    return TimeMapping(starts_at=datetime.combine(day, BEGINS_AT), real_starts_at=now + STARTING, factor=FACTOR)


def terms(day: datetime) -> dict[str, dict[str, Any]]:
    """Returns the terms of the campaigns, by id. `day`: any instant of the simulated day."""
    shared = {"weekly_hours": _WEEKLY_HOURS, "language": "en", "call_timeout_seconds": 600}
    busy = {"max_retries": 5, "delay_seconds": 300}
    return {
        REMINDERS: {
            **shared,
            "name": "Reminders of appointments",
            "purpose": "service",
            "script_template": _REMINDER,
        },
        OFFERS: {
            **shared,
            "name": "The spring offer",
            "purpose": "sales",
            "script_template": _OFFER,
            "ends_at": at(day, OFFERS_END_AT).isoformat(),
            "retry_policy": {"busy": busy},
            "max_attempts": 6,
        },
    }


def at(day: datetime, of_day: time) -> datetime:
    """Returns a time of the simulated day."""
    return datetime.combine(day.astimezone(EASTERN).date(), of_day)


def contacts(campaign_id: str) -> list[dict[str, str]]:
    """Returns the rows of the campaign's CSV file."""
    text = (resources.files(__package__) / f"{campaign_id}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))
