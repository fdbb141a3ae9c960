"""The states of a call. Each has only the fields that apply in it.

A call is dialled in attempts. Between attempts it is `Pending`: first until its scheduled time, then until it has a
slot. An attempt moves forward through `Dialing`, `Ringing` and `InProgress`. It may skip any of them, because events
arrive in any order, and it never moves back. It ends in `Ended`, or in `Pending` for a retry. Every state but `Ended`
has exactly one deadline (law 3), so no call can be stuck.

An attempt that certainly never reached the network is *undialled* and does not count as a dial. `undialled_attempts`
counts those attempts; all others are dials, and `max_retries` limits dials. After an undialled attempt the same dial is
tried again until `dial_expires_at`.

`retries` counts the retries that followed each outcome that has a rule in `Terms.retry_rules`.

`callback` is when the callee asked to be called again (`call_orchestrator.domain.callbacks`), and `callbacks` counts
how often the call waited for such an instant.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from call_orchestrator.domain.dial_times import DialTimes
from call_orchestrator.domain.retry_rules import EARLY_HANGUP, RetryRule
from contracts.vocabulary import CallStatus, Disposition, HangupReason, RetryOutcome, VoicemailDelivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What was agreed for the call. `dial_within`: how long after its due time it may still be dialled.

    `dial_times`: when the calling policy permits a dial; None: always, as in builds before the calling policy.
    `message_time`: the longest time for the message to a machine; None: there is no message, the line is closed.
    """

    max_retries: int
    retry_delay: timedelta
    ring_time: timedelta
    max_talk: timedelta
    dial_within: timedelta
    retry_rules: Mapping[RetryOutcome, RetryRule] = field(default_factory=dict)
    early_hangup: timedelta = EARLY_HANGUP
    dial_times: DialTimes | None = None
    goal: Disposition | None = None
    """The disposition that the campaign is for; None: a call with any disposition is complete."""
    message_time: timedelta | None = None
    max_attempts: int | None = None
    """How many dials the campaign permits in all, those that the callee asked for included; None: no limit."""
    is_campaign_finished: bool = False
    """Whether the campaign is finished: then no attempt begins any more."""
    is_campaign_closed: bool = False
    """Whether the campaign is paused, not started or outside its period: then a granted call waits on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """When the callee asked to be called again. `number` counts the requests of one attempt: the last one counts."""

    at: datetime
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Waiting to be dialled after `attempt` attempts: until `due_at`, then for a slot until `queue_expires_at`.

    `undialled_in_a_row` counts the undialled attempts since the last dial. If there were any, this dial may be made
    until `dial_expires_at`, and `reason` says why the last attempt was undialled.
    """

    attempt: int
    due_at: datetime
    queue_expires_at: datetime | None = None
    undialled_attempts: int = 0
    undialled_in_a_row: int = 0
    dial_expires_at: datetime | None = None
    reason: str | None = None
    retries: Mapping[str, int] = field(default_factory=dict)
    callback: Callback | None = None
    callbacks: int = 0

    @property
    def status(self) -> CallStatus:
        """``pending``."""
        return CallStatus.PENDING

    @property
    def deadline_at(self) -> datetime:
        """The due time; once the call waits for a slot, the end of that wait."""
        return self.queue_expires_at or self.due_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """The message to the machine that answered. `is_after_beep`: its beep was heard, so it is certainly a machine."""

    delivery: VoicemailDelivery = VoicemailDelivery.NONE
    is_after_beep: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveState:
    """An attempt in progress. `settlement_checks`: how often the provider was asked since its deadline first passed.

    `message`: the message that is left, or was left, to the machine that answered; None: a person may be on the line.
    `transfer_turn`: the turn in which the newest transfer of the attempt was announced; 0: there was none.
    `is_transferring`: it is not over.
    """

    attempt: int
    dialed_at: datetime
    deadline_at: datetime
    settlement_checks: int = 0
    hangup_reason: HangupReason | None = None
    disposition: Disposition | None = None
    message: Message | None = None
    transfer_turn: int = 0
    is_transferring: bool = False
    undialled_attempts: int = 0
    retries: Mapping[str, int] = field(default_factory=dict)
    callback: Callback | None = None
    callbacks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialing(LiveState):
    """Ordered to be dialled, and not reported as ringing yet. `undialled_in_a_row`, `dial_expires_at`: see `Pending`.

    In logs that were written before `dial_expires_at` existed, it is None.
    """

    undialled_in_a_row: int = 0
    dial_expires_at: datetime | None = None

    @property
    def status(self) -> CallStatus:
        """``dialing``."""
        return CallStatus.DIALING


@dataclass(frozen=True, slots=True, kw_only=True)
class Ringing(LiveState):
    """The phone rings."""

    @property
    def status(self) -> CallStatus:
        """``ringing``."""
        return CallStatus.RINGING


@dataclass(frozen=True, slots=True, kw_only=True)
class InProgress(LiveState):
    """A person or a machine has answered."""

    answered_at: datetime

    @property
    def status(self) -> CallStatus:
        """``in_progress``."""
        return CallStatus.IN_PROGRESS


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Ended. Only a retry command returns it to `Pending`."""

    status: CallStatus
    attempt: int
    ended_at: datetime
    disposition: Disposition | None = None
    undialled_attempts: int = 0
    retries: Mapping[str, int] = field(default_factory=dict)
    callbacks: int = 0

    @property
    def deadline_at(self) -> None:
        """None: an ended call waits for nothing."""
        return


Live = Dialing | Ringing | InProgress
State = Pending | Dialing | Ringing | InProgress | Ended


def dials(state: State) -> int:
    """Returns how often the call was dialled, a present attempt included."""
    return state.attempt - state.undialled_attempts
