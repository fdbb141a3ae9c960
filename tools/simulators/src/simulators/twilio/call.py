"""One call of the account: its entry in the ledger, its parameters, its callee and its clock."""

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime

from simulators.twilio.call_clock import CallClock
from simulators.twilio.callee_phrases import Language
from simulators.twilio.callees import Callee
from simulators.twilio.create_parameters import CreateParameters
from simulators.twilio.ledger import CallEntry
from simulators.twilio.live_callee import LiveCallee
from simulators.twilio.recording import Recording

API_VERSION = "2010-04-01"
FINAL_STATUSES = frozenset({"completed", "busy", "no-answer", "failed", "canceled"})
_COUNTRIES = {"+1": "US", "+34": "ES", "+44": "GB", "+52": "MX", "+54": "AR", "+57": "CO"}


def now() -> datetime:
    """Returns the current time in UTC."""
    return datetime.now(UTC)


@dataclass
class Call:
    """An accepted call. Its public status is `entry.status`; `queue_time` is in simulated milliseconds.

    The last fields are of its media streams: the language of its last <Gather>, the callee and the recording (from the
    first stream on), and when the last stream ended and the agent was last audible in it, by the event loop's clock.
    """

    account_sid: str
    entry: CallEntry
    parameters: CreateParameters
    callee: Callee
    clock: CallClock
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    started_at: datetime | None = None
    ended_at: datetime | None = None
    queue_time: int = 0
    language: Language | None = None
    live_callee: LiveCallee | None = None
    recording: Recording | None = None
    stream_ended_at: float | None = None
    agent_heard_at: float | None = None

    @property
    def sid(self) -> str:
        """The call's SID."""
        return self.entry.sid

    @property
    def is_over(self) -> bool:
        """Whether the status is final."""
        return self.entry.status in FINAL_STATUSES

    def form(self, status: str) -> dict[str, str]:
        """Returns the form fields that every request about this call contains, with `status` as CallStatus."""
        form = {
            "CallSid": self.sid,
            "AccountSid": self.account_sid,
            "ApiVersion": API_VERSION,
            "Direction": "outbound-api",
            "CallStatus": status,
        }
        for names, number in ((("To", "Called"), self.entry.to), (("From", "Caller"), self.entry.from_)):
            for name in names:
                form[name] = number
                form |= {f"{name}{detail}": "" for detail in ("City", "State", "Zip")}
                form[f"{name}Country"] = _country(number)
        return form

    def billed_minutes(self) -> int:
        """Returns the started minutes, which Twilio bills and reports in `Duration`."""
        return math.ceil((self.entry.duration or 0) / 60)


def _country(number: str) -> str:
    return next((country for code, country in _COUNTRIES.items() if number.startswith(code)), "")
