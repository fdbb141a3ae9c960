"""Which person each call of the log is about, and when persons were erased.

A call may get another number before it is dialled. Its earlier events are about the former person.
"""

from bisect import bisect_right
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from chassis.direct_get import StoredMessage
from contracts import CallDecision, InvalidMessage, PersonErased, decode
from contracts.number_digests import NumberDigests
from contracts.personal import PERSON_HEADER, PLACEHOLDERS, without_keys

_NOTED = ("call.", f"{PersonErased.event_name}.")
"""How the subjects begin of what `Persons` notes."""


class WrongDigestKey(ValueError):
    """The log has other digests of its numbers than NUMBER_DIGEST_KEY makes."""

    def __init__(self) -> None:
        super().__init__("NUMBER_DIGEST_KEY is not the one with which the services made the digests of this log")


class _Number(NamedTuple):
    """The person of a call from an event on. `command_sequence`: of the request or command that led to the event."""

    sequence: int
    command_sequence: int
    person: str


class Persons:
    """The persons of all calls: about 300 bytes for each call."""

    def __init__(self, digests: NumberDigests) -> None:
        self._digests = digests
        self._calls: dict[UUID, tuple[_Number, ...]] = {}
        self._erased: dict[str, datetime] = {}

    def digest_of(self, number: str) -> str:
        """Returns the digest that names the person with a number."""
        return self._digests.of(number)

    def check(self, number: str, person: str | None) -> None:
        """Raises WrongDigestKey if the digest that was stored with a number is another one."""
        if person is not None and number not in PLACEHOLDERS and self.digest_of(number) != person:
            raise WrongDigestKey

    def note(self, message: StoredMessage) -> None:
        """Notes an event of the log, in its order. Ignores others, and those that cannot be decoded."""
        if not message.subject.startswith(_NOTED):
            return
        try:
            event = decode(message.subject, message.data, without_keys(message.headers))
        except InvalidMessage:
            return
        if isinstance(event, PersonErased):
            self._erased[event.number_digest] = event.requested_at
        elif isinstance(event, CallDecision):
            person = message.headers.get(PERSON_HEADER) or self.digest_of(event.call.phone_number)
            known = self._calls.get(event.call_id, ())
            if not known or known[-1].person != person:
                number = _Number(message.seq, event.call.command_sequence or 0, person)
                self._calls[event.call_id] = (*known, number)

    def of_event(self, call_id: UUID, sequence: int) -> str | None:
        """Returns the person of a call at an event of the log; None if the log does not have the call."""
        numbers = self._calls.get(call_id, ())
        return _at(numbers, bisect_right(numbers, sequence, key=lambda number: number.sequence))

    def of_command(self, call_id: UUID, sequence: int) -> str | None:
        """Returns the person of a call at a command in REQUESTS; None if the log does not have the call."""
        numbers = self._calls.get(call_id, ())
        return _at(numbers, bisect_right(numbers, sequence, key=lambda number: number.command_sequence))

    def is_erased(self, person: str, at: datetime) -> bool:
        """Whether the person was erased after this instant."""
        erased_at = self._erased.get(person)
        return erased_at is not None and at <= erased_at


def _at(numbers: tuple[_Number, ...], count: int) -> str | None:
    return numbers[max(count - 1, 0)].person if numbers else None
