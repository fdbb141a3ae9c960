"""The calling policy: when a person may be called, and why not at other times. Pure; its rules are data.

`rules.csv` has one row per window, cap or requirement of a country or region. Rows with the same country, region,
purposes, voice and basis are one *rule*. The windows of one rule are alternatives; all rules must permit a call.
A date that no rule names has the hours of the house default, the rows of the country ``*``.

A number often leaves open where the person is. A call is permitted if it is permitted in every possible region and
time zone. If no zone or no country is known, it is forbidden (law 9). An emergency has neither hours nor caps.

`contracts.callees` derives country, regions and zones from a number. ``table`` reads and checks the rows, ``rules``
applies them to a date, ``public_holidays`` knows the holidays, ``local_time`` converts windows of a date to UTC,
``policy`` decides. The table is read when the service starts; a decision does no input or output.
docs/compliance.md is for users.
"""

from call_orchestrator.domain.calling_policy.policy import CallingPolicy, Forbidden, Permitted, PutOff, Reason
from call_orchestrator.domain.calling_policy.rules import Requirement
from call_orchestrator.domain.calling_policy.windows import WeeklyHours

__all__ = [
    "CallingPolicy",
    "Forbidden",
    "Permitted",
    "PutOff",
    "Reason",
    "Requirement",
    "WeeklyHours",
]
