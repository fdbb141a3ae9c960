"""What upstream systems and the edge ask for (stream ``REQUESTS``). Unknown fields are errors here, and only here."""

from typing import Annotated, ClassVar, Self

from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints, model_validator

from contracts.event import CallEvent, CampaignEvent, Event, Service
from contracts.script import greeting, missing_variables, render
from contracts.values import CampaignId, Language, PhoneNumber, RequestId

_ASKERS = frozenset({Service.UPSTREAM, Service.EDGE})

Script = Annotated[str, StringConstraints(min_length=1, max_length=20_000, strip_whitespace=True)]
Variables = Annotated[dict[str, Annotated[str, StringConstraints(max_length=2_000)]], Field(max_length=100)]
Metadata = Annotated[dict[str, Annotated[str, StringConstraints(max_length=2_000)]], Field(max_length=50)]
Retries = Annotated[int, Field(ge=0, le=10)]
RetryDelay = Annotated[int, Field(ge=0, le=604_800)]
RingTime = Annotated[int, Field(ge=5, le=600)]
PauseReason = Annotated[str, StringConstraints(min_length=1, max_length=500, strip_whitespace=True)]


class CallRequested(Event):
    """Please call this person. The same ``request_id`` again is the same call."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    event_name: ClassVar[str] = "call.requested"
    owners: ClassVar[frozenset[Service]] = _ASKERS

    request_id: RequestId | None = Field(default=None, description="identity of the request; best given")
    campaign_id: CampaignId
    contact_id: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    phone_number: PhoneNumber = Field(description="E.164")
    script_template: Script = Field(description="first paragraph: the greeting; the rest: what the call is for")
    variables: Variables = Field(default={}, description="values of the script's {{placeholders}}")
    language: Language = Field(default="es", description="BCP 47; es and en are supplied")
    scheduled_at: AwareDatetime | None = Field(default=None, description="not before; none: now")
    max_retries: Retries | None = Field(default=None, description="dials after the first")
    retry_delay_seconds: RetryDelay | None = None
    call_timeout_seconds: RingTime | None = Field(default=None, description="how long it may ring")
    metadata: Metadata = Field(default={}, description="kept with the call, not interpreted")

    @property
    def subject(self) -> str:
        """``call.requested``: there is no call yet, so there is no id in it."""
        return self.event_name

    @classmethod
    def subjects(cls) -> str:
        """``call.requested``."""
        return cls.event_name

    @model_validator(mode="after")
    def _script_is_complete(self) -> Self:
        missing = missing_variables(self.script_template, self.variables)
        if missing:
            raise ValueError(f"script_template asks for {', '.join(missing)}: give it in variables")
        if not greeting(render(self.script_template, self.variables)):
            raise ValueError("script_template has no text in its first paragraph: that is the greeting")
        return self


class _Command(CallEvent):
    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    owners: ClassVar[frozenset[Service]] = _ASKERS


class CallCancelRequested(_Command):
    """Please do not call, or hang up."""

    event_name: ClassVar[str] = "call.cancel_requested"


class CallRetryRequested(_Command):
    """Please dial once more a call that has ended without success; refused when its retries are used up."""

    event_name: ClassVar[str] = "call.retry_requested"


class CallChangeRequested(_Command):
    """Changes a call before its first attempt, its time also between attempts, its metadata until it ends.

    Fields that are not given keep their values.
    """

    event_name: ClassVar[str] = "call.change_requested"

    phone_number: PhoneNumber | None = None
    script_template: Script | None = None
    variables: Variables | None = None
    language: Language | None = None
    scheduled_at: AwareDatetime | None = Field(default=None, description="an instant that has passed means: now")
    max_retries: Retries | None = None
    retry_delay_seconds: RetryDelay | None = None
    call_timeout_seconds: RingTime | None = None
    metadata: Metadata | None = None

    @model_validator(mode="after")
    def _something_changes(self) -> Self:
        if not self.changes():
            raise ValueError("nothing to change: give at least one field")
        return self

    def changes(self) -> dict[str, object]:
        """The fields that are given, by name."""
        return self.model_dump(exclude={"call_id"}, exclude_none=True)


class _CampaignCommand(CampaignEvent):
    """The edge's alone: over REST whoever stops or starts a campaign has a name, and stands in the audit."""

    model_config = ConfigDict(extra="forbid")

    owners: ClassVar[frozenset[Service]] = frozenset({Service.EDGE})


class CampaignPauseRequested(_CampaignCommand):
    """Please begin no more calls of this campaign. It need not have any yet."""

    event_name: ClassVar[str] = "campaign.pause_requested"

    reason: PauseReason | None = Field(default=None, description="for whoever finds it paused")


class CampaignResumeRequested(_CampaignCommand):
    """Please go on with this campaign."""

    event_name: ClassVar[str] = "campaign.resume_requested"
