"""The plan of `make demo CAMPAIGN=1`: two campaigns in three time zones, around noon of one simulated day.

The hours of the campaigns end in New York and Miami at 12:00, go on in Chicago, and begin in Los Angeles, where it is
09:00 then. The offers end at `OFFERS_END_AT`, before the time of one more call. All numbers are reserved for fiction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import holidays

from chassis.time_mapping import TimeMapping
from contracts import CallStatus

EASTERN = ZoneInfo("America/New_York")
BEGINS_AT = time(11, 40, tzinfo=EASTERN)
RESUMED_AT = time(11, 50, tzinfo=EASTERN)
OFFERS_END_AT = time(12, 8, tzinfo=EASTERN)
LATE_CALL_AT = time(12, 9, tzinfo=EASTERN)
FACTOR = 20.0
"""A simulated minute takes three seconds, and the whole plan two minutes."""
NETWORK_SPEED = 60.0
"""The simulated telephone network is faster than that: a delay of this machine counts as `FACTOR` times as long."""
STARTING = timedelta(seconds=20)
"""How long the servers and services may need to start before the plan begins."""

REMINDERS, OFFERS = "appointment-reminders", "spring-offer"
LATE = "late"
"""The contact of the call that is requested for a time after the end of the offers."""

_DAYS = ["mon", "tue", "wed", "thu", "fri"]
_WEEKLY_HOURS = [
    {"days": _DAYS, "opens_at": "09:00", "closes_at": "12:00"},
    {"days": _DAYS, "opens_at": "13:00", "closes_at": "18:00"},
]
_REMINDER = """Hello {{name}}, this is the clinic's assistant calling about your appointment on {{day}}.

You remind {{name}} of the appointment on {{day}}. Ask whether they can come. If they can, note "attending: yes" and end
the call as confirmed. If they cannot, offer another day, note it as "new_day" and end the call as rescheduled."""
_MESSAGE = "Hello {{name}}, this is the clinic's assistant. Your appointment is on {{day}}. Call us if you cannot."
_OFFER = """Hello {{name}}, this is the assistant of the garden shop. May I tell you about our spring offer?

You present the spring offer to {{name}}: every second plant is free. If they want to know more, end the call as
callback_requested. If they do not, thank them and end the call as declined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """How the simulated callee behaves, what must become of the contact, and what that shows.

    `status`: that of the call; None if no call may be created. `dials`: at least as many. `left`: how much of the
    message a machine must have got.
    """

    behaviour: str
    status: CallStatus | None
    dials: int = 1
    left: str | None = None
    shows: str


EXPECTED: Mapping[str, Expected] = {
    "ada": Expected(behaviour="human", status=CallStatus.COMPLETED, shows="not dialled during the pause"),
    "grace": Expected(
        behaviour="voicemail", status=CallStatus.VOICEMAIL, left="whole", shows="a machine gets the message"
    ),
    "edsger": Expected(
        behaviour="screened", status=CallStatus.COMPLETED, shows="a screening assistant is answered first"
    ),
    "leslie-again": Expected(behaviour="opts_out", status=None, shows="opted out in the other campaign"),
    "barbara": Expected(behaviour="human", status=CallStatus.COMPLETED, shows="Chicago is open"),
    "donald": Expected(behaviour="human", status=CallStatus.COMPLETED, shows="Los Angeles opens at noon"),
    "leslie": Expected(behaviour="opts_out", status=CallStatus.COMPLETED, shows="wants no more calls"),
    "radia": Expected(behaviour="busy", status=CallStatus.PENDING, dials=3, shows="three dials a day in Florida"),
    "ken": Expected(behaviour="human", status=CallStatus.COMPLETED, shows="Chicago is open"),
    "margaret": Expected(behaviour="human", status=CallStatus.COMPLETED, shows="Los Angeles opens at noon"),
    LATE: Expected(behaviour="human", status=CallStatus.EXPIRED, dials=0, shows="due after the end of the offers"),
}
"""By contact."""
FORGETTABLE = tuple(name for name, one in EXPECTED.items() if one.status and one.status.is_final)
"""The contacts who may be erased at the end: their calls have ended, so no statistics change."""
EXPLAINED = ("grace", "radia", LATE)
"""The contacts whose calls are explained at the end, as `centralita why` does."""
LATE_CALL = {
    "phone_number": "+13125550125",
    "contact_id": LATE,
    "variables": {"name": "Frances"},
    "consent_at": "2025-03-04T10:00:00Z",
}

SETTINGS: Mapping[str, str] = {
    "LOG_LEVEL": "INFO",
    "ALLOWED_COUNTRIES": "US",
    "CALLING_RULES": "",
    "DIAL_WITHIN_MINUTES": "8",
}
"""They override exported settings. The shipped calling rules apply."""


def clock(now: datetime) -> TimeMapping:
    """Returns the clock of the run: the plan of the next working day from `now` on begins after `STARTING`."""
    day = now.astimezone(EASTERN).date() + timedelta(days=1)
    closed = holidays.country_holidays("US")
    while day.weekday() > 4 or day in closed:
        day += timedelta(days=1)
    return TimeMapping(starts_at=datetime.combine(day, BEGINS_AT), real_starts_at=now + STARTING, factor=FACTOR)


def terms(day: datetime) -> dict[str, dict[str, Any]]:
    """Returns the terms of the campaigns, by id. `day`: any instant of the simulated day."""
    shared = {"weekly_hours": _WEEKLY_HOURS, "language": "en"}
    return {
        REMINDERS: {
            **shared,
            "name": "Reminders of appointments",
            "purpose": "service",
            "company": "the Riverside clinic",
            "script_template": _REMINDER,
            "voicemail": {"message": _MESSAGE},
        },
        OFFERS: {
            **shared,
            "name": "The spring offer",
            "purpose": "sales",
            "company": "the garden shop",
            "script_template": _OFFER,
            "ends_at": at(day, OFFERS_END_AT).isoformat(),
            "retry_policy": {"busy": {"max_retries": 5, "delay_seconds": 60}},
            "max_attempts": 6,
        },
    }


def at(day: datetime, of_day: time) -> datetime:
    """Returns a time of the simulated day."""
    return datetime.combine(day.astimezone(EASTERN).date(), of_day)


def contacts(campaign_id: str) -> Path:
    """Returns the CSV file of the campaign's contacts."""
    return Path(__file__).with_name(f"{campaign_id}.csv")
