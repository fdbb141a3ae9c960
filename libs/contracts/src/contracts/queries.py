"""Queries over NATS request/reply, and the outcomes of commands."""

from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from contracts.instants import Instant
from contracts.values import CallId, CampaignId, ContactId
from contracts.vocabulary import CallStatus, CampaignStatus, ConversationMode, Disposition, RefusalCode

CALL_REQUEST = "call.request"
"""Service subject: send a ``call.requested`` body as a request; the reply is a `CommandOutcome`."""

MAX_PAGE = 500
"""The maximum number of call ids in one answer."""
MAX_LIST = 200
"""The maximum number of calls or campaigns in one answer. A page of them stays below the payload limit of NATS."""
ONE_PERSON = "the calls of one contact or number are filtered by campaign_id only: leave out status and disposition"
"""Why a query for calls is refused that no index serves, and the remedy."""

OUTCOMES, PUBLISHED_OUTCOMES = "outcome.*", "outcome.*.*"
"""The filters of outcomes: as an asker receives them, and as call-orchestrator publishes them (`contracts.askers`)."""


class CommandOutcome(BaseModel):
    """The outcome of a request or command: accepted, or refused with a reason per field."""

    model_config = ConfigDict(frozen=True)

    accepted: bool
    call_id: CallId | None = None
    campaign_id: CampaignId | None = Field(default=None, description="the campaign, if the command was about one")
    request_id: str | None = None
    status: CallStatus | None = None
    reasons: tuple[str, ...] = ()
    code: RefusalCode | None = Field(default=None, description="the kind of refusal, where clients distinguish it")
    request_sequence: int | None = Field(default=None, description="the decided message's position in REQUESTS")


class CampaignStatisticsQuery(BaseModel):
    """A query for the counters of one campaign, or of all campaigns."""

    model_config = ConfigDict(frozen=True)

    subject: ClassVar[str] = "stats.campaign"

    campaign_id: CampaignId | None = None


class CampaignCallsQuery(BaseModel):
    """A query for the ids of one campaign's calls with these statuses, in pages in the order of the ids."""

    model_config = ConfigDict(frozen=True)

    subject: ClassVar[str] = "stats.calls"

    campaign_id: CampaignId
    statuses: Annotated[tuple[CallStatus, ...], Field(min_length=1, max_length=len(CallStatus))]
    after: CallId | None = Field(default=None, description="the last id of the previous page")
    limit: int = Field(ge=1, le=MAX_PAGE, description="maximum number of ids")


class CampaignCalls(BaseModel):
    """One page of call ids from MongoDB, which may be a moment behind the log."""

    model_config = ConfigDict(frozen=True)

    call_ids: tuple[CallId, ...]
    has_more: bool = Field(description="whether further calls follow the last id")


class CampaignStatistics(BaseModel):
    """The counters of a campaign from MongoDB; all zero for an unknown campaign."""

    model_config = ConfigDict(frozen=True)

    campaign_id: CampaignId | None
    total: int = 0
    pending: int = 0
    in_progress: int = Field(default=0, description="dialing, ringing or in progress")
    completed: int = 0
    failed: int = 0
    no_answer: int = 0
    busy: int = 0
    voicemail: int = 0
    canceled: int = 0
    expired: int = 0
    retries: int = Field(default=0, description="dials after the first")
    duration_seconds: int = Field(default=0, description="talk time of all attempts of all calls")
    average_duration_seconds: float = Field(
        default=0.0, description="average talk time of completed calls, with that of their earlier attempts"
    )
    turns: int = Field(default=0, description="utterances of callees that were answered")
    messages_whole: int = Field(default=0, description="calls whose message a machine recorded to its end")
    messages_cut: int = Field(default=0, description="calls whose message to a machine began and did not end")
    messages_none: int = Field(default=0, description="calls whose message to a machine did not begin")
    messages_withdrawn: int = Field(default=0, description="calls whose message was withdrawn: a person had answered")
    contacts_refused: int = Field(default=0, description="contacts whose call was not created")
    contacts_expired: int = Field(default=0, description="contacts that still waited when the campaign was over")


class CallingTimesQuery(BaseModel):
    """A query for when the contacts of one group may first be called in a campaign. call-orchestrator answers."""

    model_config = ConfigDict(frozen=True)

    subject: ClassVar[str] = "campaign.calling_times"

    campaign_id: CampaignId
    country: str
    regions: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()


class CallingTimes(BaseModel):
    """When a group of contacts may first be called, from now on, and the rule and its inputs."""

    model_config = ConfigDict(frozen=True)

    first_at: Instant | None = Field(description="null: never within the campaign's period or the next 15 days")
    rule: str = Field(description="as in the decisions of a call, such as calling_hours or unknown_zone")
    detail: str = Field(description="the inputs and the result of the rule, for a person to read")
    requires_consent: bool = Field(default=False, description="only contacts with a known consent may be called")


class AdmissionQuery(BaseModel):
    """A query for what admission has granted and what waits, in all or of one campaign. call-orchestrator answers."""

    model_config = ConfigDict(frozen=True)

    subject: ClassVar[str] = "orchestrator.admission"

    campaign_id: CampaignId | None = None


class WaitingCampaign(BaseModel):
    """An open campaign with due calls that wait for a slot."""

    model_config = ConfigDict(frozen=True)

    campaign_id: CampaignId
    waiting: int = Field(description="due calls that wait for a slot")
    live: int = Field(description="calls that occupy a slot")
    oldest_due_at: Instant = Field(description="when the first of the waiting calls became due")


class AdmissionState(BaseModel):
    """What occupies slots and what waits for one, as one replica of call-orchestrator has read it from the log."""

    model_config = ConfigDict(frozen=True)

    campaign_id: CampaignId | None
    at: Instant = Field(description="the time of the server, by which calls are due")
    is_open: bool = Field(description="whether calls of the campaign may be granted a slot now; true for all campaigns")
    live: int = Field(description="calls that occupy a slot")
    max_live: int | None = Field(description="how many may occupy one at once; null: no limit")
    waiting: int = Field(description="due calls that wait for a slot")
    waiting_closed: int = Field(
        description="of these, those of campaigns that are paused, not started, outside their period or finished"
    )
    oldest_due_at: Instant | None = Field(
        description="when the first waiting call of an open campaign became due; null: none waits"
    )
    dials_in_second: int = Field(description="attempts that the dialler began in the last second")
    dials_in_minute: int = Field(
        description="and in the last minute; after a restart of the replica, those that it has read of that minute"
    )
    max_dials_per_second: float = Field(description="rate limit of the account")
    max_calls_per_minute: float | None = Field(description="pace of the campaign; null: it has none")
    longest_waiting: tuple[WaitingCampaign, ...] = Field(
        default=(), description="open campaigns whose calls wait the longest; empty for a query about one campaign"
    )


class CallPosition(BaseModel):
    """The place of a call in a list: when it was created, in milliseconds, and its id. Neither ever changes."""

    model_config = ConfigDict(frozen=True)

    created_at: Instant
    call_id: CallId


class CallListQuery(BaseModel):
    """A query for the calls that match each given field, newest first, in pages.

    The calls of one contact or number are filtered by their campaign only. No index serves other combinations.
    """

    model_config = ConfigDict(frozen=True)

    subject: ClassVar[str] = "stats.call_list"

    campaign_id: CampaignId | None = None
    status: CallStatus | None = None
    disposition: Disposition | None = None
    contact_id: ContactId | None = None
    created_after: Instant | None = Field(default=None, description="not before this instant, in milliseconds")
    before: CallPosition | None = Field(default=None, description="the last call of the previous page")
    limit: int = Field(ge=1, le=MAX_LIST, description="maximum number of calls")

    @model_validator(mode="after")
    def _has_an_index(self) -> Self:
        persons = [name for name in ("contact_id", "number_digest") if getattr(self, name, None) is not None]
        if len(persons) > 1 or (persons and (self.status or self.disposition)):
            raise ValueError(ONE_PERSON)
        return self


class NumberCallsQuery(CallListQuery):
    """As `CallListQuery`, for the calls of one number: that which a call has now, or had when it ended.

    Its subject is its own: an older campaign-stats would answer it with the calls of every number.
    """

    subject: ClassVar[str] = "stats.number_calls"

    number_digest: Annotated[
        str, StringConstraints(pattern="^[0-9a-f]{32}$"), Field(description="keyed digest of the number")
    ]


class ListedCall(BaseModel):
    """A call as MongoDB has it: without its number, script, variables and metadata."""

    model_config = ConfigDict(frozen=True)

    call_id: CallId
    campaign_id: str
    contact_id: str
    status: CallStatus
    attempt: int
    undialled_attempts: int
    reason: str | None
    disposition: Disposition | None
    duration_seconds: int | None
    created_at: Instant
    status_changed_at: Instant
    due_at: Instant | None
    dialed_at: Instant | None
    answered_at: Instant | None
    ended_at: Instant | None
    provider_call_ids: tuple[str, ...] = Field(default=(), description="the telephone provider's ids of its attempts")
    mode: ConversationMode = Field(default=ConversationMode.TURN_BASED, description="how its conversation is held")
    number_digest: str | None = Field(default=None, description="keyed digest of its number; null: of an older build")


class CallList(BaseModel):
    """One page of calls from MongoDB, which may be a moment behind the log."""

    model_config = ConfigDict(frozen=True)

    calls: tuple[ListedCall, ...]
    has_more: bool = Field(description="whether further calls follow the last one")


class CampaignListQuery(BaseModel):
    """A query for the campaigns that have calls, were created or were paused, in pages in the order of their ids."""

    model_config = ConfigDict(frozen=True)

    subject: ClassVar[str] = "stats.campaign_list"

    campaign_ids: tuple[CampaignId, ...] | None = Field(default=None, description="only these; null: every campaign")
    after: CampaignId | None = Field(default=None, description="the last campaign of the previous page")
    limit: int = Field(ge=1, le=MAX_LIST, description="maximum number of campaigns")


class ListedCampaign(BaseModel):
    """A campaign with its counters."""

    model_config = ConfigDict(frozen=True)

    campaign_id: str
    name: str | None = Field(default=None, description="for people, if it was created with a name")
    status: CampaignStatus = Field(
        default=CampaignStatus.UNDECLARED, description="undeclared: it was never created, and is not paused"
    )
    is_paused: bool = False
    changed_at: Instant | None = Field(default=None, description="when it was last paused or resumed, if ever")
    reason: str | None = Field(default=None, description="why it is paused, if the command gave a reason")
    statistics: CampaignStatistics


class CampaignList(BaseModel):
    """One page of campaigns from MongoDB, which may be a moment behind the log."""

    model_config = ConfigDict(frozen=True)

    campaigns: tuple[ListedCampaign, ...]
    has_more: bool = Field(description="whether further campaigns follow the last one")
