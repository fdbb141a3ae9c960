"""The snapshot of a call, which every ``call.*`` event carries (law 1)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Self, TypedDict

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from contracts.callees import Callee
from contracts.dial_terms import NO_DIAL_TERMS, DialTerms
from contracts.instants import Instant
from contracts.person_fields import GivenConsent
from contracts.personal import PERSON, PersonalText, PersonalTexts
from contracts.retry_policy import RetryPolicy
from contracts.turn_taking import TurnTakingTerms
from contracts.values import CallId
from contracts.vocabulary import (
    OPT_OUT_KEY,
    CallStatus,
    ConversationMode,
    Disposition,
    DoNotCallSource,
    HangupReason,
    Purpose,
    VoicemailDelivery,
)
from contracts.voicemail import VoicemailPolicy


class Listing(BaseModel):
    """The entry of a do-not-call list that forbade a dial."""

    model_config = ConfigDict(frozen=True, extra="allow")

    listed_at: Instant
    source: DoNotCallSource
    campaign_id: str | None = Field(default=None, description="null: a named list, or that of all campaigns")
    list_name: str | None = Field(default=None, description="null: the list of the campaign, or that of all campaigns")


class Permission(BaseModel):
    """What the calling policy said about a dial: that it is permitted, later, or never."""

    model_config = ConfigDict(frozen=True, extra="allow")

    rule: str = Field(description="the rule that decided, such as calling_hours or unknown_zone")
    detail: str = Field(description="its inputs and result, for a person to read")
    policy_version: str = Field(description="identifies the rules and settings that were in force")
    campaign: DialTerms = Field(default=NO_DIAL_TERMS, description="what of the campaign's terms applied")
    until: Instant | None = Field(
        default=None,
        description="at a permitted dial: when the calling hours end, after which it is not dialled; null: not before "
        "the end of the next day of UTC, or in logs of older builds",
    )
    dialed_at: tuple[Instant, ...] = Field(
        default=(), description="at a grant: earlier dials of the number that a frequency cap counts"
    )
    in_use_until: Instant | None = Field(
        default=None, description="at a grant: when another call to the number ends at the latest"
    )
    listing: Listing | None = Field(default=None, description="at a grant: the entry that lists the number, if any")
    erased_at: Instant | None = Field(
        default=None, description="at a grant: when the erasure of the person was requested, after the call"
    )


class CallProgress(TypedDict):
    """The fields of a call that its state determines. Each decision sets all of them."""

    status: CallStatus
    attempt: int
    undialled_attempts: int
    undialled_in_a_row: int
    outcome_retries: Mapping[str, int]
    recent_dials: tuple[datetime, ...]
    dial_expires_at: datetime | None
    due_at: datetime | None
    is_queued: bool
    deadline_at: datetime | None
    status_changed_at: datetime
    dialed_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    duration_seconds: int | None
    reason: str | None
    disposition: Disposition | None
    hangup_reason: HangupReason | None
    settlement_checks: int
    permission: Permission | None
    voicemail_delivery: VoicemailDelivery | None
    is_after_beep: bool
    callback_at: datetime | None
    callback_number: int
    callback_reason: str | None
    callbacks: int
    transfer_turn: int
    is_transferring: bool


class Call(GivenConsent):
    """A call as it is after an event. Contains personal data (number, variables): never write it to a log line.

    Its values are those of a validated request and are not validated again, so that a stored call stays readable when
    the rules for requests become stricter (law 12).

    Second names in `AliasChoices` are those of logs written before version 2 of the ``call.*`` events.
    """

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    call_id: CallId
    request_id: str
    campaign_id: str
    contact_id: str
    phone_number: PersonalText
    number_digest: Annotated[str | None, PERSON] = Field(
        default=None, description="keyed digest of the number, which names the person; null in logs of older builds"
    )
    script_template: PersonalText
    variables: PersonalTexts
    language: str
    metadata: PersonalTexts
    max_retries: int = Field(description="dials after the first")
    retry_delay_seconds: int
    retry_policy: RetryPolicy | None = Field(default=None, description="rules of retries by outcome, if it has any")
    max_attempts: int | None = Field(
        default=None, description="dials in all that the campaign permitted when the call was created; null: no limit"
    )
    max_attempts_per_day: int | None = Field(
        default=None, description="dials in 24 hours that the campaign permitted then; null: no limit"
    )
    retention_days: int | None = Field(
        default=None, description="days after its end for which the campaign kept its personal data then; null: as set"
    )
    recent_dials: tuple[Instant, ...] = Field(
        default=(), description="when its last ended attempts dialled, as far as max_attempts_per_day counts them"
    )
    goal: Disposition | None = Field(
        default=None, description="the campaign's goal: other dispositions may be retried by goal_missed"
    )
    call_timeout_seconds: int = Field(description="how long it may ring")
    max_call_seconds: int = Field(description="how long it may last once answered")
    key_name: str | None = Field(
        default=None, description="name of the API key that requested the call; null: requested on the bus"
    )
    mode: ConversationMode = Field(default=ConversationMode.TURN_BASED, description="how its conversations are held")
    turn_taking: TurnTakingTerms | None = Field(
        default=None, description="how turns are taken in its live conversations; null: as the installation does"
    )
    purpose: Purpose | None = Field(
        default=None, description="why the person is called; null: unknown, so the rules of all purposes apply"
    )
    time_zone: str | None = Field(
        default=None, description="IANA time zone of the callee; null: that of the number, or all that it may have"
    )
    voicemail: VoicemailPolicy | None = Field(
        default=None, description="the message to leave when a machine answers; null: none, the line is closed"
    )
    message_characters: int | None = Field(
        default=None, description="length of the voicemail message as it is spoken; null: none, or of an older build"
    )
    opt_out_key: str = Field(
        default=OPT_OUT_KEY, description="the key by which the callee asks for no more calls; off: none"
    )
    caller_id: str | None = Field(default=None, description="the number that calls; null: that of the installation")
    voice: str | None = Field(default=None, description="id of the voice that speaks; null: that of the installation")
    company: str | None = Field(
        default=None, description="on whose behalf it is made; the greeting begins with it; null: it does not"
    )
    disclosure: str | None = Field(
        default=None,
        description="what the greeting begins with: who calls, and that an AI speaks; null: nothing, or in an older "
        "build's call with a company the sentence of that build",
    )
    has_tools: bool = Field(
        default=False, description="whether its campaign had tools of the model when it was created"
    )
    message_disclosure: str | None = Field(
        default=None,
        description="what the voicemail message begins with: the disclosure without the opt-out key, which a machine "
        "cannot press; null: as in `disclosure`, or no message",
    )
    callee: Callee | None = Field(
        default=None, description="where the person may be; null in logs of older builds: it follows from the number"
    )
    created_at: Instant
    number_changed_at: Instant | None = Field(
        default=None, description="when it was changed to its present number; null: it never was, or by an older build"
    )
    status: CallStatus
    attempt: int = Field(description="number of the last or present attempt; 0 before the first")
    undialled_attempts: int = Field(
        default=0,
        validation_alias=AliasChoices("undialled_attempts", "never_rang"),
        description="how many of these attempts certainly never reached the network; they do not count as dials",
    )
    undialled_in_a_row: int = Field(
        default=0,
        validation_alias=AliasChoices("undialled_in_a_row", "refusals"),
        description="pending, dialing: how many undialled attempts there were since the last dial",
    )
    outcome_retries: dict[str, int] = Field(
        default={}, description="how many retries followed each outcome that has a rule in retry_policy"
    )
    dial_expires_at: Instant | None = Field(
        default=None,
        validation_alias=AliasChoices("dial_expires_at", "dial_by"),
        description="dialing, and pending after an undialled attempt: until when this dial may be made",
    )
    due_at: Instant | None = Field(default=None, description="pending: when it may be dialled")
    is_queued: bool = Field(
        default=False,
        validation_alias=AliasChoices("is_queued", "queued"),
        description="pending: its scheduled time has come and it waits for a slot",
    )
    deadline_at: Instant | None = Field(
        default=None,
        validation_alias=AliasChoices("deadline_at", "deadline"),
        description="when this state ends by itself; null in a final state",
    )
    status_changed_at: Instant = Field(
        validation_alias=AliasChoices("status_changed_at", "since"), description="when this status began"
    )
    dialed_at: Instant | None = Field(default=None, description="when the last or present attempt began")
    answered_at: Instant | None = None
    ended_at: Instant | None = None
    duration_seconds: int | None = Field(
        default=None,
        description="talk time of all attempts that have ended, as the telephone network bills it; in decisions of "
        "older builds, that of the last attempt",
    )
    reason: str | None = Field(default=None, description="why the call has this status, for a person to read")
    disposition: Disposition | None = None
    hangup_reason: HangupReason | None = Field(
        default=None,
        validation_alias=AliasChoices("hangup_reason", "hangup"),
        description="why the orchestrator requested a hang-up, if it did",
    )
    command_sequence: int | None = Field(
        default=None,
        description="position in the stream REQUESTS of the last request or command of this call that was decided",
    )
    granted_sequence: int | None = Field(
        default=None,
        description="sequence of the grant of the last attempt that began; every event of that attempt follows it",
    )
    settlement_checks: int = Field(
        default=0,
        validation_alias=AliasChoices("settlement_checks", "checks"),
        description="how often the provider was asked what became of this attempt",
    )

    permission: Permission | None = Field(
        default=None,
        description="what the calling policy said at this event; null: the event decided nothing about a dial, or the "
        "dial that it decided on is not delayed",
    )

    voicemail_delivery: VoicemailDelivery | None = Field(
        default=None,
        description="how much of the message was left in the last attempt; null: no machine answered, or no message",
    )
    is_after_beep: bool = Field(
        default=False, description="the beep of a voicemail was heard, so what answered is certainly a machine"
    )
    callback_at: Instant | None = Field(
        default=None, description="live, pending: when the callee asked in the last attempt to be called again"
    )
    callback_number: int = Field(default=0, description="which request of that attempt it was")
    callback_reason: PersonalText | None = Field(default=None, description="why, in the words of the model")
    callbacks: int = Field(default=0, description="how often the call waited because its callee asked for it")
    transfer_turn: int = Field(
        default=0, description="the turn in which the newest transfer of the attempt was announced; 0: there was none"
    )
    is_transferring: bool = Field(
        default=False, description="the callee is being connected, or is, with a person of the company"
    )

    def may_use_line(self, attempt: int) -> bool:
        """Whether the line of this attempt may still be used: the attempt is live and no hang-up was requested."""
        return self.attempt == attempt and self.status.is_live and self.hangup_reason is None

    def after(self, progress: CallProgress) -> Self:
        """Returns the call with another progress; its terms stay."""
        return self.model_copy(update=dict(progress))

    @property
    def number_given_at(self) -> datetime:
        """When the call got its present number."""
        return self.number_changed_at or self.created_at
