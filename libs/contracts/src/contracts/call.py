"""The call as it stands: what every ``call.*`` event carries beside its fact (law 1)."""

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts.values import CallId, CallStatus, CampaignId, Disposition, Language, PhoneNumber


class Call(BaseModel):
    """One call after an event. Holds personal data (number, variables): it goes to the log, never to a log line."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    call_id: CallId
    request_id: str
    campaign_id: CampaignId
    contact_id: str
    phone_number: PhoneNumber
    script_template: str
    variables: dict[str, str]
    language: Language
    metadata: dict[str, str]
    max_retries: int = Field(description="dials after the first")
    retry_delay_seconds: int
    call_timeout_seconds: int = Field(description="how long it may ring")
    max_call_seconds: int = Field(description="how long it may last once answered")
    created_at: AwareDatetime
    status: CallStatus
    attempt: int = Field(description="number of the last or present attempt to dial; 0 before the first")
    never_rang: int = Field(default=0, description="of these attempts, those that certainly rang nowhere: no dials")
    refusals: int = Field(default=0, description="pending, dialing: how many attempts at this dial have not rung")
    dial_by: AwareDatetime | None = Field(
        default=None, description="dialing, pending after a refusal: when it is too late for this dial"
    )
    due_at: AwareDatetime | None = Field(default=None, description="pending: when it may be dialled")
    queued: bool = Field(default=False, description="pending: its time has come, it waits for a slot")
    deadline: AwareDatetime | None = Field(default=None, description="when this state is over; none in a final one")
    since: AwareDatetime = Field(description="when this status began")
    dialed_at: AwareDatetime | None = Field(default=None, description="when the present attempt began")
    answered_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None
    duration_seconds: int | None = Field(default=None, description="talk time as the telephone network bills it")
    reason: str | None = Field(default=None, description="why it is in this status, for a person to read")
    disposition: Disposition | None = None
    hangup: str | None = Field(default=None, description="why we asked for the line to be closed, if we did")
    checks: int = Field(default=0, description="how often this attempt's outcome was asked for since it is overdue")
