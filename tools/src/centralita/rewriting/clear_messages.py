"""Messages with personal data in clear, and the form in which this build stores them.

The body keeps the form in which it was stored, without its personal fields. A call also gets what follows from its
sealed fields (`Call.callee`, `Call.message_characters`): so it is decided again without a key. The audio of a turn
loses the plain digests of its sentences.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto

from pydantic_core import from_json, to_json

from centralita.rewriting.persons import Persons
from chassis.direct_get import StoredMessage
from chassis.keyring import Keyring
from contracts import (
    AudioReady,
    Call,
    CallChangeRequested,
    CallDecision,
    CallEvent,
    CallRequested,
    ContactAdded,
    ContactRequested,
    Event,
    InvalidMessage,
    NumberBlockRequested,
    NumberChanged,
    PersonalRequest,
    decode,
)
from contracts.callees import callee_of
from contracts.events import EVENTS
from contracts.events.requests import is_in_clear
from contracts.personal import PERSON_HEADER, clear_and_personal, has_personal_fields


class Left(Enum):
    """Why a message in clear cannot be sealed."""

    UNREADABLE = auto()
    """It is not an event. Its consumer makes a dead letter of it."""
    UNKNOWN = auto()
    """The log does not have its call, so the person is not known."""


@dataclass(frozen=True, slots=True)
class ClearMessage:
    """A message in clear. `body`: to be sealed under the key of `person`; without a person, to be stored as it is."""

    kind: type[Event]
    body: bytes
    person: str | None


@dataclass(slots=True)
class Counts:
    """How many messages of a stream there are: in all, in clear, and in clear without a remedy."""

    messages: int = 0
    in_clear: int = 0
    unreadable: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Sealer:
    """Finds messages in clear, and seals them."""

    persons: Persons
    keyring: Keyring
    counts: dict[str, Counts] = field(default_factory=dict)

    def count(self, message: StoredMessage, counts: Counts) -> None:
        """Adds a message to the counts of its stream."""
        counts.messages += 1
        match self.find(message):
            case ClearMessage():
                counts.in_clear += 1
            case Left.UNREADABLE:
                counts.unreadable += 1
            case Left.UNKNOWN:
                counts.unknown += 1

    def find(self, message: StoredMessage) -> ClearMessage | Left | None:
        """Returns what is in clear in a message; None: nothing is."""
        kind = EVENTS.get(".".join(message.subject.split(".", 2)[:2]))
        if kind is None or not _may_be_in_clear(kind) or _is_sealed(message, kind):
            return None
        try:
            event = decode(message.subject, message.data)
        except InvalidMessage:
            return Left.UNREADABLE
        if isinstance(event, AudioReady):
            return _without_digests(event, message.data)
        if isinstance(event, NumberChanged) and event.number.phone_number is None:
            return None
        person = self._person(event, message.seq)
        if person is None:
            return Left.UNKNOWN
        body = _with_consequences(event.call, message.data) if isinstance(event, CallDecision) else message.data
        return ClearMessage(kind, body, person)

    async def sealed(self, messages: Sequence[StoredMessage]) -> list[tuple[bytes, dict[str, str]]]:
        """Returns the body of each message, sealed if it is in clear, and the header of its person."""
        found = [self.find(message) for message in messages]
        persons = {
            one.person
            for message, one in zip(messages, found, strict=True)
            if isinstance(one, ClearMessage) and one.person and not self.persons.is_erased(one.person, message.time)
        }
        await self.keyring.prepare(persons)
        return [self._stored_form(message, one) for message, one in zip(messages, found, strict=True)]

    def _stored_form(self, message: StoredMessage, found: ClearMessage | Left | None) -> tuple[bytes, dict[str, str]]:
        if not isinstance(found, ClearMessage):
            return message.data, {}
        if found.person is None:
            return found.body, {}
        headers = {PERSON_HEADER: found.person}
        if self.persons.is_erased(found.person, message.time):
            return clear_and_personal(found.body, found.kind, found.person)[0], headers
        return self.keyring.seal_stored(found.body, found.kind, found.person), headers

    def _person(self, event: Event, sequence: int) -> str | None:
        match event:
            case CallDecision():
                return self.persons.digest_of(event.call.phone_number)
            case CallRequested() | ContactRequested() | CallChangeRequested(phone_number=str()):
                return self.persons.digest_of(event.phone_number or "")
            case CallChangeRequested():
                return self.persons.of_command(event.call_id, sequence)
            case NumberBlockRequested() | ContactAdded():
                self.persons.check(event.phone_number, event.number_digest)
                return event.number_digest
            case NumberChanged():
                self.persons.check(event.number.phone_number or "", event.digest)
                return event.digest
            case CallEvent():
                return self.persons.of_event(event.call_id, sequence)
            case _:
                return None


def _may_be_in_clear(kind: type[Event]) -> bool:
    """Whether events of this type have data of a person. Campaigns have none: their terms are for all contacts."""
    return kind is AudioReady or (has_personal_fields(kind) and not kind.event_name.startswith("campaign."))


def _is_sealed(message: StoredMessage, kind: type[Event]) -> bool:
    """Whether a message is sealed: its header shows it, except in a request, where upstream systems may write it."""
    is_request = issubclass(kind, PersonalRequest)
    return PERSON_HEADER in message.headers and not (is_request and is_in_clear(kind, message.data))


def _without_digests(event: AudioReady, body: bytes) -> ClearMessage | None:
    if all(sentence.digest is None for sentence in event.sentences):
        return None
    fields = from_json(body)
    for sentence in (fields, *fields.get("later", ())):
        sentence.pop("digest", None)
    return ClearMessage(AudioReady, to_json(fields), None)


def _with_consequences(call: Call, body: bytes) -> bytes:
    """Returns the body of a decision with what follows from the personal fields of its call."""
    fields = from_json(body)
    if call.callee is None:
        callee = callee_of(call.phone_number, call.time_zone)
        fields["call"]["callee"] = {"country": callee.country, "regions": callee.regions, "zones": callee.zones}
    if call.voicemail and call.message_characters is None:
        with suppress(KeyError, ValueError):  # a message that an older build accepted
            fields["call"]["message_characters"] = len(call.voicemail.render(call.variables))
    return to_json(fields)
