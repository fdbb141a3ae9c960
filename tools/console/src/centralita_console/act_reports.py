"""What became of acts on calls: a report for each confirmed form, which the session keeps.

A form is confirmed once. Its report has the id of the form, so a form that is sent twice acts once: the second time,
the report of the first is shown.
"""

import re
from collections import OrderedDict
from dataclasses import dataclass, field

MAX_REPORTS = 3
"""Reports of a session; the oldest is forgotten. The audit log of the REST API has every act."""
MAX_REASON_LENGTH = 300
_ID = re.compile("[A-Za-z0-9_-]{20,64}")


@dataclass(frozen=True, slots=True)
class ReportLine:
    """What became of the act on one call: its status after it, or why it was refused.

    `is_unknown`: no answer came, so the act may have happened.
    """

    call_id: str
    status: str = ""
    refusal: str = ""
    is_unknown: bool = False


@dataclass(slots=True)
class Report:
    """The report of one form. `lines` follow the order of the calls, and are complete once `is_finished`."""

    act: str
    count: int
    lines: list[ReportLine] = field(default_factory=list)
    is_finished: bool = False

    @property
    def done(self) -> int:
        """How many calls accepted the act."""
        return sum(1 for line in self.lines if line.status)


class Reports:
    """The reports of one session by the ids of their forms."""

    def __init__(self) -> None:
        self._reports: OrderedDict[str, Report] = OrderedDict()

    def begin(self, report_id: str, report: Report) -> bool:
        """Adds a report. Returns False if its form was sent before."""
        if report_id in self._reports:
            return False
        self._reports[report_id] = report
        while len(self._reports) > MAX_REPORTS:
            self._reports.popitem(last=False)
        return True

    def find(self, report_id: str) -> Report | None:
        """Returns a report that is still kept."""
        return self._reports.get(report_id)


def is_report_id(text: str) -> bool:
    """Whether a text can be the id of a form."""
    return _ID.fullmatch(text) is not None
