"""Requests and commands of upstream systems and the edge (stream ``REQUESTS``). They alone reject unknown fields."""

from datetime import datetime
from typing import Annotated, ClassVar, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from contracts.callee_terms import RequestedCalleeTerms
from contracts.event import CallEvent, CampaignEvent, Event, Service
from contracts.events.numbers import NumberBlockRequested
from contracts.instants import Instant, schedule_refusals
from contracts.person_fields import GivenConsent, consent_refusals, person_refusals
from contracts.personal import PERSONAL, PLACEHOLDERS, has_clear_values
from contracts.retry_policy import RequestedRetryPolicy, Retries, RetryDelay
from contracts.script import greeting_refusals, is_empty, missing_variables, size_refusals
from contracts.texts import template_refusals
from contracts.values import (
    CampaignId,
    ContactId,
    Language,
    PhoneNumber,
    RequestId,
    RingTime,
    Script,
    TimeZone,
    Variables,
)
from contracts.vocabulary import ConversationMode, Purpose
from contracts.voicemail import RequestedVoicemail, message_refusals

_REQUESTERS = frozenset({Service.UPSTREAM, Service.EDGE})

Metadata = Annotated[dict[str, Annotated[str, StringConstraints(max_length=2_000)]], Field(max_length=50), PERSONAL]


class CallRequested(Event, RequestedCalleeTerms):
    """A request for a call. The same ``request_id`` again is the same call, as long as the log keeps that call.

    A field that it leaves out has its value from the terms of the campaign, if they have one.
    """

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    event_name: ClassVar[str] = "call.requested"
    owners: ClassVar[frozenset[Service]] = _REQUESTERS

    request_id: RequestId | None = Field(
        default=None, description="identity of the request; without one, the message id is used"
    )
    campaign_id: CampaignId
    contact_id: ContactId
    phone_number: PhoneNumber = Field(description="E.164")
    script_template: Script | None = Field(
        default=None,
        description="first paragraph: the greeting; the rest: the purpose of the call; null: that of the campaign",
    )
    variables: Variables = Field(
        default={}, description="values of the script's {{placeholders}}: one line each, at most 200 characters"
    )
    language: Language = Field(
        default="es", description="BCP 47; es and en are supported; left out: that of the campaign, or else es"
    )
    mode: ConversationMode | None = Field(
        default=None, description="how the conversation is held: turn_based, live or relay; null: as the campaign says"
    )
    purpose: Purpose | None = Field(
        default=None,
        description="sales, service, collection, research or emergency; null: the rules of all purposes apply",
    )
    time_zone: TimeZone | None = Field(
        default=None, description="IANA time zone of the callee; null: that of the number, or all that it may have"
    )
    scheduled_at: Instant | None = Field(
        default=None, description="not before this instant; null: now; at most 400 days ahead"
    )
    max_retries: Retries | None = Field(default=None, description="dials after the first")
    retry_delay_seconds: RetryDelay | None = None
    retry_policy: RequestedRetryPolicy | None = Field(
        default=None, description="rules of retries by outcome; null: max_retries and retry_delay_seconds alone"
    )
    call_timeout_seconds: RingTime | None = Field(default=None, description="how long it may ring")
    voicemail: RequestedVoicemail | None = Field(
        default=None,
        description="message to leave when a machine answers; null: that of the campaign, or none",
    )
    metadata: Metadata = Field(default={}, description="stored with the call, not interpreted")
    key_name: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        default=None,
        description="name of the API key that requested the call; REST sets it and ignores the value in the body",
    )

    def refusals(self, now: datetime) -> list[str]:
        """Refuses numbers that are never called, unacceptable texts, and a time that is too far ahead.

        A request whose person was erased meanwhile cannot be read; call-orchestrator refuses it.
        """
        if self.phone_number in PLACEHOLDERS:
            return []
        refusals = [
            *person_refusals(self),
            *self.callee_terms_refusals(now),
            *template_refusals(self.script_template),
            *(self.voicemail.refusals() if self.voicemail else []),
            *schedule_refusals(self.scheduled_at, now),
        ]
        script, variables = self.script_template, self.variables
        if refusals or script is None:
            return refusals
        message = self.voicemail.message if self.voicemail else None
        spoken = greeting_refusals(script, variables) or message_refusals(message, variables)
        return size_refusals(script, variables) or spoken

    def body(self) -> bytes:
        """Returns the body of the message: JSON of the given fields.

        A given value takes precedence over that of the campaign, also if it is the default.
        """
        return self.model_dump_json(exclude_unset=True, exclude_none=True).encode()

    @property
    def subject(self) -> str:
        """``call.requested``, without an id: the call does not exist yet."""
        return self.event_name

    @classmethod
    def subjects(cls) -> str:
        """``call.requested``."""
        return cls.event_name

    @model_validator(mode="after")
    def _script_is_complete(self) -> Self:
        if self.script_template is None:
            return self
        missing = missing_variables(self.script_template, self.variables)
        if missing:
            raise ValueError(f"script_template asks for {', '.join(missing)}: give it in variables")
        if is_empty(self.script_template, self.variables):
            raise ValueError("script_template has no text in its first paragraph: that is the greeting")
        return self


class _Command(CallEvent):
    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    owners: ClassVar[frozenset[Service]] = _REQUESTERS


class CallCancelRequested(_Command):
    """A command not to call, or to hang up. call-orchestrator sends it to the calls of a person who is erased."""

    event_name: ClassVar[str] = "call.cancel_requested"
    owners: ClassVar[frozenset[Service]] = _REQUESTERS | {Service.ORCHESTRATOR}


class CallRetryRequested(_Command):
    """A command to dial a call again after it ended without success; refused when its retries are used up."""

    event_name: ClassVar[str] = "call.retry_requested"


class CallChangeRequested(_Command, RequestedCalleeTerms):
    """A command to change a call. Fields that are left out keep their values.

    All fields can be changed before the first attempt, the scheduled time between attempts, the metadata until the
    call ends.
    """

    event_name: ClassVar[str] = "call.change_requested"

    phone_number: PhoneNumber | None = None
    script_template: Script | None = None
    variables: Variables | None = None
    language: Language | None = None
    mode: ConversationMode | None = Field(default=None, description="turn_based, live or relay")
    time_zone: TimeZone | None = Field(
        default=None, description="IANA time zone of the callee; left out with a new number: that of the number"
    )
    scheduled_at: Instant | None = Field(default=None, description="at most 400 days ahead; a past instant means: now")
    max_retries: Retries | None = None
    retry_delay_seconds: RetryDelay | None = None
    retry_policy: RequestedRetryPolicy | None = Field(default=None, description="replaces all rules; {}: no rules")
    call_timeout_seconds: RingTime | None = None
    voicemail: RequestedVoicemail | None = Field(default=None, description="replaces the message to a machine")
    metadata: Metadata | None = None

    @model_validator(mode="after")
    def _something_changes(self) -> Self:
        if not self.changes():
            raise ValueError("nothing to change: give at least one field")
        return self

    def refusals(self, now: datetime) -> list[str]:
        """Refuses numbers that are never called, unacceptable texts, and a time that is too far ahead.

        The length of the script depends on the call, so the orchestrator checks it. It also refuses a change whose
        person was erased meanwhile: such a change cannot be read.
        """
        if self.phone_number in PLACEHOLDERS:
            return []
        return [
            *person_refusals(self),
            *self.callee_terms_refusals(now),
            *template_refusals(self.script_template),
            *(self.voicemail.refusals() if self.voicemail else []),
            *schedule_refusals(self.scheduled_at, now),
        ]

    def changes(self) -> dict[str, object]:
        """Returns the fields that are present, by name."""
        return self.model_dump(exclude={"call_id"}, exclude_none=True)


CallCommand = CallCancelRequested | CallRetryRequested | CallChangeRequested
"""A command on an existing call."""


class ContactRequested(CampaignEvent, GivenConsent):
    """A request to add a contact to a declared campaign; it is called within the terms of the campaign.

    The same contact again is a duplicate while the first one waits, and the same call afterwards.
    """

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    event_name: ClassVar[str] = "contact.requested"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.UPSTREAM})

    contact_id: ContactId | None = Field(default=None, description="null: a digest of the number")
    phone_number: PhoneNumber = Field(description="E.164")
    variables: Variables = Field(
        default={}, description="values of the script's {{placeholders}}: one line each, at most 200 characters"
    )
    language: Language | None = Field(default=None, description="BCP 47; null: that of the campaign")
    time_zone: TimeZone | None = Field(
        default=None, description="IANA time zone of the callee; null: that of the number, or all that it may have"
    )
    metadata: Metadata = Field(default={}, description="stored with the call, not interpreted")

    def refusals(self, now: datetime) -> list[str]:
        """Refuses numbers that are never called and unacceptable texts. The script is the campaign's."""
        return [*person_refusals(self), *consent_refusals(self, now)]


PersonalRequest = CallRequested | CallChangeRequested | ContactRequested | NumberBlockRequested
"""A request or command with data of a person. It is in clear unless the edge has sealed it."""


def is_in_clear(kind: type[Event], body: bytes) -> bool:
    """Returns whether a request with the header ``ce-person`` is in clear. Upstream systems may write the header, too.

    If it is not, only the key shows whether its bytes are sealed.
    """
    if not issubclass(kind, PersonalRequest):
        return True
    try:
        return has_clear_values(body, kind)
    except ValueError:
        return True
